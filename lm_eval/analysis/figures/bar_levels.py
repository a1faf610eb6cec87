"""What the bars of the main chart are held against: chance, no context, baseline, the best run, published values."""

import pandas as pd
import plotly.graph_objects as go

from lm_eval.analysis.figures.bar_panel import BarPanel
from lm_eval.analysis.figures.labels import say, varying_settings
from lm_eval.analysis.figures.score_toggle import NORMALISED, Score
from lm_eval.analysis.figures.selection import best_ablations
from lm_eval.analysis.figures.style import BEST, CONTROL, DASH_DOTTED, DASHED, FAINT, INK

BEST_LABEL = "best ablation"
_STAR = {"symbol": "star", "size": 12, "color": BEST, "line": {"color": INK, "width": 1}}


def add_chance(panel: BarPanel) -> None:
    """Draw what guessing gives each model."""
    levels = _by_model(panel.runs.assign(level=panel.score.chance(panel.runs)))
    panel.add_levels(levels, "chance (guessing)", {"color": INK, "width": 2.5}, rank=21)


def add_controls(panel: BarPanel, controls: pd.DataFrame) -> None:
    """Draw what each model scores without a context.

    Args:
        panel: where to.
        controls: runs without a context, which has no shots either: they count in every panel.
    """
    levels = _control_levels(panel.runs, controls, panel.score)
    if levels:
        line = {"color": CONTROL, "width": 2.5, "dash": DASH_DOTTED}
        panel.add_levels(levels, "no context at all", line, rank=22)


def _control_levels(runs: pd.DataFrame, controls: pd.DataFrame, score: Score) -> dict[str, float]:
    """Return the controls' scores, held against the baseline of a panel's shots."""
    baselines = runs.dropna(subset=["baseline"]).drop_duplicates("pretrained", keep="last")
    known = controls[["pretrained", "acc", "chance"]].merge(baselines[["pretrained", "baseline"]], on="pretrained")
    if score is NORMALISED:
        return _by_model(known.assign(level=known["acc"] / known["baseline"]))
    room = (known["baseline"] - known["chance"]).where(known["baseline"] > known["chance"])
    return _by_model(known.assign(level=(known["acc"] - known["chance"]) / room))


def _by_model(rows: pd.DataFrame) -> dict[str, float]:
    """Return each model's `level`, that of the newest run that has one."""
    known = rows.dropna(subset=["level"]).drop_duplicates("pretrained", keep="last")
    return dict(zip(known["pretrained"], known["level"].astype(float), strict=True))


def add_baseline(panel: BarPanel) -> None:
    """Draw the baseline through the whole panel."""
    ends = [min(panel.models.values()) - 0.6, max(panel.models.values()) + 0.6]
    line = {"color": FAINT, "width": 2, "dash": DASHED}
    panel.add(go.Scatter(x=ends, y=[1, 1], mode="lines", line=line, hoverinfo="skip"), "baseline = 1", rank=20)


def add_best(panel: BarPanel) -> None:
    """Draw the best run of each model that was ablated (`selection.best_ablations`)."""
    runs, score = panel.runs, panel.score
    best = best_ablations(runs, score.column)
    if best.empty:
        return
    levels = dict(zip(best["pretrained"], best[score.column].astype(float), strict=True))
    line = {"color": BEST, "width": 2.5, "dash": "dot"}
    key = go.Scatter(x=[None], y=[None], mode="lines+markers", line=line, marker=_STAR)
    panel.add(key, BEST_LABEL, rank=23)
    panel.add_levels(levels, BEST_LABEL, line, rank=23)
    tried = runs.dropna(subset=[score.column]).groupby("pretrained").size()
    varying = [name for name in varying_settings(runs) if name != "DECODING_SCHEME"]
    hover = [
        f"best of {tried[run['pretrained']]} runs of {run['model']}: {run[score.column]:.3f}<br>"
        + ", ".join(say(name, run[name]) for name in varying)
        for run in best.to_dict("records")
    ]
    x = [panel.models[pretrained] for pretrained in levels]
    y = list(levels.values())
    stars = go.Scatter(x=x, y=y, mode="markers", marker=_STAR, hovertext=hover, hoverinfo="text")
    panel.add(stars, BEST_LABEL, rank=23)


def add_published(panel: BarPanel, published: pd.DataFrame) -> None:
    """Draw the paper's values of the panel's bars.

    Args:
        panel: where to.
        published: as `main_bars` takes them.
    """
    if panel.runs.empty:
        return
    kind, task, number = panel.runs[["kind", "task", "num_fewshot"]].iloc[0]
    chosen = (published["kind"] == kind) & (published["task"] == task) & (published["num_fewshot"] == number)
    chosen &= published["pretrained"].isin(list(panel.models))
    chosen &= published["encoding_scheme"].isin(list(panel.offsets))
    values = published[chosen]
    if values.empty:
        return
    middles, offsets = values["pretrained"].map(panel.models), values["encoding_scheme"].map(panel.offsets)
    trace = go.Scatter(
        x=middles.astype(float) + offsets.astype(float),
        y=values["normalised"].astype(float),
        mode="markers",
        marker={"symbol": "diamond-open", "size": 8, "color": INK, "line": {"width": 2}},
        hovertemplate="published: %{y:.3f}<extra></extra>",
    )
    panel.add(trace, "published", rank=25)
