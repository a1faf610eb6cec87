"""Bounds of what templates make: sizes that operators, formats and methods of texts would have, before they have."""

import re
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any

from lm_eval.tasks.yaml_tasks.limits import MOST_CHARACTERS


class TooLargeError(Exception):
    """A template makes something that is too large."""

    def __str__(self) -> str:
        return f"it makes more than {MOST_CHARACTERS:,} characters"


def size_of(value: object) -> int:
    """Return how many characters, items or digits a value has, at most."""
    if isinstance(value, int):
        return 1 + int(value.bit_length() * 0.31)
    return len(value) if isinstance(value, Sized) else 1


def check_size(size: float) -> None:
    """Refuse a size that is too large.

    Raises:
        TooLargeError: it is.
    """
    if size > MOST_CHARACTERS:
        raise TooLargeError


_CONVERSION = re.compile(r"[#0\- +]*(\d*|\*)(?:\.(\d*|\*))?[hlL]?.?", re.DOTALL)
_BY_VALUE = "*"
"""Stands for a width that one of the values gives."""


def percent_widths(pattern: str) -> Iterator[str]:
    """Yield the widths and precisions of a format with `%`."""
    place = pattern.find("%")
    while place >= 0:
        place += 1
        if pattern[place : place + 1] == "(":  # a key, whose brackets may be nested
            depth = 0
            while place < len(pattern):
                depth += {"(": 1, ")": -1}.get(pattern[place], 0)
                place += 1
                if not depth:
                    break
        found = _CONVERSION.match(pattern, place)
        assert found is not None  # noqa: S101  (all of it may be empty)
        yield from (text for text in found.groups() if text)
        place = pattern.find("%", found.end())


def brace_widths(pattern: str) -> Iterator[str]:
    """Yield the widths and precisions of a format with `{}`."""
    try:
        for _, _, specification, _ in string.Formatter().parse(pattern):
            yield from re.findall(r"\d+", specification or "")
            if "{" in (specification or ""):
                yield _BY_VALUE
    except ValueError:  # formatting says what is wrong with it
        return


def check_widths(widths: Iterable[str], values: Sequence[object] = ()) -> None:
    """Refuse a format whose widths and precisions are too large, or may be, as one of the values is."""
    total = 0.0
    for width in widths:
        given = _inner(values) if width == _BY_VALUE else (width,)
        texts = [str(value) for value in given if isinstance(value, int | str)]
        total += max((float(number) for text in texts for number in re.findall(r"\d+", text)), default=0.0)
    check_size(total)


def _inner(values: Sequence[object]) -> Iterator[object]:
    """Yield values, and the items of lists and mappings among them."""
    for value in values:
        yield value
        if isinstance(value, Mapping | list | tuple):
            yield from value.values() if isinstance(value, Mapping) else value


def check_growth(text: str | bytes, name: str, arguments: Sequence[object]) -> None:
    """Refuse a method of a text, or a filter, that would make it too large."""
    numbers = [argument for argument in arguments if isinstance(argument, int)]
    if name in ("center", "ljust", "rjust", "zfill", "expandtabs", "indent"):
        check_size(float(max([1, *numbers])) * (len(text) if name in ("expandtabs", "indent") else 1))
    elif name == "replace" and len(arguments) > 1:
        _check_replacement(text, *arguments[:3])
    elif name == "join" and arguments:
        items = arguments[0]
        check_size(
            size_of(items) * float(len(text)) + (sum(map(size_of, items)) if isinstance(items, list | tuple) else 0)
        )


def _check_replacement(text: Any, old: object, new: Any, count: object = None) -> None:  # noqa: ANN401
    """Refuse to replace so that the text becomes too large."""
    kind = str if isinstance(text, str) else bytes
    if isinstance(old, kind) and isinstance(new, kind):  # else replacing says what is wrong
        times = text.count(old)
        times = min(times, count) if isinstance(count, int) and count >= 0 else times
        escaped = 6 if hasattr(text, "__html__") else 1  # & becomes &amp; and so on
        check_size(len(text) + float(times) * len(new) * escaped)
