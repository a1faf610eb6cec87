"""One context's walk through the layers, and its choices', along its principal components (experiment §10)."""

import textwrap

import pandas as pd
import plotly.graph_objects as go

from lm_eval.analysis.figures.layout import Legend, new_layout
from lm_eval.analysis.figures.selection import plain
from lm_eval.analysis.figures.style import COLOURS, FAINT, INK, SMALL
from lm_eval.analysis.movement import CONTEXT, Walk
from lm_eval.common.text import short_name

_PLOT_PX = 480
_SMALLEST, _LARGEST = 5.0, 15.0
"""Of the dots, from the first layer to the last."""
_WRONG = "#aaaaaa"
_SHOWN, _LINE = 5, 60
"""Tokens in a hover text, and letters of its lines."""


def walk_map(walk: Walk, *, title: str | None = None) -> go.Figure:
    """Draw the positions of a context's vector and its choices' from layer to layer, larger dots for later layers.

    Args:
        walk: what `lm_eval.encoding.movement.take_walk` returns.
        title: in place of the model's name and the document's number.
    """
    figure = go.Figure()
    points = list(dict.fromkeys(walk.table["point"]))
    order = sorted(points, key=lambda point: (point == CONTEXT, _is_right(walk, point)))  # what matters lies on top
    named: set[str] = set()
    for point in order:
        rows = walk.table[walk.table["point"] == point]
        name, colour, dash = _look(walk, point)
        figure.add_trace(_way(walk, rows, name=name, colour=colour, dash=dash, in_legend=name not in named))
        named.add(name)
    first, second = walk.explained
    name = title or f"Document {walk.doc_id}'s walk: {plain(short_name(walk.model))}"
    subtitle = (
        f"each layer centred on its mean over {walk.num_documents} documents, divided by<br>the mean length of what is "
        f"left; the plane holds {first + second:.0%} of the variance".replace("%", " %")
    )
    layout = new_layout(name, plot_height=_PLOT_PX, subtitle=subtitle, legend=Legend(len(named)), above=12, below=70)
    figure.update_layout(**layout)
    figure.update_xaxes(title_text=f"1st principal component ({first:.0%}), larger dot: later layer".replace("%", " %"))
    figure.update_yaxes(title_text=f"2nd principal component ({second:.0%})".replace("%", " %"), scaleanchor="x")
    return figure


def _is_right(walk: Walk, point: str) -> bool:
    return bool(walk.table.loc[walk.table["point"] == point, "is_right"].any())


def _look(walk: Walk, point: str) -> tuple[str, str, str]:
    """Return a point's name in the legend, its colour and its dash."""
    if point == CONTEXT:
        return "context", INK, "solid"
    if _is_right(walk, point):
        return "right choice", COLOURS[0], "solid"
    return "wrong choices", _WRONG, "dot"


def _way(walk: Walk, rows: pd.DataFrame, *, name: str, colour: str, dash: str, in_legend: bool) -> go.Scatter:
    number = len(rows)
    step = (_LARGEST - _SMALLEST) / max(1, number - 1)
    text = "" if rows["point"].iloc[0] == CONTEXT else walk.choices[int(rows["point"].iloc[0]) - 1].strip()
    label = "<br>".join(map(plain, textwrap.wrap(f"{name}{f': {text}' if text else ''}", _LINE)))
    near = rows["nearest"].map(lambda tokens: plain(", ".join(repr(token) for token in tokens[:_SHOWN])))
    told = zip(rows["layer"], near, strict=True)
    labelled = [layer if index in (0, number - 1) else "" for index, layer in enumerate(rows["layer"])]
    return go.Scatter(
        x=rows["x"],
        y=rows["y"],
        mode="lines+markers+text" if in_legend and name != "wrong choices" else "lines+markers",
        text=labelled,
        textposition="top right",
        textfont={"size": SMALL - 2, "color": FAINT},
        line={"color": colour, "width": 2.5 if name != "wrong choices" else 1.5, "dash": dash},
        marker={"color": colour, "size": [_SMALLEST + step * place for place in range(number)], "opacity": 0.75},
        name=name,
        legendgroup=name,
        showlegend=in_legend,
        hovertext=[f"{label}<br>layer {layer}<br>nearest: {tokens}" for layer, tokens in told],
        hoverinfo="text",
    )
