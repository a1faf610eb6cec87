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
from lm_eval.tasks.yaml_tasks.limits import TooLongError, limited_time
from lm_eval.tasks.yaml_tasks.parser import Function
from lm_eval.tasks.yaml_tasks.sizes import (
    TooLargeError,
    brace_widths,
    check_growth,
    check_size,
    check_widths,
    percent_widths,
    size_of,
)

Row = Mapping[str, Any]


class _Undefined(jinja2.StrictUndefined):
    """An undefined name that fails within a list too, whose text Jinja makes of its items' representations."""

    __slots__ = ()
    __repr__ = jinja2.StrictUndefined.__str__


def _regex_replace(text: str, pattern: str, replacement: str, count: int = 0) -> str:
    return re.sub(pattern, replacement, text, count=count)


class _Environment(jinja2.sandbox.SandboxedEnvironment):
    """A sandbox whose operators refuse to make what is too large."""

    intercepted_binops = frozenset(("*", "**", "+", "%"))

    def call_binop(self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401
        if operator == "**" and isinstance(left, int) and isinstance(right, int):
            check_size(size_of(left) * float(abs(right)))
        elif operator == "*" and not (isinstance(left, int) and isinstance(right, int)):
            count, other = (left, right) if isinstance(left, int) else (right, left)
            if isinstance(count, int) and isinstance(other, Sized):  # neither is a number with decimals
                check_size(len(other) * float(max(0, count)))
        elif operator == "%" and isinstance(left, str):
            check_widths(percent_widths(left), right if isinstance(right, tuple) else (right,))
        else:
            check_size(size_of(left) + size_of(right))
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: jinja2.runtime.Context, __obj: Any, *args: Any, **named: Any) -> Any:  # noqa: ANN401, N805
        owner, name = getattr(__obj, "__self__", None), getattr(__obj, "__name__", "")
        if isinstance(owner, str | bytes):
            check_growth(owner, name, [*args, *named.values()])
        return super().call(__context, __obj, *args, **named)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:  # noqa: ANN401
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None
        apply, pattern = wrapped, str(value.__self__)

        def bounded(*args: Any, **named: Any) -> str:  # noqa: ANN401
            check_widths(brace_widths(pattern), [*args, *named.values()])
            return apply(*args, **named)

        return bounded

    def join_texts(self, parts: Sequence[object]) -> str:
        """Return what `~` makes of its operands."""
        texts = [str(part) for part in parts]
        check_size(sum(map(len, texts)))
        return "".join(texts)


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
        value, *others = [one for one in arguments if not isinstance(one, jinja2.nodes.EvalContext)]
        others += [named[key] for key in sorted(named, key="old new count".find)]
        text = value if isinstance(value, str) else str(value)
        if name == "format":
            check_widths(percent_widths(text), others)
        elif name == "replace":
            check_growth(text, name, [*map(str, others[:2]), *others[2:]])
        else:
            check_growth(text, name, others)
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
        check_size(size)
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
