"""The margin of every document at every layer, and the share of documents that are right there (experiment §10)."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lm_eval.analysis.figures.layout import new_layout
from lm_eval.analysis.figures.selection import plain
from lm_eval.analysis.figures.style import COLOURS, FAINT, INK, SMALL
from lm_eval.analysis.movement import Margins
from lm_eval.analysis.scores import INTERVAL
from lm_eval.common.text import count_of, short_name
from lm_eval.errors import ConfigurationError

_SHARE_PX, _GAP_PX, _MAP_PX = 110, 24, 420
_DIVERGING = "RdBu"
_WIDEST = 0.98
"""Quantile of the margins' sizes at which colours end: a few large ones would leave all others pale."""


def margin_map(margins: Margins, *, chance: float | None = None, title: str | None = None) -> go.Figure:
    """Draw documents by layers as colours by the margin, and above it the share that is right at each layer.

    Documents are sorted by their mean rank over the layers, the best on top; colours are those of each layer's margins
    divided by their typical size there, as similarities grow with the layers.

    Args:
        margins: what `lm_eval.encoding.movement.layer_margins` returns.
        chance: what guessing gives, drawn beside the share; None leaves it out.
        title: in place of the model's name.

    Raises:
        ConfigurationError: no document has a margin.
    """
    values = margins.table.pivot(index="doc_id", columns="layer", values="margin").reindex(columns=margins.layers)
    values = values.dropna(how="all")
    if values.empty:
        raise ConfigurationError("no margins to draw: no document has a wrong choice")
    order = values.rank().mean(axis=1).sort_values(kind="stable").index
    values, sizes = values.loc[order], values.abs().quantile(_WIDEST).replace(0.0, np.nan)
    share = margins.share_right()
    heights = [_SHARE_PX, _MAP_PX]
    total = sum(heights) + _GAP_PX
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[height / sum(heights) for height in heights],
        vertical_spacing=_GAP_PX / total,
    )  # fmt: skip
    figure.add_trace(_share(share, len(values)), row=1, col=1)
    if chance is not None:
        line = {"color": INK, "width": 2}
        ends = [share.index[0], share.index[-1]]
        text = go.Scatter(x=ends, y=[chance] * 2, mode="lines", line=line, hoverinfo="skip", showlegend=False)
        figure.add_trace(text, row=1, col=1)
    figure.add_trace(_cells(values, sizes), row=2, col=1)
    name = title or f"Right choice ahead? {plain(short_name(margins.model))}, {count_of(len(values), 'document')}"
    subtitle = "margin: right choice's value less the best wrong one's<br>colours by layer, documents by mean rank"
    line_of_chance = "" if chance is None else "; line: guessing"
    figure.update_layout(**new_layout(name, plot_height=total, subtitle=f"{subtitle}{line_of_chance}", below=70))
    _label(figure, margins.layers, float(share.max()))
    return figure


def _label(figure: go.Figure, layers: list[str], highest: float) -> None:
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=layers)
    figure.update_xaxes(title_text="layer (E: token embeddings)", row=2, col=1)
    figure.update_xaxes(tickvals=_labelled(layers), tickangle=0, row=2, col=1)
    figure.update_yaxes(title_text="right", range=(0, max(1.0, highest)), tickformat=".0%", row=1, col=1)
    documents = {"title_text": "documents", "showticklabels": False, "ticks": "", "showgrid": False}
    figure.update_yaxes(type="category", **documents, row=2, col=1)


def _labelled(layers: list[str]) -> list[str]:
    step = max(1, -(-len(layers) // 14))
    return [name for name in layers if not name.isdigit() or int(name) % step == 0]


def _share(share: "pd.Series[float]", number: int) -> go.Scatter:
    right = share.to_numpy()
    error = INTERVAL * np.sqrt(right * (1 - right) / max(1, number - 1))
    return go.Scatter(
        x=list(share.index),
        y=right,
        error_y={"type": "data", "array": error, "thickness": 1, "width": 0},
        mode="lines+markers",
        line={"color": COLOURS[0], "width": 2},
        marker={"size": 7},
        showlegend=False,
        hovertemplate="layer %{x}: %{y:.1%} right<extra></extra>",
    )


def _cells(values: pd.DataFrame, sizes: "pd.Series[float]") -> go.Heatmap:
    bar = {"title": {"text": "margin", "side": "right"}, "thickness": 16, "tickvals": [-0.97, 0, 0.97]}
    return go.Heatmap(
        x=list(values.columns),
        y=[str(number) for number in values.index],
        z=(values / sizes).clip(-1, 1).to_numpy(),
        customdata=values.to_numpy(),
        colorscale=_DIVERGING,
        zmid=0,
        zmin=-1,
        zmax=1,
        colorbar={
            **bar,
            "ticktext": ["wrong", "0", "right"],
            "tickfont": {"size": SMALL, "color": FAINT},
            "outlinewidth": 0,
            "len": _MAP_PX / (_MAP_PX + _SHARE_PX + _GAP_PX),
            "y": 0,
            "yanchor": "bottom",
        },
        hovertemplate="document %{y}, layer %{x}: %{customdata:.4g}<extra></extra>",
    )
