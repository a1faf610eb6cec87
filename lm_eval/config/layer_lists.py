"""Layers that a grid names for models of any depth: `all` and `every N`."""

import re
from collections.abc import Mapping, Sequence

from lm_eval.errors import ConfigurationError

LAYER_SETTINGS = ("ENCODING_LAYER", "OUT_ENCODING_LAYER", "DECODING_LAYER")
"""The settings whose lists may hold them."""
LAYER_LISTS = ("all", "every N")
_LAST: Mapping[str, int | None] = {"ENCODING_LAYER": None, "OUT_ENCODING_LAYER": -1}
"""The last hidden state; None stands for the context's layer where the choices' is meant."""
_STEP = re.compile(r"every ?([1-9][0-9]{0,5})")


def step_of(value: object, key: str) -> int | None:
    """Return N where a value of a grid's list is `every N`, 1 where it is `all`; None for any other value.

    Raises:
        ConfigurationError: `every` without a whole number behind it.
    """
    if key not in LAYER_SETTINGS or not isinstance(value, str):
        return None
    if value == "all":
        return 1
    step = _STEP.fullmatch(value)
    if step is None and value.startswith("every"):
        raise ConfigurationError(f"{key}: {value!r} must be every N, N a whole number of at least 1, as in 'every 4'")
    return None if step is None else int(step[1])


def spread_layers(values: Sequence[str | int | None], num_layers: int, key: str) -> list[str | int | None]:
    """Return a grid's list for models of one depth, with the layers that `all` and `every N` stand for, each once.

    Of the hidden states 0 to `num_layers` these are all, or those whose index N divides. The last is named as it is by
    default, so that its results are found again. Vectors enter at a block, so that `DECODING_LAYER` has no such last.

    Args:
        values: the list.
        num_layers: the models' blocks.
        key: the setting's name.
    """
    layers: list[str | int | None] = []
    for value in values:
        step = step_of(value, key)
        if step is None:
            layers.append(value)
        else:
            layers.extend(range(0, num_layers, step))
            if key in _LAST and num_layers % step == 0:
                layers.append(_LAST[key])
    return list(dict.fromkeys(layers))
