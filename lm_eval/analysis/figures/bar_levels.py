"""What the bars of the main chart are held against: chance, no context, baseline, the best run, published values."""

import pandas as pd
import plotly.graph_objects as go

from lm_eval.analysis.figures.bar_panel import BarPanel
from lm_eval.analysis.figures.labels import say_run
from lm_eval.analysis.figures.score_toggle import ACCURACY, NORMALISED, Score
from lm_eval.analysis.figures.style import BEST, CONTROL, DASH_DOTTED, DASHED, FAINT, INK, SMALL, size_of
from lm_eval.analysis.findings import count_tried

BEST_LABEL = "best run, of how many"
_STAR = {"symbol": "star", "color": BEST, "line": {"color": INK, "width": 1}}


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
    if score is ACCURACY:
        return _by_model(controls.assign(level=controls["acc"]))
    baselines = runs.dropna(subset=[score.column]).drop_duplicates("pretrained", keep="last")
    known = controls[["pretrained", "acc", "chance"]].merge(baselines[["pretrained", "baseline"]], on="pretrained")
    if score is NORMALISED:
        return _by_model(known.assign(level=known["acc"] / known["baseline"]))
    return _by_model(known.assign(level=(known["acc"] - known["chance"]) / (known["baseline"] - known["chance"])))


def _by_model(rows: pd.DataFrame) -> dict[str, float]:
    """Return each model's `level`, that of the newest run that has one."""
    known = rows.dropna(subset=["level"]).drop_duplicates("pretrained", keep="last")
    return dict(zip(known["pretrained"], known["level"].astype(float), strict=True))


def add_baseline(panel: BarPanel) -> None:
    """Draw the baseline: through the whole panel where it is 1, of accuracies that of each model."""
    line = {"color": FAINT, "width": 2, "dash": DASHED}
    if not panel.score.has_one_scale:
        levels = _by_model(panel.runs.assign(level=panel.score.baseline(panel.runs)))
        if levels:
            panel.add_levels(levels, "baseline", line, rank=20)
        return
    ends = [min(panel.models.values()) - 0.6, max(panel.models.values()) + 0.6]
    panel.add(go.Scatter(x=ends, y=[1, 1], mode="lines", line=line, hoverinfo="skip"), "baseline = 1", rank=20)


def add_best(panel: BarPanel) -> None:
    """Draw the best of all runs of each model, with how many these are; the star of many is larger."""
    score = panel.score
    best = count_tried(panel.runs, score.column)
    if best.empty:
        return
    numbers = [int(number) for number in best["num_runs"]]
    runs = best.to_dict("records")
    heads = [f"the best of {number:,} {'run' if number == 1 else 'runs'}" for number in numbers]
    stars = go.Scatter(
        x=[panel.models[run["pretrained"]] for run in runs],
        y=best[score.column],
        mode="markers+text",
        marker={**_STAR, "size": [size_of(number) for number in numbers], "opacity": 1},
        text=[f"{number:,}" for number in numbers],
        textposition="top center",
        textfont={"size": SMALL - 3, "color": INK},
        hovertext=[say_run(run, score, head=head) for run, head in zip(runs, heads, strict=True)],
        hoverinfo="text",
        cliponaxis=False,
    )
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
    chosen &= published["encoding_scheme"].isin(list(panel.offsets))
    of_paper = panel.runs["loading"].isna()  # other revisions, adapters and bits are other models
    names = panel.runs.loc[of_paper, ["checkpoint", "pretrained"]].drop_duplicates()
    values = published[chosen].rename(columns={"pretrained": "checkpoint"}).merge(names, on="checkpoint")
    if values.empty:
        return
    middles, offsets = values["pretrained"].map(panel.models), values["encoding_scheme"].map(panel.offsets)
    trace = go.Scatter(
        x=middles.astype(float) + offsets.astype(float),
        y=values["normalised"].astype(float),
        mode="markers",
        marker={"symbol": "diamond-open", "size": 8, "color": INK, "line": {"width": 2}},
        hovertext=[f"published: {value:.3f}" for value in values["normalised"]],
        hoverinfo="text",
    )
    panel.add(trace, "published", rank=25)
