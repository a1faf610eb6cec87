"""The paper's main chart: a bar for each model and encoding scheme, a panel for each number of shots."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lm_eval.analysis.figures.score_toggle import NORMALISED, Score, with_toggle
from lm_eval.analysis.figures.selection import (
    best_ablations,
    check,
    is_control,
    main_rows,
    name_test,
    say,
    say_shots,
    sort_models,
    varying_settings,
)
from lm_eval.analysis.figures.style import (
    BEST,
    CONTROL,
    DASH_DOTTED,
    DASHED,
    FAINT,
    INK,
    WIDTH,
    look_of,
    new_layout,
    panel_title,
    place_of,
    sort_schemes,
    span,
)

_PANEL_PX = 260
_GAP_PX = 48
_LETTER_PX = 9
_LONGEST = 26
"""Letters of a model's name that are shown."""
_FLAT_LETTERS = 50
"""Of all names together, if they are to stand side by side."""
_MODEL_PX = 44
"""Between two models, at least: their bars can still be told apart. Many models make a figure for both columns."""
_SIDES_PX = 90
_ENTRY_PX = 300
"""Of the legend, with its symbol."""
_GROUP = 0.84
"""Of the distance between two models, what their bars fill."""


def main_bars(table: pd.DataFrame, *, published: pd.DataFrame | None = None, title: str | None = None) -> go.Figure:
    """Draw the scores of main configurations by model and encoding scheme.

    Models stand in order of size, families together; a bar that is hollow lies below chance, a cross stands where a run
    or its baseline is missing. A star with a dotted line is the best of all runs of a model that was ablated: that has
    runs with other settings than the usual grids give to every model (`selection.best_ablations`).

    Args:
        table: runs with their scores, main ones and others, of one test and task.
        published: the paper's values, drawn as open diamonds: columns `task`, `kind`, `pretrained`, `num_fewshot`,
            `encoding_scheme`, `normalised`.
        title: in place of the test's name.

    Raises:
        ConfigurationError: an empty table, or one that mixes tests, tasks or slices of documents.
    """
    check(table)
    shown = title or f"{name_test(table)}: main configurations"
    return with_toggle(lambda score: _draw(table, published, shown, score), table)


@dataclass
class _Panels:
    """A figure while it is drawn; tells what is in the legend already."""

    figure: go.Figure
    score: Score
    models: Mapping[str, float]
    """Where each model stands."""
    in_legend: list[str] = field(default_factory=list)

    def add(self, row: int, trace: go.Bar | go.Scatter, name: str, *, rank: int) -> None:
        """Add a trace to a panel, and to the legend if its name isn't there."""
        new = name not in self.in_legend
        trace.update(name=name, legendgroup=name, showlegend=new, legendrank=rank)
        if new:
            self.in_legend.append(name)
        self.figure.add_trace(trace, row=row, col=1)

    def add_levels(self, row: int, levels: Mapping[str, float], name: str, line: dict[str, object], rank: int) -> None:
        """Draw a short horizontal line across each model's bars."""
        x: list[float | None] = []
        y: list[float | None] = []
        for pretrained, level in levels.items():
            at = self.models[pretrained]
            x += [at - 0.47, at + 0.47, None]
            y += [level, level, None]
        trace = go.Scatter(x=x, y=y, mode="lines", line=line, hovertemplate=f"{name}: %{{y:.3f}}<extra></extra>")
        self.add(row, trace, name, rank=rank)


def _draw(table: pd.DataFrame, published: pd.DataFrame | None, title: str, score: Score) -> go.Figure:
    models, main = sort_models(table), main_rows(table)
    shots = sorted(int(number) for number in table["num_fewshot"].unique())
    spacing = _GAP_PX / (_PANEL_PX * len(shots) + _GAP_PX * (len(shots) - 1))
    figure = make_subplots(rows=len(shots), cols=1, shared_xaxes=True, vertical_spacing=spacing)
    panels = _Panels(figure, score, dict(zip(models["pretrained"], models["position"], strict=True)))
    for row, number in enumerate(shots, start=1):
        runs = table[table["num_fewshot"] == number]
        _add_panel(panels, row, runs, main[main["num_fewshot"] == number], table[is_control(table)])
        if published is not None and score is NORMALISED:
            _add_published(panels, row, runs, published)
    height = _PANEL_PX * len(shots) + _GAP_PX * (len(shots) - 1)
    longest = max(len(name) for name in models["model"])
    flat = len(models) * longest <= _FLAT_LETTERS
    below = 50 if flat else 20 + min(longest, _LONGEST) * _LETTER_PX
    has_stars = "best ablation" in panels.in_legend
    subtitle = "star: best run of a model whose settings were varied" if has_stars else ""
    edge = (models["position"].min() - 0.6, models["position"].max() + 0.6)
    width = max(WIDTH, int(_MODEL_PX * (edge[1] - edge[0])) + _SIDES_PX)
    layout = new_layout(
        title,
        plot_height=height,
        subtitle=subtitle,
        num_legend=len(panels.in_legend),
        legend_columns=width // _ENTRY_PX,
        below=below,
    )
    figure.update_layout(**{**layout, "width": width}, barmode="overlay")
    names = [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in models["model"]]
    figure.update_xaxes(type="linear", range=edge, tickvals=list(models["position"]), ticktext=names, showgrid=False)
    figure.update_xaxes(tickangle=0 if flat else -90, row=len(shots), col=1)
    low, high = span(figure, "y", including=(0, 1))
    low = low if min(low, 0) < -0.05 else 0
    figure.update_yaxes(type="linear", title_text=score.label, range=(low, high))
    for row in range(2, len(shots) + 1):
        figure.update_yaxes(matches="y", row=row)
    titles = [panel_title(row, say_shots(number)) for row, number in enumerate(shots, start=1)]
    figure.update_layout(annotations=titles)
    return figure


