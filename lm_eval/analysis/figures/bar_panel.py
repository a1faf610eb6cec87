"""One panel of the main chart: the bars of a number of shots, and marks where a run or its baseline is missing."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from lm_eval.analysis.figures.panels import Panels
from lm_eval.analysis.figures.score_toggle import Score
from lm_eval.analysis.figures.style import FAINT, INK, Look, look_of, place_of, sort_schemes

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
        """Draw a short horizontal line across each model's bars."""
        x: list[float | None] = []
        y: list[float | None] = []
        for pretrained, level in levels.items():
            middle = self.models[pretrained]
            x += [middle - _HALF_LEVEL, middle + _HALF_LEVEL, None]
            y += [level, level, None]
        trace = go.Scatter(x=x, y=y, mode="lines", line=line, hovertemplate=f"{name}: %{{y:.3f}}<extra></extra>")
        self.add(trace, name, rank=rank)


def add_bars(panel: BarPanel) -> None:
    """Draw a bar for each run of a main configuration: filled, or hollow where it lies below chance."""
    main = panel.main
    for scheme in panel.offsets:
        of_scheme = main[(main["encoding_scheme"] == scheme) & main[panel.score.column].notna()]
        is_below = of_scheme["below_chance"].astype(bool)
        label = look_of(scheme).label
        panel.add(_bars(panel, of_scheme[~is_below], scheme), label, rank=place_of(scheme))
        if is_below.any():
            trace = _bars(panel, of_scheme[is_below], scheme, hollow=True)
            panel.panels.add(panel.row, trace.update(legendgroup=label, showlegend=False, name=label))
            square = {"symbol": "square-open", "size": 13, "color": FAINT, "line": {"width": 2}}
            key = go.Scatter(x=[None], y=[None], mode="markers", marker=square)
            panel.add(key, "hollow: below chance", rank=30)


def _bars(panel: BarPanel, runs: pd.DataFrame, scheme: str, *, hollow: bool = False) -> go.Bar:
    """Return the bars of a scheme; without runs an empty trace, so that the legend names it all the same."""
    look, score = look_of(scheme), panel.score
    errors = [0.0] if runs.empty else runs[score.error].fillna(0.0)
    return go.Bar(
        x=[None] if runs.empty else runs["pretrained"].map(panel.models).astype(float) + panel.offsets[scheme],
        y=[None] if runs.empty else runs[score.column],
        width=_GROUP / len(panel.offsets) * 0.92,
        error_y={"type": "data", "array": errors, "color": INK, "thickness": 1.3, "width": 2},
        marker=_fill(look, hollow=hollow),
        hovertext=[_say_run(run, look, score) for run in runs.to_dict("records")],
        hoverinfo="text",
    )


def _fill(look: Look, *, hollow: bool) -> dict[str, Any]:
    pattern = {
        "shape": look.pattern,
        "fillmode": "replace",
        "fgcolor": look.colour if hollow else "white",
        "bgcolor": "white" if hollow else look.colour,
        "size": 7,
        "solidity": 0.22,
    }
    line = {"color": look.colour, "width": 2 if hollow else 0.8}
    return {"color": "white" if hollow else look.colour, "line": line, "pattern": pattern}


def _say_run(run: Mapping[Hashable, Any], look: Look, score: Score) -> str:
    return (
        f"{run['model']}, {look.label}<br>{score.label} {run[score.column]:.3f} ± {run[score.error]:.3f}"
        f"<br>acc {run['acc']:.3f}, baseline {run['baseline']:.3f}"
    )


def add_missing(panel: BarPanel) -> None:
    """Mark each model and scheme that lacks a run or a baseline."""
    cells = {(run["pretrained"], run["encoding_scheme"]): run for run in panel.main.to_dict("records")}
    present = set(panel.runs["pretrained"])
    x, reasons = [], []
    for pretrained, middle in panel.models.items():
        for scheme, offset in panel.offsets.items():
            if reason := _say_missing(cells.get((pretrained, scheme)), panel.score):
                x.append(middle + offset)
                reasons.append(f"{pretrained}, {look_of(scheme).label}: {reason}")
        if not panel.offsets and pretrained not in present:
            x.append(middle)
            reasons.append(f"{pretrained}: no run")
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
        return f"acc {run['acc']:.3f}, but no baseline above chance to hold it against"
    return None
