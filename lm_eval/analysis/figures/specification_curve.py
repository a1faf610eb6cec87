"""All runs of a model from the worst to the best, and which settings the runs at each height have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from lm_eval.analysis.figures.labels import (
    join_layers,
    name_models,
    name_test,
    say,
    say_constant,
    say_data,
    say_run,
    say_shots,
    varying_settings,
)
from lm_eval.analysis.figures.layout import error_bars, lines, new_layout
from lm_eval.analysis.figures.score_toggle import Score, with_toggle
from lm_eval.analysis.figures.selection import check, is_control
from lm_eval.analysis.figures.style import DASHED, FAINT, INK, SMALL, WIDTH
from lm_eval.analysis.layers import number_layers
from lm_eval.analysis.scores import INTERVAL
from lm_eval.common.text import count_of
from lm_eval.errors import ConfigurationError
from lm_eval.results.labels import LABELS

_CURVE_PX, _ROW_PX, _GAP_PX = 260, 21, 14
_LETTER_PX = 8.6
_SEED = 0
_SLICES = 48
"""Columns of the matrix, at most."""
_MOST_POINTS = 300
"""Of the curve: what is drawn of more runs is every so many, and all at both ends."""
_MOST_TIMES = 4.0
"""A value is as dark as can be where it is so many times as common as among all runs, or more."""
_SHADES = ((0.0, "white"), (0.5, "#b5b5b5"), (1.0, "black"))
_FEW_SHADE = 1.2
"""Where each run has a column of its own, that of all its values."""
_BAND = "#d5d5d5"


def specification_curve(table: pd.DataFrame, *, num_fewshot: int, title: str | None = None) -> go.Figure:
    """Draw runs in the order of their scores, and below them how common each value of a setting is at each height.

    Args:
        table: runs with their scores, of one test and task.
        num_fewshot: of the runs to draw.
        title: in place of the test's name.

    Raises:
        ConfigurationError: an empty or mixed table, or fewer than two runs of so many shots.
    """
    runs = check(table)
    runs = number_layers(runs[~is_control(runs) & (runs["num_fewshot"] == num_fewshot) & runs["acc"].notna()])
    if len(runs) < 2:
        raise ConfigurationError(
            f"no curve to draw: the table has {count_of(len(runs), 'run')} of {say_shots(num_fewshot)}; "
            "add values to the lists in scripts/run_parallel_*.py"
        )
    return with_toggle(lambda score: _draw(runs, title, score), runs)


@dataclass(frozen=True)
class _Matrix:
    """The settings below the curve: a row for each value, below a row for each setting's name."""

    names: list[str]
    """From the top; those of settings in bold."""
    times: Float[np.ndarray, "row slice"]
    """How many times as common a value is in a slice as among all runs; NaN in the rows of settings' names."""
    texts: list[list[str]]
    """What is told of each."""
    edges: Float[np.ndarray, " edge"]
    """Of the slices, in places of runs."""


def _draw(runs: pd.DataFrame, title: str | None, score: Score) -> go.Figure:
    known = runs.dropna(subset=[score.column]).sample(frac=1, random_state=_SEED)  # equal scores in no order
    ranked = known.sort_values(score.column, kind="stable").reset_index(drop=True)
    matrix = _make_matrix(ranked)
    below = _ROW_PX * len(matrix.names)
    plot_height = _CURVE_PX + _GAP_PX + below
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[_CURVE_PX, below],
                           vertical_spacing=_GAP_PX / plot_height)  # fmt: skip
    for trace in _curve(ranked, score):
        figure.add_trace(trace, row=1, col=1)
    figure.add_trace(_cells(matrix), row=2, col=1)
    number = len(ranked)
    who = f"{name_test(runs)}: {name_models(runs)}, {say_shots(int(runs['num_fewshot'].iloc[0]))}"
    same = say_constant(ranked)
    subtitle = lines(
        f"top: runs from the worst to the best, {'bars' if number <= _SLICES else 'band'}: 95 % intervals",
        "below: which settings the runs at each height have" + (f"; the same in all: {same}" if same else ""),
        say_data(ranked),
        width=WIDTH - 20,
    )
    layout = new_layout(
        title or f"{who}, all {count_of(number, 'run')}", plot_height=plot_height, subtitle=subtitle, above=8
    )
    left = int(_LETTER_PX * max(len(name.removeprefix("<b>").removesuffix("</b>")) for name in matrix.names)) + 22
    margin = {**layout["margin"], "l": max(left, 75), "r": 15 if number <= _SLICES else 110}
    figure.update_layout(**{**layout, "margin": margin})
    _scale_axes(figure, ranked, matrix, score)
    return figure


def _scale_axes(figure: go.Figure, ranked: pd.DataFrame, matrix: _Matrix, score: Score) -> None:
    number = len(ranked)
    low, high = _span_band(ranked, score)
    figure.update_yaxes(type="linear", range=(low, high), title_text=score.label, row=1)
    figure.update_yaxes(
        range=(len(matrix.names) - 0.5, -0.5), tickvals=list(range(len(matrix.names))), ticktext=matrix.names,
        showgrid=False, ticks="", tickfont={"size": SMALL - 1}, type="linear", row=2, showline=False, automargin=False,
    )  # fmt: skip
    figure.update_xaxes(type="linear", range=(0, number), showgrid=False)
    figure.update_xaxes(title_text="run, from the worst to the best", row=2)
    levels = {"chance": (score.chance(ranked), {"color": INK, "width": 1.5}),
              "baseline": (score.baseline(ranked), {"color": FAINT, "width": 2, "dash": DASHED})}  # fmt: skip
    shapes, notes = [], []
    for name, (values, line) in levels.items():
        known = values.dropna().unique()
        if len(known) == 0 or not low <= known.min() <= known.max() <= high or np.ptp(known) > 0.01:
            continue
        level = float(known[0])
        shapes.append({"type": "line", "xref": "x domain", "x0": 0, "x1": 1, "yref": "y", "y0": level, "y1": level,
                       "line": line})  # fmt: skip
        notes.append({"text": name, "xref": "x domain", "x": 0.995, "yref": "y", "y": level, "xanchor": "right",
                      "yanchor": "bottom", "showarrow": False,
                      "font": {"size": SMALL - 2, "color": FAINT}})  # fmt: skip
    figure.update_layout(shapes=shapes, annotations=notes, showlegend=False)


