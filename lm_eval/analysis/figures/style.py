"""How figures look: colours, fonts and symbols; one template for all, one label and look for each encoding scheme.

Figures are 700 pixels wide so that text of 18 pixels still measures 6 points in a column of 85 mm. Colours are Okabe
and Ito's, which colour-blind readers distinguish; patterns, shapes and dashes say the same again in grey print.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from lm_eval.analysis.scores import BELOW, NOT_TOLD

WIDTH = 700
FONT = 18
SMALL = 16
INK = "#222222"
FAINT = "#767676"
GRID = "#dddddd"
SHADE = "#e4e4e4"
TRIED = "#b8b8b8"
"""All that was tried, the best among many."""
BEST = "#D55E00"
CONTROL = "#8a4f7d"
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8A900", "#555555")
OTHER_COLOURS = ("#332288", "#661100", "#999933", "#AA4499", "#44AA99", "#882255", "#117733", "#6699CC")
"""Of what is no encoding scheme, so that in a report no colour means two things."""
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "pentagon", "hourglass")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
DASHED, DASH_DOTTED = "7px,4px", "9px,3px,2px,3px"
"""Short enough for a legend to show them."""
COLOUR_SCALE = "Viridis"


@dataclass(frozen=True)
class Look:
    """How an encoding scheme is drawn."""

    label: str
    colour: str
    pattern: str
    symbol: str
    dash: str


_SCHEMES = {
    "concat_all_examples": Look("concat all examples", "#E69F00", "", "circle", "solid"),
    "concat_each_example": Look("concat each example", "#56B4E9", "/", "square", "dash"),
    "segment_each_example": Look("segment each example", "#009E73", "x", "diamond", "dashdot"),
    "merge_all_segments": Look("merge all segments", "#CC79A7", "-", "cross", "longdash"),
    "sentence_level_segmentation": Look("sentence level", "#0072B2", "\\", "triangle-up", "dot"),
    "no_context": Look("no context", CONTROL, "|", "x", "longdashdot"),
}
SCHEME_ORDER = tuple(_SCHEMES)


_SMALLEST_PX, _LARGEST_PX, _MANY = 8.0, 16.0, 3000


def size_of(num_runs: int) -> float:
    """Return how large the mark of a best run is: one of thousands is twice as large as a single one."""
    share = min(math.log10(max(num_runs, 1)) / math.log10(_MANY), 1.0)
    return _SMALLEST_PX + share * (_LARGEST_PX - _SMALLEST_PX)


def fills(colour: str, versus_chance: Iterable[object]) -> list[str]:
    """Return the fill of each point or bar by where it lies against chance: full above it, pale where not told, white.

    Args:
        colour: of the form #rrggbb.
        versus_chance: `ABOVE`, `NOT_TOLD` or `BELOW` of each; full where nothing is known.
    """
    other = {BELOW: "white", NOT_TOLD: paler(colour)}
    return [other.get(str(state), colour) for state in versus_chance]


STATES = {NOT_TOLD: "pale: not told from chance", BELOW: "hollow: below chance"}
"""What legends call marks that don't lie above chance."""


def key_of(state: str) -> dict[str, Any]:
    """Return how a legend shows a state."""
    (fill,) = fills(FAINT, [state])
    return {"symbol": "square", "size": 12, "color": fill, "line": {"width": 2, "color": FAINT}}


def paler(colour: str, share: float = 0.62) -> str:
    """Return a colour mixed with so much white; `colour` is of the form #rrggbb."""
    parts = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return "#" + "".join(f"{round(part + (255 - part) * share):02x}" for part in parts)


def look_of(scheme: str | None) -> Look:
    """Return how a scheme is drawn; one that is not known in grey."""
    return _SCHEMES.get(str(scheme), Look(str(scheme).replace("_", " "), FAINT, ".", "pentagon", "dot"))


def sort_schemes(schemes: Sequence[str]) -> list[str]:
    """Return schemes in the order in which all figures show them."""
    return sorted(set(schemes), key=lambda name: (place_of(name), name))


def place_of(scheme: str) -> int:
    """Return a scheme's place among all."""
    return SCHEME_ORDER.index(scheme) if scheme in _SCHEMES else len(SCHEME_ORDER)


def _axis(**more: object) -> dict[str, Any]:
    return {
        "showline": True,
        "linecolor": INK,
        "ticks": "outside",
        "tickcolor": INK,
        "tickfont": {"size": SMALL},
        "title": {"font": {"size": FONT}, "standoff": 8},
        "gridcolor": GRID,
        "zeroline": False,
        "automargin": True,
        **more,
    }


_BUTTONS = (
    *("toImage", "zoom2d", "pan2d", "select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d", "resetScale2d"),
    *("hoverClosestCartesian", "hoverCompareCartesian", "toggleSpikelines", "resetViews"),
)
"""Of plotly's own bar over figures, which lies over what they show."""
CONFIG = {"displayModeBar": False, "displaylogo": False, "responsive": False}
"""For pages: that bar isn't there at all."""
TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": "Arial, Helvetica, DejaVu Sans, sans-serif", "size": FONT, "color": INK},
        "width": WIDTH,
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "colorway": COLOURS,
        "title": {
            "x": 0,
            "xref": "paper",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "font": {"size": FONT + 2},
        },
        "xaxis": _axis(),
        "yaxis": _axis(),
        "legend": {"font": {"size": SMALL}, "itemwidth": 30, "itemsizing": "constant", "tracegroupgap": 0},
        "hoverlabel": {"align": "left", "font": {"size": SMALL}},
        "margin": {"l": 70, "r": 15, "t": 80, "b": 60},
        "bargap": 0.15,
        "modebar": {"remove": list(_BUTTONS)},
    }
)
