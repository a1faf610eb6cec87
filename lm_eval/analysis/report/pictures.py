"""Pictures of the figures that a page begins with.

plotly.js takes most of the time that a page needs to open. With pictures in place of what shows first, the page loads
it once a figure is touched, or one without a picture comes near.
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, NamedTuple

import plotly.graph_objects as go
from plotly.utils import PlotlyJSONEncoder

from lm_eval.analysis.figures.kaleido import draw
from lm_eval.analysis.report.assets import DARK, DARK_PAPER
from lm_eval.analysis.report.drawings import Drawing
from lm_eval.errors import ConfigurationError

NUM_PICTURES = 2
"""Figures from the top of the page, which fill more than a screen."""


class Picture(NamedTuple):
    """The addresses of a drawing's picture, which hold it."""

    light: str
    dark: str


def take_pictures(drawings: list[Drawing], score: str = "") -> dict[str, Picture]:
    """Return the pictures of the first drawings, by name; none where kaleido doesn't work, as pages do without them.

    Args:
        drawings: all drawings of a page, in its order.
        score: the column of the score that the page opens with; drawings that don't have it show their first one.
    """
    try:
        return {drawing.name: _take_picture(drawing.content, score) for drawing in drawings[:NUM_PICTURES]}
    except (ConfigurationError, ValueError, RuntimeError, OSError):
        return {}


def _take_picture(content: Mapping[str, Any], score: str) -> Picture:
    states = content["states"]
    state = states.get(score) or next(iter(states.values()))
    shown = [trace for trace, visible in zip(content["data"], state["visible"], strict=True) if visible]
    text = json.dumps({"data": shown, "layout": state["layout"]}, cls=PlotlyJSONEncoder, separators=(",", ":"))
    dark = text
    for light, instead in DARK.items():
        dark = dark.replace(light, instead)
    return Picture(_address(text, "#ffffff"), _address(dark, DARK_PAPER))


def _address(text: str, paper: str) -> str:
    """Return the address of a figure's picture on paper of a colour."""
    figure = json.loads(text)
    figure["layout"] |= {"paper_bgcolor": paper, "plot_bgcolor": paper}
    for trace in figure["data"]:
        trace.pop("visible", None)  # of another score than the one that shows first
    return "data:image/svg+xml;base64," + b64encode(draw(go.Figure(figure), "svg")).decode()
