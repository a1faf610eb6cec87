"""Layers by their numbers: `middle`, the last and those counted from the end are numbered ones under other names."""

from functools import cache

import pandas as pd

from lm_eval.config.layer import LAST, Layer
from lm_eval.errors import ConfigurationError
from lm_eval.results.identity import SAME_CONFIGURATION

LAYER_SETTINGS = ("ENCODING_LAYER", "OUT_ENCODING_LAYER", "DECODING_LAYER")


def number_layers(table: pd.DataFrame) -> pd.DataFrame:
    """Return the runs with their layers as numbers, or E or OE; runs that so turn out the same are merged.

    Of the same runs the last row stays. A layer of the choices that is the context's becomes None, which says so.
    Layers of models whose number of blocks isn't known stay as they are.

    Args:
        table: runs, with `num_layers`.
    """
    depths = [None if pd.isna(number) else int(number) for number in table["num_layers"]]
    numbered = {
        name: [_number(value, depth, name) for value, depth in zip(table[name], depths, strict=True)]
        for name in LAYER_SETTINGS
    }
    of_context, of_choices = numbered["ENCODING_LAYER"], numbered["OUT_ENCODING_LAYER"]
    numbered["OUT_ENCODING_LAYER"] = [
        None if choice == context else choice for choice, context in zip(of_choices, of_context, strict=True)
    ]
    columns = {name: pd.Series(values, index=table.index, dtype="object") for name, values in numbered.items()}
    return table.assign(**columns).drop_duplicates([name for name in SAME_CONFIGURATION if name in table], keep="last")


def _number(value: object, num_layers: int | None, setting: str) -> str | None:
    """Return the number of a layer; not set, it is the last one's, or stays open where it means something else."""
    text = None if pd.isna(value) else str(value)  # type: ignore[call-overload]
    if num_layers is None or (text is None and setting != "ENCODING_LAYER"):
        return text
    return _resolve(text, num_layers)


@cache
def _resolve(text: str | None, num_layers: int) -> str:
    try:
        layer = LAST if text is None else Layer.parse(text, names=("middle", "E", "OE", "same"))
        return str(layer.resolve(num_layers))
    except ConfigurationError:  # `same`, or no layer of this model
        return str(text)