def _add_panel(panels: _Panels, row: int, runs: pd.DataFrame, main: pd.DataFrame, controls: pd.DataFrame) -> None:
    score = panels.score
    schemes = sort_schemes(list(main["encoding_scheme"].unique()))
    offsets = _offsets(schemes)
    for scheme in schemes:
        of_scheme = main[(main["encoding_scheme"] == scheme) & main[score.column].notna()]
        for below in (False, True):
            bars = of_scheme[of_scheme["below_chance"].astype(bool) == below]
            if not below or len(bars):
                _add_bars(panels, row, bars, scheme, offsets)
    _add_missing(panels, row, runs, main, offsets)
    panels.add_levels(
        row, _by_model(runs.assign(level=score.chance(runs))), "chance (guessing)", {"color": INK, "width": 2.5}, 21
    )
    levels = _control_levels(runs, controls, score)
    if levels:
        panels.add_levels(row, levels, "no context at all", {"color": CONTROL, "width": 2.5, "dash": DASH_DOTTED}, 22)
    ends = [min(panels.models.values()) - 0.6, max(panels.models.values()) + 0.6]
    baseline = go.Scatter(
        x=ends, y=[1, 1], mode="lines", line={"color": FAINT, "width": 2, "dash": DASHED}, hoverinfo="skip"
    )
    panels.add(row, baseline, "baseline = 1", rank=20)
    _add_best(panels, row, runs)


def _control_levels(runs: pd.DataFrame, controls: pd.DataFrame, score: Score) -> dict[str, float]:
    """Return what each model scores without a context, held against the baseline of a panel's shots.

    Args:
        runs: of the panel.
        controls: runs without a context, which has no shots either: they count in every panel.
        score: which.
    """
    baselines = runs.dropna(subset=["baseline"]).drop_duplicates("pretrained", keep="last")
    known = controls[["pretrained", "acc", "chance"]].merge(baselines[["pretrained", "baseline"]], on="pretrained")
    if score is NORMALISED:
        return _by_model(known.assign(level=known["acc"] / known["baseline"]))
    room = (known["baseline"] - known["chance"]).where(known["baseline"] > known["chance"])
    return _by_model(known.assign(level=(known["acc"] - known["chance"]) / room))


def _offsets(schemes: list[str]) -> dict[str, float]:
    width = _GROUP / max(len(schemes), 1)
    return {scheme: (index - (len(schemes) - 1) / 2) * width for index, scheme in enumerate(schemes)}


def _by_model(rows: pd.DataFrame) -> dict[str, float]:
    """Return each model's `level`, that of the newest run that has one."""
    known = rows.dropna(subset=["level"]).drop_duplicates("pretrained", keep="last")
    return dict(zip(known["pretrained"], known["level"].astype(float), strict=True))


