"""How figures look: one template, one look for each encoding scheme.

Figures are 700 pixels wide so that text of 18 pixels still measures 6 points in a column of 85 mm. Colours are Okabe
and Ito's, told apart by colour-blind readers; patterns, shapes and dashes say the same again in grey print.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

WIDTH = 700
FONT = 18
SMALL = 16
INK = "#222222"
FAINT = "#767676"
GRID = "#dddddd"
SHADE = "#e4e4e4"
BEST = "#D55E00"
CONTROL = "#8a4f7d"
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8A900", "#555555")
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
    }
)

_TITLE_PX = 42
_SUBTITLE_PX = 25
_LEGEND_ROW_PX = 25
_ENTRY_PX = 240
_PANEL_TITLE_PX = 30


def new_layout(
    title: str,
    *,
    plot_height: int,
    subtitle: str = "",
    num_legend: int = 0,
    legend_columns: int = 2,
    above: int = _PANEL_TITLE_PX,
    below: int = 60,
) -> dict[str, Any]:
    """Return the layout of a figure: title, subtitle and legend above the panels, in so much room as they take.

    Args:
        title: what the figure shows.
        plot_height: of the panels together, in pixels.
        subtitle: how to read it.
        num_legend: entries of the legend; 0 for none.
        legend_columns: 1 where long labels leave little room for the panels, which a legend can't exceed.
        above: room for what is between legend and panels.
        below: room for what is below the panels.
    """
    head = _TITLE_PX + (_SUBTITLE_PX * (1 + subtitle.count("<br>")) if subtitle else 0)
    legend_height = _LEGEND_ROW_PX * -(-num_legend // legend_columns) + (10 if num_legend else 0)
    top = head + legend_height + above
    height = plot_height + top + below
    small = f"<br><span style='font-size:{SMALL}px;color:{FAINT}'>{subtitle}</span>" if subtitle else ""
    legend = {
        "orientation": "h",
        "xref": "container",
        "x": 0.01,
        "xanchor": "left",
        "yref": "container",
        "y": 1 - head / height,
        "yanchor": "top",
        "entrywidth": _ENTRY_PX,
        "entrywidthmode": "pixels",
    }
    return {
        "template": TEMPLATE,
        "title": {"text": title + small, "x": 0.01, "xref": "container", "pad": {"t": 26 if small else 12}},
        "height": height,
        "width": WIDTH,
        "margin": {"t": top, "b": below, "l": 75, "r": 15},
        "legend": legend,
        "showlegend": num_legend > 0,
    }


def span(figure: go.Figure, axis: str, *, including: Sequence[float] = (), room: float = 0.05) -> tuple[float, float]:
    """Return what an axis must span for all that is drawn, with its errors.

    Args:
        figure: with its traces.
        axis: `x` or `y`.
        including: values that must lie inside too.
        room: at both ends, as a share of the whole.
    """
    ends = [float(value) for value in including]
    for trace in figure.data:
        if trace.type == "box":
            ends += [float(trace.lowerfence[0]), float(trace.upperfence[0])]
            continue
        values = [] if trace[axis] is None else list(trace[axis])
        error = trace[f"error_{axis}"].array
        errors = [0.0] * len(values) if error is None else list(error)
        for value, size in zip(values, errors, strict=True):
            if value is not None:
                ends += [float(value - size), float(value + size)]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    margin = room * (high - low or 1.0)
    return low - margin, high + margin


def panel_title(axis: int, text: str) -> dict[str, Any]:
    """Return the annotation that names a panel, at its upper left.

    Args:
        axis: the number of the panel's axes, from 1.
        text: its name.
    """
    number = "" if axis == 1 else str(axis)
    return {
        "text": f"<b>{text}</b>",
        "xref": f"x{number} domain",
        "yref": f"y{number} domain",
        "x": 0,
        "y": 1,
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": FONT},
    }
