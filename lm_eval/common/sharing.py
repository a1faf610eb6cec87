"""Values that many files state alike, held in memory once."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T", bound=Hashable)
Object = dict[str, Any]

_MOST = 1 << 14
_values: dict[Any, Any] = {}


def shared(value: T) -> T:
    """Return the value that was seen first of those that are equal to this one, which nobody may change."""
    first: T = _first(value, value)
    return first


def shared_object(content: Object, make: Callable[[Object], Object] | None = None) -> Object:
    """Return the JSON object that was seen first of those equal to this one in order and types; nobody may change it.

    Args:
        content: the object.
        make: makes another of it, which is shared in its place.
    """
    key = (make, *content.items(), *map(type, content.values()))
    try:
        first: Object | None = _values.get(key)
    except TypeError:  # it holds others
        return make(content) if make else content
    return first if first is not None else _first(key, make(content) if make else content)


def _first(key: Hashable, value: Any) -> Any:  # noqa: ANN401
    if len(_values) >= _MOST:
        _values.clear()
    return _values.setdefault(key, value)
