"""The best score over layers, as a line for each value of a setting."""

import pandas as pd
import plotly.graph_objects as go

from lm_eval.analysis.figures.labels import say
from lm_eval.analysis.figures.layer_runs import LAYER, LayerRuns, is_numbered, label_layers, list_layers
from lm_eval.analysis.figures.layout import Legend, new_layout, span
from lm_eval.analysis.figures.panels import Panels
from lm_eval.analysis.figures.score_toggle import Score, with_toggle
from lm_eval.analysis.figures.style import (
    COLOURS,
    DASHED,
    DASHES,
    FAINT,
    INK,
    SYMBOLS,
    Look,
    look_of,
    place_of,
)

_PANEL_PX = 270
_GAP_PX = 44
_LAST_RANK = 2000


def layer_lines(
    table: pd.DataFrame, *, by: str = "encoding_scheme", model: str | None = None, title: str | None = None
) -> go.Figure:
    """Draw the best score over layers, a line for each value of a setting; hollow points lie below chance.

    Lines join layers with numbers; those given by name (`middle`, `last`, from the end) stand on the right.

    Args:
        table: runs with their scores, of one test and task.
        by: the setting whose values are the lines.
        model: whose runs (`pretrained`); None takes the model with runs at the most layers.
        title: in place of the test's and the model's name.

    Raises:
        ConfigurationError: an empty or mixed table, or one with a single layer.
    """
    runs = LayerRuns.choose(table, by=by, model=model)
    return with_toggle(lambda score: _draw(runs, title or runs.title, score), runs.table)


def _draw(runs: LayerRuns, title: str, score: Score) -> go.Figure:
    values = sorted(runs.table[runs.by].unique(), key=lambda value: (place_of(str(value)), str(value)))
    panels = Panels(runs.shots, _PANEL_PX, _GAP_PX)
    for row, number in enumerate(runs.shots, start=1):
        of_shots = runs.table[runs.table["num_fewshot"] == number]
        for index, value in enumerate(values):
            is_value = of_shots[runs.by].isna() if value is None else of_shots[runs.by] == value
            best = runs.best(of_shots[is_value], score)
            _add_line(panels, row, best, score, look=_look(runs.by, value, index), rank=index)
        _add_levels(panels, row, runs.layers, score.chance(of_shots).dropna())
    figure = panels.figure
    hollow = {"symbol": "circle-open", "size": 9, "color": FAINT, "line": {"width": 2}}
    key = go.Scatter(x=[None], y=[None], mode="markers", marker=hollow, name="hollow: below chance")
    figure.add_trace(key.update(legendrank=_LAST_RANK))
    legend = Legend(len(panels.in_legend) + 1)
    layout = new_layout(title, plot_height=panels.plot_height, subtitle=runs.subtitle, legend=legend, below=90)
    figure.update_layout(**layout)
    label_layers(figure, runs.layers, ends=(-0.6, len(runs.layers) - 0.4), last_row=len(runs.shots))
    panels.share_y(score.label, span(figure.data, "y", including=(1,)))
    panels.add_titles()
    return figure


def _look(setting: str, value: str | None, index: int) -> Look:
    """Return how the line of a setting's value is drawn; `index` is its place among all."""
    if setting == "encoding_scheme":
        return look_of(value)
    colour, symbol, dash = (choices[index % len(choices)] for choices in (COLOURS, SYMBOLS, DASHES))
    return Look(label=say(setting, value), colour=colour, pattern="", symbol=symbol, dash=dash)


def _add_line(panels: Panels, row: int, best: pd.DataFrame, score: Score, *, look: Look, rank: int) -> None:
    """Draw the points of a value, joined where layers have numbers."""
    if best.empty:
        return
    points = best.set_index(LAYER).reindex(list_layers(best[LAYER])).reset_index()
    joined = points[LAYER].map(is_numbered).astype(bool)
    for part, mode in ((points[joined], "lines+markers"), (points[~joined], "markers")):
        if len(part):
            panels.add_named(row, _points(part, score, look, mode), look.label, rank=rank)


def _points(runs: pd.DataFrame, score: Score, look: Look, mode: str) -> go.Scatter:
    symbols = [f"{look.symbol}-open" if below else look.symbol for below in runs["below_chance"].eq(True)]
    line = {"width": 1.5, "color": look.colour}
    return go.Scatter(
        x=runs[LAYER],
        y=runs[score.column],
        error_y={"type": "data", "array": runs[score.error].fillna(0.0), "thickness": 1, "width": 0},
        mode=mode,
        line={"color": look.colour, "dash": look.dash, "width": 2},
        marker={"color": look.colour, "symbol": symbols, "size": 7, "line": line},
        customdata=runs["num_runs"],
        hovertemplate=f"{look.label}, layer %{{x}}<br>best of %{{customdata}} runs: %{{y:.3f}}<extra></extra>",
    )


def _add_levels(panels: Panels, row: int, layers: list[str], chance: "pd.Series[float]") -> None:
    """Draw the baseline, and chance where it is known, through a panel."""
    levels = {"baseline = 1": (1.0, FAINT, DASHED)}
    if len(chance):
        levels["chance (guessing)"] = (float(chance.iloc[-1]), INK, "solid")
    for name, (level, colour, dash) in levels.items():
        line = {"color": colour, "width": 2.5, "dash": dash}
        ends = [layers[0], layers[-1]]
        trace = go.Scatter(x=ends, y=[level, level], mode="lines", line=line, hoverinfo="skip")
        panels.add_named(row, trace, name, rank=_LAST_RANK)
