"""Parsing JSON, with ValueError for everything that can be wrong with the text."""

import json
from pathlib import Path

from lm_eval.common.regular_files import read_regular

_DEEPEST = 100
"""Objects and lists within each other: far more than any file has, and few enough for whatever goes through them."""
_TOO_DEEP = "not JSON that can be read: nested too deeply"


def parse_json(text: str | bytes) -> object:
    """Parse JSON.

    Raises:
        ValueError: it is not UTF-8, no JSON (a `json.JSONDecodeError`), or nested too deeply.
    """
    try:
        content: object = json.loads(text if isinstance(text, str) else text.decode("utf-8"))
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    if _is_too_deep(content):
        raise ValueError(_TOO_DEEP)
    return content


def _is_too_deep(content: object) -> bool:
    level = [content]
    for _ in range(_DEEPEST):
        if not level:
            return False
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return bool(level)


def read_json(path: Path) -> object:
    """Read a JSON file.

    Raises:
        OSError: it cannot be read, or is a folder, a named pipe or the like.
        ValueError: it is not UTF-8, no JSON (a `json.JSONDecodeError`), or nested too deeply.
    """
    return parse_json(read_regular(path))
