"""What figures call things, the same in all: tests, settings and their values, encoding schemes, numbers of shots.

The names of settings themselves come from `lm_eval.results.labels`, which tables and reports share; the label of an
encoding scheme stands beside its colour in `style`; an axis of scores is named by its `score_toggle.Score`. What one
figure alone says, such as its title, stands in that figure's own module.
"""

from collections.abc import Sequence

import pandas as pd

from lm_eval.analysis.figures.style import look_of
from lm_eval.results.labels import LABELS, say_value

_TESTS = {"dist_gen": "Test 1, generation", "dist_sim": "Test 2, similarity"}


def name_test(table: pd.DataFrame) -> str:
    """Return which test the runs are of, in words."""
    kind = str(table["kind"].iloc[0])
    return _TESTS.get(kind, kind)


def say(setting: str, value: object) -> str:
    """Return a setting's value as figures show it: in words."""
    if value is None or pd.isna(value):  # type: ignore[call-overload]
        return say_value(setting, None)
    if setting == "encoding_scheme":
        return look_of(str(value)).label
    return str(value).replace("_", " ")


def varying_settings(table: pd.DataFrame, settings: Sequence[str] = tuple(LABELS)) -> list[str]:
    """Return the settings that differ among runs."""
    return [name for name in settings if table[name].map(lambda value, name=name: say(name, value)).nunique() > 1]


def say_constant(table: pd.DataFrame) -> str:
    """Return, in words, the settings that are set and the same in all runs."""
    varying = varying_settings(table)
    same = [name for name in LABELS if name not in varying and pd.notna(table[name].iloc[0])]
    return ", ".join(f"{LABELS[name]}: {say(name, table[name].iloc[0])}" for name in same)


def say_shots(number: int) -> str:
    """Return a number of shots in words."""
    return "1 shot" if number == 1 else f"{number} shots"
