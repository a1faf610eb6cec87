"""One panel of the main chart: the bars of a number of shots, and marks where a run or its baseline is missing."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from lm_eval.analysis.figures.labels import say_number, say_run
from lm_eval.analysis.figures.layout import error_bars
from lm_eval.analysis.figures.panels import Panels
from lm_eval.analysis.figures.score_toggle import Score
from lm_eval.analysis.figures.selection import plain
from lm_eval.analysis.figures.style import INK, STATES, Look, fills, key_of, look_of, place_of, sort_schemes
from lm_eval.analysis.scores import ABOVE, BELOW

_GROUP = 0.84
"""Of the distance between two models, what their bars fill."""
_HALF_LEVEL = 0.47
"""Half the length of a line across a model's bars."""


@dataclass(frozen=True, kw_only=True)
class BarPanel:
    """A panel while it is drawn: the runs of one number of shots, and where their bars stand."""

    panels: Panels
    row: int
    score: Score
    models: Mapping[str, float]
    """Where each model stands."""
    runs: pd.DataFrame
    main: pd.DataFrame
    """Those of the main configurations, which have bars."""

    @cached_property
    def offsets(self) -> dict[str, float]:
        """Where the bar of each scheme stands, from the middle of its model."""
        schemes = sort_schemes(list(self.main["encoding_scheme"].unique()))
        width = _GROUP / max(len(schemes), 1)
        return {scheme: (index - (len(schemes) - 1) / 2) * width for index, scheme in enumerate(schemes)}

    def add(self, trace: go.Bar | go.Scatter, name: str, *, rank: int) -> None:
        """Add a trace to the panel, and to the legend if its name isn't there."""
        self.panels.add_named(self.row, trace, name, rank=rank)

    def add_levels(self, levels: Mapping[str, float], name: str, line: dict[str, object], *, rank: int) -> None:
        """Draw a short horizontal line across each model's bars; models that have none are left out."""
        x: list[float | None] = []
        y: list[float | None] = []
        for pretrained, level in levels.items():
            if pretrained not in self.models:  # a control alone
                continue
            middle = self.models[pretrained]
            x += [middle - _HALF_LEVEL, middle + _HALF_LEVEL, None]
            y += [level, level, None]
        texts = [None if level is None else f"{name}: {say_number(level)}" for level in y]
        trace = go.Scatter(x=x, y=y, mode="lines", line=line, hovertext=texts, hoverinfo="text")
        self.add(trace, name, rank=rank)


def add_bars(panel: BarPanel) -> None:
    """Draw a bar for each run of a main configuration, by where it lies against chance: filled, pale or hollow."""
    main = panel.main
    for scheme in panel.offsets:
        of_scheme = main[(main["encoding_scheme"] == scheme) & main[panel.score.column].notna()]
        states = of_scheme["versus_chance"].fillna(ABOVE)
        label = look_of(scheme).label
        panel.add(_bars(panel, of_scheme[states == ABOVE], scheme, ABOVE), label, rank=place_of(scheme))
        for rank, (state, name) in enumerate(STATES.items(), start=30):
            if (states == state).any():
                trace = _bars(panel, of_scheme[states == state], scheme, state)
                panel.panels.add(panel.row, trace.update(legendgroup=label, showlegend=False, name=label))
                key = go.Scatter(x=[None], y=[None], mode="markers", marker=key_of(state))
                panel.add(key, name, rank=rank)


def _bars(panel: BarPanel, runs: pd.DataFrame, scheme: str, state: str) -> go.Bar:
    """Return the bars of a scheme; without runs an empty trace, so that the legend names it all the same."""
    score = panel.score
    return go.Bar(
        x=[None] if runs.empty else runs["pretrained"].map(panel.models).astype(float) + panel.offsets[scheme],
        y=[None] if runs.empty else runs[score.column],
        width=_GROUP / len(panel.offsets) * 0.92,
        error_y=error_bars(runs[score.error]),
        marker=_fill(look_of(scheme), state),
        hovertext=[say_run(run, score) for run in runs.to_dict("records")],
        hoverinfo="text",
    )


def _fill(look: Look, state: str) -> dict[str, Any]:
    (paint,) = fills(look.colour, [state])
    pattern = {
        "shape": look.pattern,
        "fillmode": "replace",
        "fgcolor": look.colour if state == BELOW else "white",
        "bgcolor": paint,
        "size": 7,
        "solidity": 0.22,
    }
    return {"color": paint, "line": {"color": look.colour, "width": 0.8 if state == ABOVE else 1.8}, "pattern": pattern}


def add_missing(panel: BarPanel) -> None:
    """Mark each model and scheme that lacks a run or a baseline."""
    cells = {(run["pretrained"], run["encoding_scheme"]): run for run in panel.main.to_dict("records")}
    present = set(panel.runs["pretrained"])
    x, reasons = [], []
    for pretrained, middle in panel.models.items():
        for scheme, offset in panel.offsets.items():
            if reason := _say_missing(cells.get((pretrained, scheme)), panel.score):
                x.append(middle + offset)
                reasons.append(f"{plain(pretrained)}, {look_of(scheme).label}: {reason}")
        if not panel.offsets and pretrained not in present:
            x.append(middle)
            reasons.append(f"{plain(pretrained)}: no run")
    if x:
        marker = {"symbol": "x-thin", "size": 8, "line": {"color": INK, "width": 1.6}}
        y = [0.03] * len(x)
        trace = go.Scatter(x=x, y=y, mode="markers", marker=marker, hovertext=reasons, hoverinfo="text")
        panel.add(trace, "no run or no baseline", rank=31)


def _say_missing(run: Mapping[Hashable, Any] | None, score: Score) -> str | None:
    """Return why a run has no bar; None where it has one."""
    if run is None:
        return "no run"
    if pd.isna(run[score.column]):
        lacking = "no baseline" if pd.isna(run["baseline"]) else "no baseline clear of chance"
        return f"acc {run['acc']:.3f}, but {lacking} to hold it against"
    return None
