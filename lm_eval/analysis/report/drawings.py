"""Figures as a page holds them: drawn when they come into view, with one switch of the score for all.

A figure brings its own buttons, which change the score it shows. Here each button becomes a state of the figure (what
is visible, how it is laid out), and the page's switch puts all figures into one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from lm_eval.analysis.figures.score_toggle import without_buttons
from lm_eval.analysis.report.tables import slug


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure on a page."""

    name: str
    """Of its place on the page."""
    group: str
    """Under which heading it stands."""
    title: str
    content: Mapping[str, Any]
    """`data` for plotly.js, and `states`, by score, with what each shows; the first one shows first."""
    width: int
    height: int

    @property
    def scores(self) -> list[str]:
        """The scores that it can show."""
        return list(self.content["states"])


def make_drawings(figures: Mapping[str, go.Figure]) -> list[Drawing]:
    """Return figures, by their title, as a page holds them; a title is `heading: what it shows` or a heading alone."""
    drawings = []
    for full_title, figure in figures.items():
        group, _, title = full_title.rpartition(": ")
        states = _states(figure)
        layout = next(iter(states.values()))["layout"]
        drawings.append(
            Drawing(
                name=slug(full_title),
                group=group or title,
                title=title[:1].upper() + title[1:],
                content={"data": [trace.to_plotly_json() for trace in figure.data], "states": states},
                width=round(layout.get("width") or 700),
                height=round(layout.get("height") or 450),
            )
        )
    return drawings


def _states(figure: go.Figure) -> dict[str, dict[str, Any]]:
    """Return what a figure shows of each score, by its column; the one that shows first comes first."""
    menus = figure.layout.updatemenus
    if not menus:
        return {"": _state(figure, [trace.visible is not False for trace in figure.data])}
    states = {}
    for button in menus[0].buttons:
        changes, layout = button.args
        visible = list(changes["visible"])
        pressed = go.Figure(figure)
        for key, value in layout.items():
            if not key.startswith("updatemenus"):
                pressed.layout[key] = value
        score = next(trace.meta["score"] for trace, shown in zip(figure.data, visible, strict=True) if shown)
        states[score] = _state(without_buttons(pressed), visible)
    return states


def _state(figure: go.Figure, visible: list[bool]) -> dict[str, Any]:
    return {"visible": visible, "layout": figure.layout.to_plotly_json()}
