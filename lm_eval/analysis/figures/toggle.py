"""The two scores of SPEC §8 and the buttons that change a figure from one to the other."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import plotly.graph_objects as go
from pandas import DataFrame, Series
from plotly.utils import PlotlyJSONEncoder

from lm_eval.analysis.figures.look import SMALL


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
        if self.column == "normalised":
            return rows["chance"] / rows["baseline"]
        return (rows["chance"] * 0).where(rows["baseline"] > rows["chance"])


NORMALISED = Score("normalised", "normalised score", "normalised")
CHANCE_CORRECTED = Score("chance_corrected", "chance-corrected score", "chance-corrected")
SCORES = (NORMALISED, CHANCE_CORRECTED)


def with_toggle(draw: Callable[[Score], go.Figure], table: DataFrame) -> go.Figure:
    """Return one figure of both scores: the normalised one shows first, buttons change to the other and back.

    Where no baseline lies above chance there is no chance-corrected score, and no button.

    Args:
        draw: makes the figure of a score.
        table: the runs it draws.
    """
    if table[CHANCE_CORRECTED.column].isna().all():
        return draw(NORMALISED)
    drawn = [draw(score) for score in SCORES]
    layouts = [figure.layout.to_plotly_json() for figure in drawn]
    texts = [{key: json.dumps(value, cls=PlotlyJSONEncoder) for key, value in layout.items()} for layout in layouts]
    changing = [key for key in {**layouts[0], **layouts[1]} if texts[0].get(key) != texts[1].get(key)]
    numbers = [len(figure.data) for figure in drawn]
    for trace in drawn[1].data:
        trace.visible = False
    merged = go.Figure(data=[*drawn[0].data, *drawn[1].data], layout=drawn[0].layout)
    buttons = []
    for index, score in enumerate(SCORES):
        shown = [which == index for which, number in enumerate(numbers) for _ in range(number)]
        layout = {key: layouts[index].get(key) for key in changing}
        buttons.append({"label": score.button, "method": "update", "args": [{"visible": shown}, layout]})
    menu = {
        "type": "buttons",
        "direction": "right",
        "buttons": buttons,
        "x": 1,
        "xanchor": "right",
        "y": 1,
        "yanchor": "bottom",
        "pad": {"b": 2, "r": 0},
        "font": {"size": SMALL - 3},
        "showactive": True,
    }
    merged.update_layout(updatemenus=[menu])
    return merged
