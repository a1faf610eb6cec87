"""Parsing JSON, with ValueError for everything that can be wrong with the text."""

import json
from pathlib import Path


def parse_json(text: str) -> object:
    """Parse JSON.

    Raises:
        ValueError: it is no JSON (a `json.JSONDecodeError`), or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("not JSON that can be read: nested too deeply") from error


def read_json(path: Path) -> object:
    """Read a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not UTF-8, no JSON (a `json.JSONDecodeError`), or nested too deeply.
    """
    return parse_json(path.read_text(encoding="utf-8"))
