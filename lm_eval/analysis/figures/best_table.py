"""The best settings of each model, as a table."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from lm_eval.analysis.figures.labels import name_test, say, say_constant, varying_settings
from lm_eval.analysis.figures.layout import new_layout
from lm_eval.analysis.figures.selection import check, is_control, sort_models
from lm_eval.analysis.figures.style import GRID, SMALL
from lm_eval.analysis.scores import find_best
from lm_eval.errors import ConfigurationError
from lm_eval.results.labels import NOTHING, SHORT_LABELS

_ROW_PX = 30
_LETTER_PX = 9.4
_LINE_PX = 22
"""Of a further line in a row, and of a line of the header."""
_SETTINGS_LETTERS = 44
"""Of a line of settings."""
_SCORES = {"normalised": "norm-<br>alised", "chance_corrected": "chance-<br>corr."}


def best_settings(table: pd.DataFrame) -> pd.DataFrame:
    """Return the best run of each model and number of shots, models in the order of figures.

    Returns:
        The columns of the table, with `num_runs`: how many the run is the best of.

    Raises:
        ConfigurationError: an empty or mixed table, or one without scores.
    """
    runs = check(table)[~is_control(table)].dropna(subset=["acc"])
    best = find_best(runs).drop_duplicates(["pretrained", "num_fewshot"], keep="last")
    if best.empty:
        raise ConfigurationError("no runs with an accuracy in the table")
    counts = runs.groupby(["pretrained", "num_fewshot"]).size().rename("num_runs").reset_index()
    places = {name: place for place, name in enumerate(sort_models(runs)["pretrained"])}
    joined = best.merge(counts, on=["pretrained", "num_fewshot"])
    order = joined.assign(place=joined["pretrained"].map(places)).sort_values(["place", "num_fewshot"])
    return order.drop(columns="place").reset_index(drop=True)


def best_table(table: pd.DataFrame, *, title: str | None = None) -> go.Figure:
    """Draw the best settings of each model and number of shots as a table; settings that never differ stand above.

    Args:
        table: runs with their scores, of one test and task.
        title: in place of the test's name.

    Raises:
        ConfigurationError: an empty or mixed table, or one without scores.
    """
    best = best_settings(table)
    columns = _columns(best)
    widths = [_width(label, values) for label, values in columns.items()]
    same = say_constant(best)
    notes = [f"the same in all: {same}"] if same else []
    notes.append("runs: of how many it is the best" + ("; *: below chance" if best["below_chance"].any() else ""))
    lines = [text.count("<br>") for text in columns.get("settings", [])]
    layout = new_layout(
        title or f"{name_test(table)}: best settings",
        plot_height=_ROW_PX * len(best) + sum(_LINE_PX * number + 5 * bool(number) for number in lines) + 80,
        subtitle="<br>".join(notes),
        above=10,
        below=12,
    )
    margin, width = {**layout["margin"], "l": 10, "r": 10}, int(max(500, sum(widths) + 30))
    return go.Figure(_fill_table(columns, widths), layout={**layout, "width": width, "margin": margin})


def _columns(best: pd.DataFrame) -> dict[str, list[str]]:
    """Return the cells of each column, by its label."""
    marks = ["*" if below else "" for below in best["below_chance"].astype(bool)]
    columns: dict[str, list[str]] = {
        "model": [str(name) for name in best["model"]],
        "shots": [str(number) for number in best["num_fewshot"]],
        "runs": [str(number) for number in best["num_runs"]],
        "acc": [f"{_say_number(value)}{mark}" for value, mark in zip(best["acc"], marks, strict=True)],
    }
    for column, label in _SCORES.items():
        columns[label] = [_say_number(value) for value in best[column]]
    varying = varying_settings(best)
    if "encoding_scheme" in varying:
        columns["scheme"] = [say("encoding_scheme", scheme) for scheme in best["encoding_scheme"]]
    others = [name for name in varying if name != "encoding_scheme"]
    if others:
        columns["settings"] = [_say_settings(run, others) for run in best.to_dict("records")]
    return columns


def _fill_table(columns: Mapping[str, list[str]], widths: list[float]) -> go.Table:
    common = {"align": "left", "fill_color": "white", "line_color": GRID, "font": {"size": SMALL}}
    return go.Table(
        columnwidth=widths,
        header={"values": [f"<b>{label}</b>" for label in columns], "height": 2 * _LINE_PX, **common},
        cells={"values": list(columns.values()), "height": _ROW_PX, **common},
    )


def _say_number(value: float | None) -> str:
    return NOTHING if pd.isna(value) else f"{value:.3f}".replace("-", "−")  # noqa: RUF001


def _width(label: str, values: list[str]) -> float:
    longest = max(len(part) for text in (label, *values) for part in text.split("<br>"))
    return _LETTER_PX * longest + 22


def _say_settings(run: Mapping[Hashable, Any], names: Sequence[str]) -> str:
    """Return the settings that a run sets, the layer always."""
    said = [
        f"{SHORT_LABELS[name]}: {say(name, run[name])}"
        for name in names
        if pd.notna(run[name]) or name == "ENCODING_LAYER"
    ]
    lines = [""]
    for text in said:
        if lines[-1] and len(lines[-1]) + len(text) > _SETTINGS_LETTERS:
            lines.append("")
        lines[-1] += f"; {text}" if lines[-1] else text
    return ";<br>".join(lines) or "none"
