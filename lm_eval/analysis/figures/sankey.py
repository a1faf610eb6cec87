"""Many runs as parallel categories: between neighbouring settings, one ribbon for all runs of about the same score."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.colors import sample_colorscale

from lm_eval.analysis.figures.style import COLOUR_SCALE, SMALL

_CLASSES = 6
_NODE_PX = 14
_PAD_PX = 12
_EDGE = 1e-3
"""Plotly takes places of 0 for none at all."""

Columns = Mapping[str, Sequence[str]]
"""Of each setting, by its label, the value in each run."""
Numbers = Float[np.ndarray, " run"]


@dataclass(frozen=True)
class _Scale:
    """The colours of scores: for ribbons in classes, for the bars of values without steps."""

    low: float
    high: float

    @classmethod
    def of(cls, scores: Numbers) -> "_Scale":
        low, high = float(scores.min()), float(scores.max())
        return cls(low, high if high > low else low + 1e-3)

    def classify(self, scores: Numbers) -> list[int]:
        """Return the class of each score, from 0."""
        shares = (scores - self.low) / (self.high - self.low)
        classes = np.minimum((shares * _CLASSES).astype(int), _CLASSES - 1)
        return [int(number) for number in classes]

    def colour(self, scores: Sequence[float]) -> list[str]:
        """Return the colour of each score."""
        shares = [(score - self.low) / (self.high - self.low) for score in scores]
        return [str(colour) for colour in sample_colorscale(COLOUR_SCALE, shares)]

    def key(self, bar: Mapping[str, Any]) -> go.Scatter:
        """Return an empty trace that shows the colour bar."""
        scale = {"cmin": self.low, "cmax": self.high, "colorscale": _steps(), "showscale": True, "colorbar": bar}
        return go.Scatter(x=[None], y=[None], mode="markers", marker={"color": [self.low], **scale}, showlegend=False)


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
    numbers = np.asarray(scores, dtype=float)
    scale = _Scale.of(numbers)
    nodes = [(label, value) for label in order for value in order[label]]
    medians = [float(np.median(numbers[np.asarray(columns[label]) == value])) for label, value in nodes]
    x, y = _place(columns, order, height)
    bars = {
        "label": [f"{value} " for _, value in nodes],
        "x": x,
        "y": y,
        "color": scale.colour(medians),
        "thickness": _NODE_PX,
        "pad": _PAD_PX,
        "hovertemplate": "%{label}: %{value:d} runs<extra></extra>",
    }
    ribbons = _ribbons(columns, nodes, scale.classify(numbers))
    flows = go.Sankey(arrangement="fixed", node=bars, link=ribbons, textfont={"size": SMALL})
    return go.Figure([flows, scale.key(bar)])


def _ribbons(columns: Columns, nodes: Sequence[tuple[str, str]], classes: Sequence[int]) -> dict[str, Any]:
    """Return the ribbons, those of low scores first: one for all runs of a class between two values."""
    number = {node: index for index, node in enumerate(nodes)}
    counts: Counter[tuple[int, int, int]] = Counter()
    for (left, from_values), (right, to_values) in pairwise(columns.items()):
        ends = zip(from_values, to_values, classes, strict=True)
        counts.update((number[left, a], number[right, b], rank) for a, b, rank in ends)
    drawn = sorted(counts, key=lambda ribbon: ribbon[2])
    colours = [colour.replace("rgb(", "rgba(").replace(")", ", 0.55)") for colour in _class_colours()]
    return {
        "source": [source for source, _, _ in drawn],
        "target": [target for _, target, _ in drawn],
        "value": [counts[ribbon] for ribbon in drawn],
        "color": [colours[rank] for _, _, rank in drawn],
        "hovertemplate": "%{source.label}/ %{target.label}: %{value:d} runs<extra></extra>",
    }


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


def _class_colours() -> list[str]:
    return list(sample_colorscale(COLOUR_SCALE, [(rank + 0.5) / _CLASSES for rank in range(_CLASSES)]))


def _steps() -> list[tuple[float, str]]:
    """Return the colour scale in steps, one a class."""
    return [(end / _CLASSES, colour) for rank, colour in enumerate(_class_colours()) for end in (rank, rank + 1)]
