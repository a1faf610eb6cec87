"""The two scores of experiment §8 and the buttons that change a figure from one to the other."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from pandas import DataFrame, Series
from plotly.utils import PlotlyJSONEncoder

from lm_eval.analysis.figures.style import SMALL


@dataclass(frozen=True)
class Score:
    """A score that figures can show."""

    column: str
    label: str
    """As the title of an axis."""
    button: str

    @property
    def error(self) -> str:
        """The column of its standard error."""
        return f"{self.column}_stderr"

    def chance(self, rows: DataFrame) -> "Series[float]":
        """Return what guessing gives, run by run."""
        if self.column == "acc":
            return rows["chance"].astype(float)
        if self.column == "normalised":
            return rows["chance"] / rows["baseline"]
        return (rows["chance"] * 0).where(rows[self.column].notna())

    def baseline(self, rows: DataFrame) -> "Series[float]":
        """Return what the baseline gives, run by run."""
        if self.column == "acc":
            return rows["baseline"].astype(float)
        return (rows["baseline"] * 0 + 1).where(rows[self.column].notna())

    @property
    def has_one_scale(self) -> bool:
        """Whether baselines of all models are 1."""
        return self.column != "acc"


CHANCE_CORRECTED = Score("chance_corrected", "chance-corrected score", "chance-corrected")
NORMALISED = Score("normalised", "normalised score", "normalised (paper)")
ACCURACY = Score("acc", "accuracy", "accuracy")
_ROW_PX = 44
"""Height of the row of buttons, above the title."""
_FURTHEST = 3.0
"""What plotly allows; in a figure much smaller than its margins the buttons come to stand further inside."""


def scores_of(table: DataFrame) -> tuple[Score, ...]:
    """Return the scores that runs are shown in, the one that opens first (experiment §8).

    It is the chance-corrected one; accuracy where no baseline is clear of chance. The paper's normalised score is the
    other, where there is a baseline.
    """
    first = ACCURACY if table[CHANCE_CORRECTED.column].isna().all() else CHANCE_CORRECTED
    return (first,) if table[NORMALISED.column].isna().all() else (first, NORMALISED)


def with_toggle(draw: Callable[[Score], go.Figure], table: DataFrame) -> go.Figure:
    """Return one figure of both scores: the chance-corrected one shows first, buttons change to the other and back.

    The buttons have a row of their own above the title. `meta` of a trace names the score that it belongs to.

    Args:
        draw: makes the figure of a score.
        table: the runs it draws.
    """
    scores = scores_of(table)
    drawn = [draw(score) for score in scores]
    for score, figure in zip(scores, drawn, strict=True):
        figure.update_traces(meta={"score": score.column})
    if len(drawn) == 1:
        return drawn[0]
    layouts = [_move_down(figure.layout.to_plotly_json(), _ROW_PX) for figure in drawn]
    for trace in drawn[1].data:
        trace.visible = False
    traces = [trace for figure in drawn for trace in figure.data]
    shown = [[trace.meta["score"] == score.column for trace in traces] for score in scores]
    changes = _changes(layouts)
    buttons = [
        {"label": score.button, "method": "update", "args": [{"visible": visible}, change]}
        for score, visible, change in zip(scores, shown, changes, strict=True)
    ]
    menu = {
        "type": "buttons",
        "direction": "right",
        "buttons": buttons,
        "x": min(1 + layouts[0]["margin"]["r"] / _plot_width(layouts[0]), _FURTHEST),
        "xanchor": "right",
        "y": _top_of_container(layouts[0]),
        "yanchor": "top",
        "pad": {"t": 3, "r": 7},
        "font": {"size": SMALL - 3},
        "showactive": True,
    }
    return go.Figure(data=traces, layout={**layouts[0], "updatemenus": [menu]})


def _changes(layouts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what changes in the layout with each score."""
    texts = [{key: json.dumps(value, cls=PlotlyJSONEncoder) for key, value in layout.items()} for layout in layouts]
    changing = [key for key in {**layouts[0], **layouts[1]} if texts[0].get(key) != texts[1].get(key)]
    return [
        {**{key: layout.get(key) for key in changing}, "updatemenus[0].y": _top_of_container(layout)}
        for layout in layouts
    ]


def without_buttons(figure: go.Figure) -> go.Figure:
    """Return a figure as it first shows, without buttons and their row: for pictures and print."""
    if not figure.layout.updatemenus:
        return figure
    still = go.Figure(figure)
    layout = still.layout.to_plotly_json()
    del layout["updatemenus"]
    still.layout = _move_down(layout, -_ROW_PX)
    return still


def _move_down(layout: dict[str, Any], by: int) -> dict[str, Any]:
    """Return a layout made by `new_layout` with so many pixels more above its title."""
    height, title, margin = layout["height"], layout["title"], layout["margin"]
    moved = {
        **layout,
        "height": height + by,
        "title": {**title, "pad": {**title["pad"], "t": title["pad"]["t"] + by}},
        "margin": {**margin, "t": margin["t"] + by},
    }
    if "legend" in layout:
        above = (1 - layout["legend"]["y"]) * height
        moved["legend"] = {**layout["legend"], "y": 1 - (above + by) / (height + by)}
    return moved


def _top_of_container(layout: dict[str, Any]) -> float:
    """Return where a figure's upper edge lies, as buttons count: 0 and 1 are the ends of its panels."""
    margin = layout["margin"]
    return min(1 + float(margin["t"]) / float(layout["height"] - margin["t"] - margin["b"]), _FURTHEST)


def _plot_width(layout: dict[str, Any]) -> float:
    return float(layout["width"] - layout["margin"]["l"] - layout["margin"]["r"])
