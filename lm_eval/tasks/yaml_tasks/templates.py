"""Evaluating keys of a task file on a row: Jinja templates, names of fields, lists, or functions."""

import ast
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2.sandbox

from lm_eval.errors import ConfigurationError, DataError
from lm_eval.tasks.yaml_tasks.parser import Function

Row = Mapping[str, Any]


class _Undefined(jinja2.StrictUndefined):
    """An undefined name that fails within a list too, whose text Jinja makes of its items' representations."""

    __slots__ = ()
    __repr__ = jinja2.StrictUndefined.__str__


def _regex_replace(text: str, pattern: str, replacement: str, count: int = 0) -> str:
    return re.sub(pattern, replacement, text, count=count)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.sandbox.SandboxedEnvironment(undefined=_Undefined, keep_trailing_newline=True)
    environment.filters["regex_replace"] = _regex_replace
    return environment


@dataclass(frozen=True)
class Value:
    """A key such as `doc_to_text`, ready to compute its value for a row."""

    key: str
    path: Path
    """The task file that has the key."""
    written: Any
    """As the file has it: a template, a field's name, a number, a list, a mapping or a `Function`."""
    make: Callable[[Row], Any]

    @classmethod
    def of(cls, key: str, path: Path, written: Any) -> "Value":  # noqa: ANN401
        """Prepare a value.

        Raises:
            ConfigurationError: a template that Jinja cannot read, or a function that is not there.
        """
        if isinstance(written, Function):
            return cls(key, path, written, written.load(key))
        if not isinstance(written, str):
            return cls(key, path, written, lambda row: written)  # noqa: ARG005
        try:
            template = _environment().from_string(written)
        except jinja2.TemplateSyntaxError as error:
            raise ConfigurationError(
                f"{path}: {key}, line {error.lineno} of the template: {error.message}; correct it: {written!r:.100}"
            ) from error
        return cls(key, path, written, lambda row: row[written] if written in row else template.render(row))

    def is_rendered(self, row: Row) -> bool:
        """Whether the value is a rendered template, rather than a field of the row."""
        return isinstance(self.written, str) and self.written not in row

    def __call__(self, row: Row, source: str) -> Any:  # noqa: ANN401
        """Return the value for a row.

        Raises:
            DataError: the template or the function fails on it; names row, file and key.
        """
        try:
            return self.make(row)
        except jinja2.UndefinedError as error:
            problem = f"{error.message}; the row has {', '.join(map(str, row)) or 'no fields'}"
        except Exception as error:  # whatever a user's template or function raises
            problem = f"{type(error).__name__}: {error}"
        how = f"!function {self.written.reference}" if isinstance(self.written, Function) else f"{self.written!r:.80}"
        raise DataError(f"{source}: {self.key} of {self.path}: {problem}; correct {how} or the row")

    def wrong(self, source: str, rule: str, value: object) -> DataError:
        """Return the error for a value that breaks a rule."""
        return DataError(f"{source}: {self.key} of {self.path} {rule}, got {value!r:.80}; correct it or the row")


def as_index(text: object) -> object:
    """Return the number that a rendered template of digits stands for, as the upstream harness takes it."""
    return int(text) if isinstance(text, str) and text.isdecimal() and text.isascii() else text


def as_list(text: object, *, lenient: bool = False) -> object:
    """Return the list that a rendered template such as `['a', 'b']` stands for; other text as it is.

    Args:
        text: what the template gave.
        lenient: whether to accept surrounding blanks and a tuple, as where only a list makes sense.
    """
    if not isinstance(text, str):
        return text
    bare = text.strip() if lenient else text
    if bare[:1] + bare[-1:] in ("[]", *(["()"] if lenient else [])):
        try:
            return ast.literal_eval(bare)
        except (SyntaxError, ValueError):
            return text
    return text
