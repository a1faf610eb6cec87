"""Which runs a figure shows, and in which order."""

import html
from collections.abc import Mapping
from textwrap import shorten
from typing import Any

import numpy as np
import pandas as pd

from lm_eval.analysis.scores import MAIN_SETTINGS, is_main
from lm_eval.errors import ConfigurationError
from lm_eval.models.families import ARCHITECTURES

CONTROL_SCHEME = "no_context"


def check(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table, fit to be drawn: runs of one test, one task, one slice of documents; variants of a model apart.

    Raises:
        ConfigurationError: there are none, or of several.
    """
    return _check(table, {"kind": "tests", "task": "tasks", "limit": "slices of documents (--limit)"})


def check_tests(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table, fit to be drawn: runs of any tests over one slice of documents; variants of a model apart.

    Raises:
        ConfigurationError: there are none, or of several slices.
    """
    return _check(table, {"limit": "slices of documents (--limit)"})


def _check(table: pd.DataFrame, same: Mapping[str, str]) -> pd.DataFrame:
    if table.empty:
        raise ConfigurationError(
            "no runs to draw: the table is empty; scripts/run_parallel_*.py make results, and so does `make demo`"
        )
    for column, what in same.items():
        values = sorted(str(value) for value in table[column].unique())
        if len(values) > 1:
            raise ConfigurationError(
                f"the table mixes {what} {', '.join(values)}, which cannot be drawn together; "
                f"choose one, as in table[table[{column!r}] == {values[0]!r}]"
            )
    return _with_plain_names(separate_variants(table))


_NAMES = ("task", "model", "family")
"""Columns with texts that users choose and figures show."""


def _with_plain_names(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with names that figures show as they are: plotly takes `<b>` in a text for an order."""
    return table.assign(**{name: table[name].map(plain, na_action="ignore") for name in _NAMES})


def plain(text: str) -> str:
    """Return a text in the form in which plotly shows it as it is."""
    return html.escape(text, quote=False)


def shortened(text: str, longest: int) -> str:
    """Return a text that `plain` has made, cut to so many letters as they are shown."""
    shown = html.unescape(text)
    return text if len(shown) <= longest else plain(f"{shown[: longest - 1]}…")


def separate_variants(table: pd.DataFrame) -> pd.DataFrame:
    """Return the runs with each model of several dtypes, ways of loading or texts before the shots as one for each.

    `pretrained` and `model` name these then, and `checkpoint` is what `pretrained` was. Runs that don't state a
    dtype count with the others where these state a single one.
    """
    if "checkpoint" in table:
        return table
    dtypes = table["dtype"].fillna("dtype not stated").where(_is_mixed(table, table["dtype"]), None)
    texts = table.get("description", pd.Series("", index=table.index)).fillna("").astype(str)
    said = texts.map(_say_description).where(_is_mixed(table, texts), None)
    suffix = [_say_variant(*of_run) for of_run in zip(dtypes, table["loading"], said, strict=True)]
    named = {name: table[name].astype(str) + suffix for name in ("pretrained", "model")}
    return table.assign(checkpoint=table["pretrained"], **named)


def _is_mixed(table: pd.DataFrame, values: "pd.Series[Any]") -> "pd.Series[bool]":
    """Return which runs are of a model whose runs have several of these values."""
    several = values.groupby(table["pretrained"]).nunique()
    return table["pretrained"].isin(several.index[several > 1])


def _say_description(text: str) -> str:
    return f"after {shorten(text, 14, placeholder=' …')!r}" if text else "no description"


def _say_variant(*parts: object) -> str:
    """Return what is stated of a model's variant, in brackets; "" where nothing is."""
    stated = ", ".join(str(part) for part in parts if not pd.isna(part))  # type: ignore[call-overload]
    return f" ({stated})" if stated else ""


def scored(table: pd.DataFrame) -> pd.DataFrame:
    """Return the runs with a score that are no controls.

    Raises:
        ConfigurationError: the table can't be drawn, or no run in it has a score.
    """
    runs = check(table)
    return _with_scores(runs, len(table))


def scored_tests(table: pd.DataFrame) -> pd.DataFrame:
    """Return the runs with a score that are no controls, of any tests.

    Raises:
        ConfigurationError: the table can't be drawn, or no run in it has a score.
    """
    return _with_scores(check_tests(table), len(table))


def _with_scores(runs: pd.DataFrame, number: int) -> pd.DataFrame:
    runs = runs[~is_control(runs) & runs["normalised"].notna()]
    if runs.empty:
        raise ConfigurationError(
            f"no scores to draw: none of {number} runs has a baseline of the same model, shots and documents; "
            "scripts/run_parallel_baseline.py makes them"
        )
    return runs


def is_control(table: pd.DataFrame) -> "pd.Series[bool]":
    """Return which rows score the choices without a context."""
    return table["encoding_scheme"] == CONTROL_SCHEME


def main_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of the paper's main configurations, the newest of each model, scheme and number of shots."""
    chosen = pd.Series(data=False, index=table.index)
    for kind in set(table["kind"]) & {kind for kind, _ in MAIN_SETTINGS}:
        for architecture in ARCHITECTURES:
            chosen |= is_main(table, kind, architecture) & (table["architecture"] == architecture)
    rows = table[chosen & ~is_control(table)]
    return rows.drop_duplicates(["kind", "task", "pretrained", "num_fewshot", "encoding_scheme"], keep="last")


def list_shots(table: pd.DataFrame) -> list[int]:
    """Return the numbers of shots that runs have, fewest first."""
    return sorted(int(number) for number in table["num_fewshot"].unique())


def largest_study(table: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of the model that has the most of them; none where there are only controls."""
    table = separate_variants(table)
    counts = table[~is_control(table)]["pretrained"].value_counts()
    return table.loc[table["pretrained"].isin(counts.index[:1])]


def sort_models(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row a model, families together, in both the smaller first; unknown sizes come last.

    Returns:
        `pretrained`, `model`, `family`, `size_b`, `architecture`, `position`: models stand 1 apart, families 1.5.
    """
    models = table.drop_duplicates("pretrained")[["pretrained", "model", "family", "size_b", "architecture"]].copy()
    models["smallest"] = models.groupby(["architecture", "family"])["size_b"].transform("min")
    models = models.sort_values(["architecture", "smallest", "family", "size_b", "model"]).reset_index(drop=True)
    begins = (models["family"] != models["family"].shift()) & (models.index > 0)
    models["position"] = np.arange(len(models)) + 0.5 * begins.cumsum()
    doubled = models["model"].duplicated(keep=False)
    models["model"] = models["model"].where(~doubled, models["pretrained"].map(plain))
    return models
