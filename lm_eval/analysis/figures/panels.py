"""Panels one below the other, one for each number of shots, with a legend in which each name stands once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lm_eval.analysis.figures.labels import say_shots
from lm_eval.analysis.figures.layout import panel_title


@dataclass
class Panels:
    """A figure while it is drawn; knows what its legend names already."""

    shots: Sequence[int]
    panel_px: int
    """Height of each panel."""
    gap_px: int
    """Between two panels."""
    figure: go.Figure = field(init=False)
    in_legend: list[str] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        number = len(self.shots)
        spacing = self.gap_px / self.plot_height if number > 1 else 0
        self.figure = make_subplots(rows=number, cols=1, shared_xaxes=True, vertical_spacing=spacing)

    @property
    def plot_height(self) -> int:
        """Of all panels and the gaps between them, in pixels."""
        return self.panel_px * len(self.shots) + self.gap_px * (len(self.shots) - 1)

    def add(self, row: int, trace: Any) -> None:  # noqa: ANN401
        """Add a trace that the legend doesn't name to a panel; the first is 1."""
        self.figure.add_trace(trace, row=row, col=1)

    def add_named(self, row: int, trace: Any, name: str, *, rank: int) -> None:  # noqa: ANN401
        """Add a trace to a panel, and to the legend if its name isn't there."""
        is_new = name not in self.in_legend
        trace.update(name=name, legendgroup=name, showlegend=is_new, legendrank=rank)
        if is_new:
            self.in_legend.append(name)
        self.add(row, trace)

    def add_key(self, name: str, *, rank: int, **looks: Any) -> None:  # noqa: ANN401
        """Put a name into the legend, once, with looks of its own: traces of the same name need not begin with them."""
        if name not in self.in_legend:
            self.add_named(1, go.Scatter(x=[None], y=[None], **{"mode": "lines+markers", **looks}), name, rank=rank)

    def share_y(self, label: str, ends: tuple[float, float]) -> None:
        """Give all panels the same vertical axis."""
        self.figure.update_yaxes(type="linear", title_text=label, range=ends)
        for row in range(2, len(self.shots) + 1):
            self.figure.update_yaxes(matches="y", row=row)

    def add_titles(self) -> None:
        """Name each panel by its number of shots."""
        titles = [panel_title(row, say_shots(number)) for row, number in enumerate(self.shots, start=1)]
        self.figure.update_layout(annotations=titles)
