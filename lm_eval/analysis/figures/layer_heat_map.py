"""The best score at each layer and value of a setting, as a heat map."""

from collections.abc import Iterator

import pandas as pd
import plotly.graph_objects as go

from lm_eval.analysis.figures.labels import say_data, say_run
from lm_eval.analysis.figures.layer_runs import LAYER, VALUE, LayerRuns, label_layers
from lm_eval.analysis.figures.layout import lines, new_layout
from lm_eval.analysis.figures.panels import Panels
from lm_eval.analysis.figures.score_toggle import Score, with_toggle
from lm_eval.analysis.figures.style import COLOUR_SCALE, SMALL
from lm_eval.analysis.scores import BELOW, NOT_TOLD
from lm_eval.results.labels import LABELS

_ROW_PX = 27
_LOWEST_PX = 110
"""Height of a panel, at least."""
_GAP_PX = 44
_COLUMN_PX = 19
"""Of a layer, at least: so much the name of one needs."""
_LETTER_PX = 9
_BAR_PX = 130
"""Room for the colour bar."""
_EMPTY = "#f0f0f0"


def layer_heat_map(
    table: pd.DataFrame, *, by: str = "WORD_AGG_SCHEME", model: str | None = None, title: str | None = None
) -> go.Figure:
    """Draw the best score at each layer and value of a setting as colours.

    A cross marks a best run below chance, a dot one that can't be told from it.

    Args:
        table: runs with their scores, of one test and task.
        by: the setting whose values are the rows.
        model: whose runs (`pretrained`); None takes the model with runs at the most layers.
        title: in place of the test's and the model's name.

    Raises:
        ConfigurationError: an empty or mixed table, or one with a single layer.
    """
    runs = LayerRuns.choose(table, by=by, model=model)
    return with_toggle(lambda score: _draw(runs, title or runs.title, score), runs.table)


def _draw(runs: LayerRuns, title: str, score: Score) -> go.Figure:
    table, layers = runs.table, runs.layers
    best = [runs.best(table[table["num_fewshot"] == number], score) for number in runs.shots]
    overall = pd.concat(best).groupby(VALUE)[score.column].max()
    values = [str(value) for value in overall.sort_values(kind="stable").index]
    panels = Panels(runs.shots, max(_ROW_PX * len(values), _LOWEST_PX), _GAP_PX)
    for row, of_shots in enumerate(best, start=1):
        panels.add(row, _cells(of_shots, score, values=values, layers=layers))
        for mark in marks_of(of_shots, x=LAYER, y=VALUE):
            panels.add(row, mark)
    subtitle = lines(
        f"the best run at each layer, by {LABELS[runs.by]}, whatever its other settings",
        "cross: even the best is below chance; dot: not told from chance; pale: no run",
        say_data(table),
        runs.apart,
    )
    layout = new_layout(title, plot_height=panels.plot_height, subtitle=subtitle, below=90)
    names = _LETTER_PX * max(len(value) for value in values)
    width = max(layout["width"], int(names + _COLUMN_PX * len(layers)) + _BAR_PX)
    figure = panels.figure
    figure.update_layout(**{**layout, "width": width})
    bar = {"title": {"text": score.label, "side": "right"}, "thickness": 16, "tickfont": {"size": SMALL}}
    scale = {"colorscale": COLOUR_SCALE, "colorbar": {**bar, "outlinewidth": 0}}
    figure.update_layout(coloraxis=scale, plot_bgcolor=_EMPTY)
    label_layers(figure, layers, ends=(-0.5, len(layers) - 0.5), last_row=len(runs.shots))
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=values, showgrid=False)
    figure.update_yaxes(range=(-0.5, len(values) - 0.5))
    panels.add_titles()
    return figure


def _cells(best: pd.DataFrame, score: Score, *, values: list[str], layers: list[str]) -> go.Heatmap:
    scores = best.pivot(index=VALUE, columns=LAYER, values=score.column).reindex(index=values, columns=layers)
    said = {
        (run[VALUE], run[LAYER]): say_run(run, score, head=f"the best of {run['num_runs']:,} runs at this layer")
        for run in best.to_dict("records")
    }
    return go.Heatmap(
        x=layers,
        y=values,
        z=scores.to_numpy(dtype=float),
        hovertext=[[said.get((value, layer), "no run") for layer in layers] for value in values],
        hoverinfo="text",
        coloraxis="coloraxis",
        xgap=1,
        ygap=1,
    )


def marks_of(best: pd.DataFrame, *, x: str, y: str, below: bool = False) -> Iterator[go.Scatter]:
    """Yield crosses on cells that lie below chance, and dots on those that can't be told from it.

    Args:
        best: the run of each cell.
        x: the column by which cells stand from left to right.
        y: the column of their rows.
        below: whether they stand in the lower half of a cell, as its middle holds a number.
    """
    looks = {BELOW: {"symbol": "x-thin", "size": 9}, NOT_TOLD: {"symbol": "circle", "size": 4}}
    for state, look in looks.items():
        of_state = best[best["versus_chance"] == state]
        marker = {**look, "color": "white", "line": {"color": "white", "width": 1.8 if state == BELOW else 0}}
        yield go.Scatter(
            x=of_state[x],
            y=of_state[y],
            mode="text" if below else "markers",
            marker=marker,
            text=["<br>✕" if state == BELOW else "<br>●"] * len(of_state),
            textposition="bottom center",
            textfont={"color": "white", "size": 7},
            hoverinfo="skip",
            showlegend=False,
        )
