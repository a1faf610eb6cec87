"""Values that many files state alike, held in memory once."""

from collections.abc import Hashable
from typing import Any, TypeVar

T = TypeVar("T", bound=Hashable)

_MOST = 1 << 14
_values: dict[Any, Any] = {}


def shared(value: T) -> T:
    """Return the value that was seen first of those that are equal to this one, which nobody may change."""
    first: T = _first(value, value)
    return first


def shared_object(content: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON object that was seen first of those that are equal to this one, which nobody may change."""
    try:
        first: dict[str, Any] = _first(tuple((key, type(value), value) for key, value in content.items()), content)
    except TypeError:  # it holds others
        return content
    return first


def _first(key: Hashable, value: Any) -> Any:  # noqa: ANN401
    if len(_values) >= _MOST:
        _values.clear()
    return _values.setdefault(key, value)
