"""Evaluating keys of a task file on a row: Jinja templates, names of fields, lists, or functions."""

import ast
import functools
import re
from collections.abc import Callable, Mapping, Sequence, Sized
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2.compiler
import jinja2.sandbox

from lm_eval.errors import ConfigurationError, DataError
from lm_eval.tasks.yaml_tasks.limits import MOST_CHARACTERS, TooLongError, limited_time
from lm_eval.tasks.yaml_tasks.parser import Function

Row = Mapping[str, Any]


class _Undefined(jinja2.StrictUndefined):
    """An undefined name that fails within a list too, whose text Jinja makes of its items' representations."""

    __slots__ = ()
    __repr__ = jinja2.StrictUndefined.__str__


def _regex_replace(text: str, pattern: str, replacement: str, count: int = 0) -> str:
    return re.sub(pattern, replacement, text, count=count)


class TooLargeError(Exception):
    """A template makes something that is too large."""

    def __str__(self) -> str:
        return f"it makes more than {MOST_CHARACTERS:,} characters"


def _size(value: object) -> int:
    """Return how many characters, items or digits a value has, at most."""
    if isinstance(value, int):
        return 1 + int(value.bit_length() * 0.31)
    return len(value) if isinstance(value, Sized) else 1


def _check_size(size: float) -> None:
    if size > MOST_CHARACTERS:
        raise TooLargeError


class _Environment(jinja2.sandbox.SandboxedEnvironment):
    """A sandbox whose operators refuse to make what is too large."""

    intercepted_binops = frozenset(("*", "**", "+", "%"))

    def call_binop(self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401
        if operator == "**" and isinstance(left, int) and isinstance(right, int):
            _check_size(_size(left) * float(abs(right)))
        elif operator == "*" and not (isinstance(left, int) and isinstance(right, int)):
            count, other = (left, right) if isinstance(left, int) else (right, left)
            _check_size(_size(other) * float(max(0, count)) if isinstance(count, int) else 1)
        elif operator == "%" and isinstance(left, str):
            _check_width(left, right if isinstance(right, tuple) else (right,))
        else:
            _check_size(_size(left) + _size(right))
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: jinja2.runtime.Context, __obj: Any, *args: Any, **named: Any) -> Any:  # noqa: ANN401, N805
        owner, name = getattr(__obj, "__self__", None), getattr(__obj, "__name__", "")
        if isinstance(owner, str | bytes):
            _check_growth(owner, name, [*args, *named.values()])
        return super().call(__context, __obj, *args, **named)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:  # noqa: ANN401
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None
        apply, pattern = wrapped, str(value.__self__)

        def bounded(*args: Any, **named: Any) -> str:  # noqa: ANN401
            _check_width(pattern, [*args, *named.values()])
            return apply(*args, **named)

        return bounded

    def join_texts(self, parts: Sequence[object]) -> str:
        """Return what `~` makes of its operands."""
        texts = [str(part) for part in parts]
        _check_size(sum(map(len, texts)))
        return "".join(texts)


def _check_width(pattern: str, values: Sequence[object] = ()) -> None:
    """Refuse a format whose width or precision is too large, or may be, as one of the values is."""
    numbers = [int(text[:20]) for text in re.findall(r"\d+", pattern)]
    if re.search(r"%[^a-z]*\*|:[^{}]*{", pattern):  # a width that a value gives
        numbers += [value for value in values if isinstance(value, int)]
    _check_size(max(numbers, default=0))


def _check_growth(text: str | bytes, name: str, arguments: Sequence[object]) -> None:
    """Refuse a method of a text, or a filter, that would make it too large."""
    numbers = [argument for argument in arguments if isinstance(argument, int)]
    if name in ("center", "ljust", "rjust", "zfill", "expandtabs", "indent"):
        _check_size(float(max([1, *numbers])) * (len(text) if name in ("expandtabs", "indent") else 1))
    elif name == "replace":
        _check_size(len(text) * float(max(map(_size, arguments), default=1)))
    elif name == "join" and arguments:
        items = arguments[0]
        _check_size(
            _size(items) * float(len(text)) + (sum(map(_size, items)) if isinstance(items, list | tuple) else 0)
        )


class _Generator(jinja2.compiler.CodeGenerator):
    """Has `~` join texts by the environment, which refuses what is too large."""

    def visit_Concat(self, node: jinja2.nodes.Concat, frame: jinja2.compiler.Frame) -> None:  # noqa: N802
        self.write("environment.join_texts((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


_Environment.code_generator_class = _Generator


def _bounded(name: str, apply: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that refuses to make what is too large."""

    @functools.wraps(apply)
    def bounded(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        texts = [argument for argument in arguments if isinstance(argument, str)]
        others = [argument for argument in (*arguments, *named.values()) if argument not in texts[:1]]
        if name == "format" and texts:
            _check_width(texts[0], others)
        elif texts:
            _check_growth(texts[0], name, others)
        return apply(*arguments, **named)

    return bounded


@functools.cache
def _environment() -> jinja2.Environment:
    environment = _Environment(undefined=_Undefined, keep_trailing_newline=True)
    for name in ("center", "format", "indent", "replace"):
        environment.filters[name] = _bounded(name, environment.filters[name])
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
            with limited_time():
                template = _environment().from_string(written)
        except (RecursionError, MemoryError, SyntaxError, TooLongError, TooLargeError) as error:
            problem = str(error) if isinstance(error, TooLongError | TooLargeError) else "nested too deeply"
            raise ConfigurationError(f"{path}: {key}: {problem}; make it simpler: {written!r:.100}") from error
        except jinja2.TemplateSyntaxError as error:
            raise ConfigurationError(
                f"{path}: {key}, line {error.lineno} of the template: {error.message}; correct it: {written!r:.100}"
            ) from error
        return cls(key, path, written, lambda row: row[written] if written in row else _render(template, row))

    def is_rendered(self, row: Row) -> bool:
        """Whether the value is a rendered template, rather than a field of the row."""
        return isinstance(self.written, str) and self.written not in row

    def __call__(self, row: Row, source: str) -> Any:  # noqa: ANN401
        """Return the value for a row.

        Raises:
            DataError: the template or the function fails on it; names row, file and key.
        """
        try:
            with nullcontext() if isinstance(self.written, Function) else limited_time():
                return self.make(row)
        except jinja2.UndefinedError as error:
            problem = f"{error.message}; the row has {', '.join(map(str, row)) or 'no fields'}"
        except (TooLongError, TooLargeError) as error:
            problem = str(error)
        except Exception as error:  # whatever a user's template or function raises
            problem = f"{type(error).__name__}: {error}"
        how = f"!function {self.written.reference}" if isinstance(self.written, Function) else f"{self.written!r:.80}"
        raise DataError(f"{source}: {self.key} of {self.path}: {problem}; correct {how} or the row")

    def wrong(self, source: str, rule: str, value: object) -> DataError:
        """Return the error for a value that breaks a rule."""
        return DataError(f"{source}: {self.key} of {self.path} {rule}, got {value!r:.80}; correct it or the row")


def _render(template: jinja2.Template, row: Row) -> str:
    parts, size = [], 0
    for part in template.generate(row):
        size += len(part)
        _check_size(size)
        parts.append(part)
    return "".join(parts)


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
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return text
    return text
