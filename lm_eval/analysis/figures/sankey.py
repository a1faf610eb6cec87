"""Many runs as parallel categories: between neighbouring settings, one ribbon for all runs of about the same score."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from lm_eval.analysis.figures.style import COLOUR_SCALE, SMALL

_CLASSES = 6
_NODE_PX = 14
_PAD_PX = 12
_EDGE = 1e-3
"""Plotly takes places of 0 for none at all."""

Columns = Mapping[str, Sequence[str]]
"""Of each setting, by its label, the value in each run."""


def draw_flows(
    columns: Columns, order: Columns, scores: Sequence[float], height: int, bar: Mapping[str, Any]
) -> go.Figure:
    """Draw runs as ribbons between the values of neighbouring settings, coloured by score in classes.

    A value is as high as the number of its runs, and has the colour of their median.

    Args:
        columns: the settings and their values, run by run.
        order: the values of each setting from the top.
        scores: of the runs.
        height: of the panel, in pixels.
        bar: the colour bar's looks.
    """
    values = np.asarray(scores, dtype=float)
    low, high = float(values.min()), float(values.max())
    high = high if high > low else low + 1e-3
    classes = np.minimum(((values - low) / (high - low) * _CLASSES).astype(int), _CLASSES - 1)
    nodes = [(label, value) for label in order for value in order[label]]
    number = {node: index for index, node in enumerate(nodes)}
    links: Counter[tuple[int, int, int]] = Counter()
    for (left, from_values), (right, to_values) in pairwise(columns.items()):
        ends = zip(from_values, to_values, classes, strict=True)
        links.update((number[left, a], number[right, b], int(c)) for a, b, c in ends)
    drawn = sorted(links, key=lambda link: link[2])
    medians = {(label, value): float(np.median(values[np.asarray(columns[label]) == value])) for label, value in nodes}
    x, y = _place(columns, order, height)
    trace = go.Sankey(
        arrangement="fixed",
        node={
            "label": [f"{value} " for _, value in nodes],
            "x": x,
            "y": y,
            "color": sample_colorscale(COLOUR_SCALE, [(medians[node] - low) / (high - low) for node in nodes]),
            "thickness": _NODE_PX,
            "pad": _PAD_PX,
            "hovertemplate": "%{label}: %{value:d} runs<extra></extra>",
        },
        link={
            "source": [source for source, _, _ in drawn],
            "target": [target for _, target, _ in drawn],
            "value": [links[link] for link in drawn],
            "color": [_transparent((rank + 0.5) / _CLASSES) for _, _, rank in drawn],
            "hovertemplate": "%{source.label}/ %{target.label}: %{value:d} runs<extra></extra>",
        },
        textfont={"size": SMALL},
    )
    scale = go.Scatter(
        x=[None],
        y=[None],
        mode="markers",
        marker={"color": [low], "cmin": low, "cmax": high, "colorscale": _steps(), "showscale": True, "colorbar": bar},
        showlegend=False,
    )
    return go.Figure([trace, scale])


def _place(columns: Columns, order: Columns, height: int) -> tuple[list[float], list[float]]:
    """Return the middle of each value, as shares of the panel's width and height; columns are centred."""
    total = len(next(iter(columns.values())))
    most = max(len(values) for values in order.values())
    scale = (height - (most - 1) * _PAD_PX) / total
    x, y = [], []
    for column, (label, values) in enumerate(order.items()):
        counts = Counter(columns[label])
        top = (height - total * scale - (len(values) - 1) * _PAD_PX) / 2
        for value in values:
            size = counts[value] * scale
            x.append(min(max(column / max(len(order) - 1, 1), _EDGE), 1 - _EDGE))
            y.append(min(max((top + size / 2) / height, _EDGE), 1 - _EDGE))
            top += size + _PAD_PX
    return x, y


def _transparent(share: float) -> str:
    (colour,) = sample_colorscale(COLOUR_SCALE, [share])
    return str(colour).replace("rgb(", "rgba(").replace(")", ", 0.55)")


def _steps() -> list[tuple[float, str]]:
    """Return the colour scale in steps, one a class."""
    colours = sample_colorscale(COLOUR_SCALE, [(rank + 0.5) / _CLASSES for rank in range(_CLASSES)])
    return [(end / _CLASSES, colour) for rank, colour in enumerate(colours) for end in (rank, rank + 1)]
