"""Scores over layers: settings that stay the same in colour, the best of all runs at each layer in grey."""

import pandas as pd
import plotly.graph_objects as go

from lm_eval.analysis.figures.labels import BARS, say, say_constant, say_data, say_run
from lm_eval.analysis.figures.layer_runs import LAYER, LayerRuns, best_of, is_numbered, label_layers, list_layers
from lm_eval.analysis.figures.layout import Legend, error_bars, lines, new_layout, span
from lm_eval.analysis.figures.panels import Panels
from lm_eval.analysis.figures.score_toggle import Score, with_toggle
from lm_eval.analysis.figures.style import (
    DASHED,
    DASHES,
    FAINT,
    INK,
    OTHER_COLOURS,
    STATES,
    SYMBOLS,
    TRIED,
    Look,
    fills,
    key_of,
    look_of,
    place_of,
)
from lm_eval.results.labels import LABELS

_PANEL_PX = 270
_GAP_PX = 44
_LAST_RANK = 2000
_WIDE_PX = 7
_BEST_LOOK = Look(label="best of all runs there", colour=TRIED, pattern="", symbol="circle", dash="solid")


def layer_lines(
    table: pd.DataFrame, *, by: str = "encoding_scheme", model: str | None = None, title: str | None = None
) -> go.Figure:
    """Draw scores over layers: a line for each value of a setting, the others fixed, and the best of all runs in grey.

    Points that lie below chance are hollow, those that can't be told from it pale. Lines join neighbouring layers.

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
    values = sorted(runs.fixed[runs.by].unique(), key=lambda value: (place_of(str(value)), str(value)))
    panels = Panels(runs.shots, _PANEL_PX, _GAP_PX)
    for row, number in enumerate(runs.shots, start=1):
        every, fixed = (table[table["num_fewshot"] == number] for table in (runs.table, runs.fixed))
        best = best_of(every, [LAYER], score)
        _add_line(panels, row, best, score, look=_BEST_LOOK, rank=_LAST_RANK)
        for index, value in enumerate(values):
            is_value = fixed[runs.by].isna() if value is None else fixed[runs.by] == value
            points = best_of(fixed[is_value], [LAYER], score).assign(num_runs=1)
            _add_line(panels, row, points, score, look=_look(runs.by, value, index), rank=index)
        _add_levels(panels, row, runs.layers, score, every)
    figure = panels.figure
    _add_states(panels)
    constant = say_constant(runs.fixed.drop(columns=[runs.by]).assign(**{runs.by: None}))
    subtitle = lines(
        f"in colour, by {LABELS[runs.by]}, settings stay the same: {constant}",
        "in grey: the best of all runs at each layer, whatever their settings",
        f"{say_data(runs.table)}; {BARS}",
        runs.apart,
    )
    legend = Legend(len(panels.in_legend))
    layout = new_layout(title, plot_height=panels.plot_height, subtitle=subtitle, legend=legend, below=90)
    figure.update_layout(**layout)
    label_layers(figure, runs.layers, ends=(-0.6, len(runs.layers) - 0.4), last_row=len(runs.shots))
    panels.share_y(score.label, span(figure.data, "y", including=(1,) if score.has_one_scale else ()))
    panels.add_titles()
    return figure


def _look(setting: str, value: str | None, index: int) -> Look:
    """Return how the line of a setting's value is drawn; `index` is its place among all."""
    if setting == "encoding_scheme":
        return look_of(value)
    colour, symbol, dash = (choices[index % len(choices)] for choices in (OTHER_COLOURS, SYMBOLS, DASHES))
    return Look(label=say(setting, value), colour=colour, pattern="", symbol=symbol, dash=dash)


def _add_line(panels: Panels, row: int, best: pd.DataFrame, score: Score, *, look: Look, rank: int) -> None:
    """Draw the points of a line, joined where layers have numbers."""
    if best.empty:
        return
    line = {"color": look.colour, "dash": look.dash, "width": _width(look)}
    panels.add_key(look.label, rank=rank, line=line, marker={"color": look.colour, "symbol": look.symbol, "size": 8})
    points = best.set_index(LAYER).reindex(list_layers(best[LAYER])).reset_index()
    joined = points[LAYER].map(is_numbered).astype(bool)
    for part, mode in ((points[joined], "lines+markers"), (points[~joined], "markers")):
        if len(part):
            panels.add_named(row, _points(part, score, look, mode), look.label, rank=rank)


def _width(look: Look) -> int:
    """Return how wide a line is: that of the best is so wide that it is told from others without colours too."""
    return _WIDE_PX if look is _BEST_LOOK else 2


def _points(runs: pd.DataFrame, score: Score, look: Look, mode: str) -> go.Scatter:
    is_run = runs[score.column].notna()
    heads = ["" if number == 1 else f"the best of {number:,.0f} runs at this layer" for number in runs["num_runs"]]
    records = runs.to_dict("records")
    texts = [
        say_run(run, score, head=head) if drawn else "no run"
        for run, head, drawn in zip(records, heads, is_run, strict=True)
    ]
    return go.Scatter(
        x=runs[LAYER],
        y=runs[score.column],
        error_y=error_bars(runs[score.error], color=look.colour, thickness=1, width=0),
        mode=mode,
        line={"color": look.colour, "dash": look.dash, "width": _width(look)},
        marker={
            "color": fills(look.colour, runs["versus_chance"]),
            "symbol": look.symbol,
            "size": 8,
            "line": {"width": 1.5, "color": look.colour},
        },
        hovertext=texts,
        hoverinfo="text",
    )


def _add_states(panels: Panels) -> None:
    """Name in the legend how points that don't lie above chance are drawn."""
    for state, name in STATES.items():
        panels.add_key(name, rank=_LAST_RANK + 1, mode="markers", marker=key_of(state))


def _add_levels(panels: Panels, row: int, layers: list[str], score: Score, runs: pd.DataFrame) -> None:
    """Draw baseline and chance through a panel, where they are known."""
    known = {
        "baseline = 1" if score.has_one_scale else "baseline": (score.baseline(runs).dropna(), FAINT, DASHED),
        "chance (guessing)": (score.chance(runs).dropna(), INK, "solid"),
    }
    for name, (levels, colour, dash) in known.items():
        if len(levels):
            line = {"color": colour, "width": 2, "dash": dash}
            y = [float(levels.iloc[-1])] * 2
            trace = go.Scatter(x=[layers[0], layers[-1]], y=y, mode="lines", line=line, hoverinfo="skip")
            panels.add_named(row, trace, name, rank=_LAST_RANK)