def _span_band(ranked: pd.DataFrame, score: Score) -> tuple[float, float]:
    values, errors = ranked[score.column], INTERVAL * ranked[score.error].fillna(0.0)
    low, high = float((values - errors).min()), float((values + errors).max())
    return low - 0.05 * (high - low), high + 0.05 * (high - low)


def _curve(ranked: pd.DataFrame, score: Score) -> list[go.Scatter]:
    """Return the scores in order: of few runs points with bars, of many a line in a band."""
    number = len(ranked)
    places = ranked.index.to_numpy() + 0.5
    step = max(1, number // _MOST_POINTS)
    drawn = [place for place in range(number) if place % step == 0 or place < 10 or place >= number - 10]
    heads = [f"place {number - place:,} of {number:,}" for place in drawn]
    texts = [say_run(run, score, head=head)
             for run, head in zip(ranked.iloc[drawn].to_dict("records"), heads, strict=True)]  # fmt: skip
    points = go.Scatter(
        x=places[drawn], y=ranked[score.column].iloc[drawn], mode="markers", hovertext=texts, hoverinfo="text",
        marker={"color": INK, "size": 6}, showlegend=False,
    )  # fmt: skip
    if number <= _SLICES:
        return [points.update(error_y=error_bars(ranked[score.error]))]
    values, errors = ranked[score.column].iloc[drawn], INTERVAL * ranked[score.error].iloc[drawn].fillna(0.0)
    band = go.Scatter(
        x=[*places[drawn], *places[drawn][::-1]], y=[*(values + errors), *(values - errors)[::-1]], fill="toself",
        fillcolor=_BAND, line={"width": 0}, mode="lines", hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    return [band, points.update(mode="lines", line={"color": INK, "width": 2})]


def _make_matrix(ranked: pd.DataFrame) -> _Matrix:
    number = len(ranked)
    edges = np.unique(np.linspace(0, number, min(number, _SLICES) + 1).round().astype(int))
    slices = np.searchsorted(edges, np.arange(number), side="right") - 1
    names: list[str] = []
    rows: list[Float[np.ndarray, " slice"]] = []
    texts: list[list[str]] = []
    for label, values in _columns(ranked).items():
        names.append(f"<b>{label}</b>")
        rows.append(np.full(len(edges) - 1, np.nan))
        texts.append([""] * (len(edges) - 1))
        for value, is_value in _sort_values(values):
            names.append(value)
            share = np.bincount(slices, weights=is_value) / np.diff(edges)
            rows.append(share / is_value.mean())
            texts.append([_say_share(label, value, part, is_value.mean()) for part in share])
    return _Matrix(names, np.array(rows), texts, edges.astype(float))


def _columns(ranked: pd.DataFrame) -> dict[str, list[str]]:
    """Return the settings that vary, by their labels, with the value of each run; the model where there are several."""
    columns = {"model": [str(name) for name in ranked["model"]]} if ranked["model"].nunique() > 1 else {}
    for name in varying_settings(ranked):
        values = [say(name, value) for value in ranked[name]]
        columns[LABELS[name]] = join_layers(values) if name.endswith("LAYER") else values
    return columns


def _sort_values(values: Sequence[str]) -> list[tuple[str, Float[np.ndarray, " run"]]]:
    """Return each value with the runs that have it, that of the better runs first."""
    texts = np.array(values)
    marks: Mapping[str, Float[np.ndarray, " run"]] = {value: (texts == value).astype(float) for value in set(values)}
    ranks = np.arange(len(values))
    return sorted(marks.items(), key=lambda item: (-float(ranks[item[1] > 0].mean()), item[0]))


def _say_share(label: str, value: str, share: float, overall: float) -> str:
    return f"{label}: {value}<br>{share:.0%} of the runs here, {overall:.0%} of all"


def _cells(matrix: _Matrix) -> go.Heatmap:
    most = np.log2(_MOST_TIMES)
    with np.errstate(divide="ignore"):
        shades = np.clip(np.log2(matrix.times), -most, most)
    bar: dict[str, Any] = {
        "title": {"text": "how common,<br>against all runs", "font": {"size": SMALL - 2}}, "thickness": 14, "len": 180,
        "lenmode": "pixels", "y": 0, "yanchor": "bottom", "outlinewidth": 1, "tickvals": [-most, 0, most],
        "ticktext": ["¼ of it", "as all", "4 times"], "tickfont": {"size": SMALL - 2},
    }  # fmt: skip
    few = len(matrix.edges) - 1 == matrix.edges[-1]
    if few:
        shades = np.where(shades > -most, _FEW_SHADE, shades)
    return go.Heatmap(
        x=matrix.edges, y=list(range(len(matrix.names))), z=shades, zmin=-most, zmax=most, colorscale=_SHADES,
        showscale=not few, colorbar=bar, hovertext=matrix.texts, hoverinfo="text", ygap=1, xgap=1 if few else 0,
    )  # fmt: skip
