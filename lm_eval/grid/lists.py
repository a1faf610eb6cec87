"""The lists of a grid as flags of their own names: read from text, and put in place of a grid's."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lm_eval.common.text import did_you_mean
from lm_eval.config.checkpoint import CHECKPOINT_KEYS
from lm_eval.config.layer_lists import LAYER_LISTS, LAYER_SETTINGS, step_of
from lm_eval.config.run_config import ENCODING_SCHEMES
from lm_eval.config.settings import SETTING_NAMES, SETTINGS, is_unset
from lm_eval.errors import ConfigurationError
from lm_eval.grid.grid import Grid, Value

LIST_FLAGS = ("num_fewshot", "encoding_scheme", *SETTING_NAMES)
"""The lists of a grid that have a flag each; its models have one among the flags of every script."""

Lists = Mapping[str, Sequence[Value]]


def read_list(name: str, text: str) -> list[Value]:
    """Read the values of a list's flag, separated by commas; `None` stands for no value.

    Raises:
        ConfigurationError: an empty list, a value given twice, or one that the list can't have.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise ConfigurationError(f"--{name} {text!r}: a value is empty; give one or several, separated by commas")
    if twice := [part for part in parts if parts.count(part) > 1]:
        raise ConfigurationError(f"--{name}: {twice[0]} is given twice")
    return [_read_value(name, part) for part in parts]


def _read_value(name: str, text: str) -> Value:
    if name == "num_fewshot":
        if not re.fullmatch("[0-9]{1,9}", text):
            raise ConfigurationError(f"--num_fewshot: {text!r} must be a non-negative integer of at most 9 digits")
        return int(text)
    if name == "encoding_scheme":
        if text not in ENCODING_SCHEMES:
            raise ConfigurationError(
                f"--encoding_scheme: unknown value {text!r}{did_you_mean(text, ENCODING_SCHEMES)}; "
                f"choose from {', '.join(ENCODING_SCHEMES)}"
            )
        return text
    return _read_setting(name, text)


def _read_setting(name: str, text: str) -> Value:
    if is_unset(name, text):
        return None
    try:
        if (step := step_of(text, name)) is not None:
            return text if text == "all" else f"every {step}"
        value = SETTINGS[name].read(text, name)
    except ConfigurationError as error:
        further = f", or, in a grid, {' or '.join(LAYER_LISTS)}" if name in LAYER_SETTINGS else ""
        raise ConfigurationError(f"--{error}{further}") from error
    if isinstance(value, bool):
        return value
    return int(text) if text.lstrip("-").isdecimal() else text


def replace_lists(grid: Grid, lists: Lists) -> Grid:
    """Return the grid with these lists in place of its own."""
    settings = {name: values for name, values in lists.items() if name in SETTING_NAMES}
    others: dict[str, Any] = {name: values for name, values in lists.items() if name not in SETTING_NAMES}
    return replace(grid, **others, settings={**grid.settings, **settings})


def how_to_set(name: str) -> str | None:
    """Say how what an unknown flag names is set in a grid; None where it names nothing that is known."""
    lists = {flag.casefold(): flag for flag in LIST_FLAGS}
    if name.casefold() in lists:
        flag = lists[name.casefold()]
        return f"the list {flag} of a grid is set by --{flag} VALUE,VALUE"
    if name in CHECKPOINT_KEYS or name == "revision":
        return f"{name} is set for all models by --loading {name}=VALUE"
    ways = {
        "pretrained": "models are named by --models A,B",
        "task": "tasks are named by --tasks A,B",
        "model_args": "each setting has a flag of its own, such as --NORM None,L2; how models are loaded has --loading",
        "task_args": "each has a flag of its own: --encoding_scheme, --data_dir, --include_path",
    }
    return ways.get(name)
