"""The best settings of each model, as a table."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from lm_eval.analysis.figures.labels import name_test, say, say_constant, say_data, say_number, varying_settings
from lm_eval.analysis.figures.layout import lines, new_layout
from lm_eval.analysis.figures.selection import check, is_control, sort_models
from lm_eval.analysis.figures.style import GRID, SMALL
from lm_eval.analysis.findings import count_tried
from lm_eval.analysis.scores import BELOW, NOT_TOLD
from lm_eval.errors import ConfigurationError
from lm_eval.results.labels import SHORT_LABELS

_ROW_PX = 30
_LETTER_PX = 9.4
_LINE_PX = 22
"""Of a further line in a row, and of a line of the header."""
_SETTINGS_LETTERS = 44
"""Of a line of settings."""
_MARKS = {BELOW: ("*", "below chance"), NOT_TOLD: ("?", "not told from chance")}
_SCORES = {"chance_corrected": "chance-<br>corr.", "normalised": "norm-<br>alised"}


def best_settings(table: pd.DataFrame) -> pd.DataFrame:
    """Return the best run of each model and number of shots, models in the order of figures.

    Returns:
        The columns of the table, with `num_runs`: how many the run is the best of.

    Raises:
        ConfigurationError: an empty or mixed table, or one without scores.
    """
    runs = check(table)
    runs = runs[~is_control(runs)].dropna(subset=["acc"])
    best = count_tried(runs, "acc").drop_duplicates(["pretrained", "num_fewshot"], keep="last")
    if best.empty:
        raise ConfigurationError("no runs with an accuracy in the table")
    places = {name: place for place, name in enumerate(sort_models(runs)["pretrained"])}
    order = best.assign(place=best["pretrained"].map(places)).sort_values(["place", "num_fewshot"])
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
    width = int(max(500, sum(widths) + 30))
    same = say_constant(best)
    marks = {state: text for state, text in _MARKS.items() if (best["versus_chance"] == state).any()}
    how = "".join(f"; {mark} {state_in_words}" for mark, state_in_words in marks.values())
    notes = [f"the same in all: {same}" if same else "", f"runs: of how many it is the best{how}", say_data(best)]
    rows = [text.count("<br>") for text in columns.get("settings", [])]
    layout = new_layout(
        title or f"{name_test(table)}: best settings",
        plot_height=_ROW_PX * len(best) + sum(_LINE_PX * number + 5 * bool(number) for number in rows) + 80,
        subtitle=lines(*notes, width=width),
        above=10,
        below=12,
    )
    margin = {**layout["margin"], "l": 10, "r": 10}
    return go.Figure(_fill_table(columns, widths), layout={**layout, "width": width, "margin": margin})


def _columns(best: pd.DataFrame) -> dict[str, list[str]]:
    """Return the cells of each column, by its label."""
    marks = [_MARKS[state][0] if state in _MARKS else "" for state in best["versus_chance"]]
    columns: dict[str, list[str]] = {
        "model": [str(name) for name in best["model"]],
        "shots": [str(number) for number in best["num_fewshot"]],
        "runs": [f"{number:,}" for number in best["num_runs"]],
        "acc": [f"{say_number(value)}{mark}" for value, mark in zip(best["acc"], marks, strict=True)],
    }
    for column, label in _SCORES.items():
        columns[label] = [say_number(value) for value in best[column]]
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
