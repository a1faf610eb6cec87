"""Helpers for messages and settings: first lines, causes of errors, suggestions, model names, `KEY=value` pairs."""

import difflib
import re
import sys
from collections.abc import Collection, Mapping
from numbers import Number
from os import PathLike

from lm_eval.errors import ConfigurationError


def first_line(text: object) -> str:
    """Return the first line of a text, or of an error's message."""
    return str(text).strip().partition("\n")[0]


def whole(text: str) -> str:
    """Return a text with half characters, of names of files or from damaged ones, written as Python writes them."""
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")


def say_cause(error: BaseException) -> str:
    """Return an error's type and the first line of its message."""
    return f"{type(error).__name__}: {first_line(error)}"


def did_you_mean(name: str, known: Collection[str] | Mapping[str, str]) -> str:
    """Return " (did you mean …?)" with the closest known name, whatever its case, or "".

    Args:
        name: the unknown name.
        known: the valid names; a mapping gives the form in which each is shown.
    """
    by_folded = {one.casefold(): one for one in known}
    begun = [one for one in by_folded if len(name) > 2 and one.startswith(name.casefold())]
    near = begun if len(begun) == 1 else difflib.get_close_matches(name.casefold(), list(by_folded), n=1)
    if not near:
        return ""
    nearest = by_folded[near[0]]
    shown = known[nearest] if isinstance(known, Mapping) else repr(nearest)
    return f" (did you mean {shown}?)"


def short_name(pretrained: str) -> str:
    """Return a model's short name: the last part of its hub name or of its folder's path."""
    return pretrained.rstrip("/").rpartition("/")[2]


def parse_pairs(text: str | None, what: str) -> dict[str, str | None]:
    """Read `KEY=value,KEY=value`; `None` stands for no value.

    Raises:
        ConfigurationError: a part without `=`, or a key given twice.
    """
    pairs: dict[str, str | None] = {}
    for part in (text or "").split(","):
        if not part.strip():
            continue
        key, equals, value = part.partition("=")
        key, value = sys.intern(key.strip()), sys.intern(value.strip())  # many results state the same
        if not equals or not key:
            raise ConfigurationError(
                f"{what}: expected KEY=value,KEY=value, got {part!r} (values cannot contain a comma)"
            )
        if not value:
            raise ConfigurationError(f"{what}: {key}= has no value; write {key}=None or leave it out")
        if key in pairs:
            raise ConfigurationError(f"{what}: {key} is given twice")
        pairs[key] = None if value == "None" else value
    return pairs


def read_pairs(settings: str | Mapping[str, object] | None, what: str) -> dict[str, str | None]:
    """Read settings given as `KEY=value,KEY=value` or as a mapping; values become text or None.

    Raises:
        ConfigurationError: a value that is empty or no plain one, or what `parse_pairs` refuses.
    """
    if not isinstance(settings, Mapping):
        return parse_pairs(settings, what)
    for key, value in settings.items():
        if not isinstance(value, str | Number | PathLike | None):
            raise ConfigurationError(
                f"{what}: {key} must be text, a number, True, False, None or a path, got an object of the class "
                f"{type(value).__name__}; give its name"
            )
    texts = {str(key): None if value is None else str(value).strip() for key, value in settings.items()}
    if empty := [key for key, text in texts.items() if text == ""]:
        raise ConfigurationError(f"{what}: {empty[0]}= has no value; write {empty[0]}=None or leave it out")
    return {key: None if text == "None" else text for key, text in texts.items()}


def format_pairs(pairs: Mapping[str, object]) -> str:
    """Write `KEY=value,KEY=value`, the inverse of `parse_pairs`."""
    return ",".join(f"{key}={value}" for key, value in pairs.items())


_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def csv_cell(value: object) -> object:
    """Return a value as a cell of CSV that no spreadsheet takes for a formula; numbers stay numbers.

    A text gets the apostrophe by which spreadsheets mark one, unless it is a number such as a layer's `-1`
    or the `-` that stands for none.
    """
    if not isinstance(value, str) or not value.startswith(_FORMULA):
        return value
    return value if _NUMBER.fullmatch(value) else f"'{value}"


_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|-")


def count_of(number: int, noun: str) -> str:
    """Return a number with its noun: 1 shot, 2 shots, 1,000 shots."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def say_cut(number: int, longer_than: str) -> str:
    """Return that so many segments were cut."""
    verb = "was" if number == 1 else "were"
    return f"{count_of(number, 'segment')} {verb} longer than {longer_than} and {verb} cut from the left"


def describe_seconds(seconds: float) -> str:
    """Format a duration in one or two units, such as 3 min 20 s."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(whole / 60)
    hours = minutes // 60
    if hours == 0:
        return f"{minutes} min"
    return f"{hours} h {minutes % 60} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"
