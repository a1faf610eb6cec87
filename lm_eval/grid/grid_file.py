"""Grids as YAML files: `--grid` reads them, `--write_grid` writes them, and what is read equals what was written."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

import yaml

from lm_eval.common.atomic import written_whole
from lm_eval.common.text import did_you_mean
from lm_eval.errors import ConfigurationError
from lm_eval.grid.grid import Grid
from lm_eval.tasks.yaml_tasks.parser import parse

_FIELDS = tuple(item.name for item in fields(Grid))
_NEEDED = tuple(item.name for item in fields(Grid) if item.default is item.default_factory is MISSING)
_SEVERAL = "grids"
"""The key of a file that holds several grids."""


def read_grids(path: str) -> list[Grid]:
    """Read the grids of a file: a grid's fields, or a list of such grids under `grids`.

    Raises:
        ConfigurationError: no such file, not YAML, or no grid.
    """
    file = Path(path).expanduser()
    try:
        text = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"--grid {path}: cannot be read ({error.strerror}); give a YAML file") from error
    content = parse(text, file)
    several = content.get(_SEVERAL, [content])
    if _SEVERAL in content and (len(content) > 1 or not isinstance(several, list) or not several):
        raise ConfigurationError(f"{path}: {_SEVERAL} must be a list of grids, with nothing beside it")
    return [_make_grid(one, path) for one in several]


def _make_grid(content: object, path: str) -> Grid:
    if not isinstance(content, Mapping):
        raise ConfigurationError(f"{path}: a grid must hold KEY: value lines, got {content!r:.60}")
    if unknown := [str(key) for key in content if key not in _FIELDS]:
        hint = did_you_mean(unknown[0], _FIELDS)
        raise ConfigurationError(
            f"{path}: unknown key {', '.join(unknown)}{hint}; a grid has {', '.join(_FIELDS)}; "
            "flags such as --limit are given with the call"
        )
    if missing := [name for name in _NEEDED if name not in content]:
        raise ConfigurationError(f"{path}: {', '.join(missing)} is missing; a grid has {', '.join(_FIELDS)}")
    settings: Any = content.get("settings", {})
    if not isinstance(settings, Mapping):
        raise ConfigurationError(f"{path}: settings must hold KEY: list lines, got {settings!r:.60}")
    for name in ("model", "task"):
        if not isinstance(content[name], str):
            raise ConfigurationError(f"{path}: {name} must be text, got {content[name]!r}")
    _check_values(content, settings, path)
    try:
        return Grid(**content)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _check_values(content: Mapping[str, Any], settings: Mapping[str, Any], path: str) -> None:
    """See that lists hold plain values; what a list may hold is checked where it is used."""
    allowed: dict[str, Any] = {"models": str, "encoding_scheme": str, "num_fewshot": int}
    lists = {**{name: content[name] for name in allowed if name in content}, **settings}
    for name, values in lists.items():
        valid = allowed.get(name, str | int | None)
        for value in values if isinstance(values, list) else []:
            if not isinstance(value, valid):
                what = {str: "text", int: "a whole number"}.get(valid, "text, a whole number or null")
                raise ConfigurationError(f"{path}: {name} holds {value!r}, which is not {what}")


def write_grids(path: str, grids: Sequence[Grid]) -> None:
    """Write grids to a file.

    Raises:
        ConfigurationError: it can't be written there.
    """
    file = Path(path).expanduser()
    contents = [asdict(grid) for grid in grids]
    content = contents[0] if len(contents) == 1 else {_SEVERAL: contents}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    try:
        with written_whole(file) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"--write_grid {path}: cannot be written ({error.strerror}); give another") from error