def _add_bars(panels: _Panels, row: int, bars: pd.DataFrame, scheme: str, offsets: Mapping[str, float]) -> None:
    look, score = look_of(scheme), panels.score
    below = bool(bars["below_chance"].any())
    hover = [
        f"{run['model']}, {look.label}<br>{score.label} {run[score.column]:.3f} ± {run[score.error]:.3f}"
        f"<br>acc {run['acc']:.3f}, baseline {run['baseline']:.3f}"
        for run in bars.to_dict("records")
    ]
    pattern = {
        "shape": look.pattern,
        "fillmode": "replace",
        "fgcolor": look.colour if below else "white",
        "bgcolor": "white" if below else look.colour,
        "size": 7,
        "solidity": 0.22,
    }
    trace = go.Bar(
        x=[None] if bars.empty else bars["pretrained"].map(panels.models).astype(float) + offsets[scheme],
        y=[None] if bars.empty else bars[score.column],  # so that the legend names it all the same
        width=_GROUP / len(offsets) * 0.92,
        error_y={
            "type": "data",
            "array": [0.0] if bars.empty else bars[score.error].fillna(0.0),
            "color": INK,
            "thickness": 1.3,
            "width": 2,
        },
        marker={
            "color": "white" if below else look.colour,
            "line": {"color": look.colour, "width": 2 if below else 0.8},
            "pattern": pattern,
        },
        hovertext=hover,
        hoverinfo="text",
    )
    if below:
        trace.update(legendgroup=look.label, showlegend=False, name=look.label)
        panels.figure.add_trace(trace, row=row, col=1)
        hollow = {"symbol": "square-open", "size": 13, "color": FAINT, "line": {"width": 2}}
        panels.add(row, go.Scatter(x=[None], y=[None], mode="markers", marker=hollow), "hollow: below chance", rank=30)
    else:
        panels.add(row, trace, look.label, rank=place_of(scheme))


def _add_missing(
    panels: _Panels, row: int, runs: pd.DataFrame, main: pd.DataFrame, offsets: Mapping[str, float]
) -> None:
    """Mark each model and scheme that lacks a run or a baseline."""
    cells = {(run["pretrained"], run["encoding_scheme"]): run for run in main.to_dict("records")}
    x, why = [], []
    for pretrained, position in panels.models.items():
        for scheme, offset in offsets.items():
            run = cells.get((pretrained, scheme))
            if run is None or pd.isna(run[panels.score.column]):
                x.append(position + offset)
                reason = (
                    "no run"
                    if run is None
                    else f"acc {run['acc']:.3f}, but no baseline above chance to hold it against"
                )
                why.append(f"{pretrained}, {look_of(scheme).label}: {reason}")
        if not offsets and pretrained not in set(runs["pretrained"]):
            x.append(position)
            why.append(f"{pretrained}: no run")
    if x:
        marker = {"symbol": "x-thin", "size": 8, "line": {"color": INK, "width": 1.6}}
        trace = go.Scatter(x=x, y=[0.03] * len(x), mode="markers", marker=marker, hovertext=why, hoverinfo="text")
        panels.add(row, trace, "no run or no baseline", rank=31)


def _add_best(panels: _Panels, row: int, runs: pd.DataFrame) -> None:
    score = panels.score
    best = best_ablations(runs, score.column)
    if best.empty:
        return
    levels = dict(zip(best["pretrained"], best[score.column].astype(float), strict=True))
    line = {"color": BEST, "width": 2.5, "dash": "dot"}
    marker = {"symbol": "star", "size": 12, "color": BEST, "line": {"color": INK, "width": 1}}
    key = go.Scatter(x=[None], y=[None], mode="lines+markers", line=line, marker=marker)
    panels.add(row, key, "best ablation", rank=23)
    panels.add_levels(row, levels, "best ablation", line, 23)
    tried = runs.dropna(subset=[score.column]).groupby("pretrained").size()
    varying = [name for name in varying_settings(runs) if name != "DECODING_SCHEME"]
    hover = [
        f"best of {tried[run['pretrained']]} runs of {run['model']}: {run[score.column]:.3f}<br>"
        + ", ".join(say(name, run[name]) for name in varying)
        for run in best.to_dict("records")
    ]
    trace = go.Scatter(
        x=[panels.models[pretrained] for pretrained in levels],
        y=list(levels.values()),
        mode="markers",
        marker=marker,
        hovertext=hover,
        hoverinfo="text",
    )
    panels.add(row, trace, "best ablation", rank=23)


def _add_published(panels: _Panels, row: int, runs: pd.DataFrame, published: pd.DataFrame) -> None:
    if runs.empty:
        return
    kind, task, number = runs[["kind", "task", "num_fewshot"]].iloc[0]
    chosen = (published["kind"] == kind) & (published["task"] == task) & (published["num_fewshot"] == number)
    offsets = _offsets(sort_schemes(list(main_rows(runs)["encoding_scheme"].unique())))
    chosen &= published["pretrained"].isin(list(panels.models)) & published["encoding_scheme"].isin(list(offsets))
    values = published[chosen]
    if values.empty:
        return
    x = values["pretrained"].map(panels.models).astype(float) + values["encoding_scheme"].map(offsets).astype(float)
    trace = go.Scatter(
        x=x,
        y=values["normalised"].astype(float),
        mode="markers",
        marker={"symbol": "diamond-open", "size": 8, "color": INK, "line": {"width": 2}},
        hovertemplate="published: %{y:.3f}<extra></extra>",
    )
    panels.add(row, trace, "published", rank=25)
