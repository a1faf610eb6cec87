"""Scores of several models over the relative depth of layers, all other settings the same."""

import pandas as pd
import plotly.graph_objects as go

from lm_eval.analysis.figures.labels import BARS, name_test, say_constant, say_data, say_run
from lm_eval.analysis.figures.layer_runs import LAYER, best_of, fix_settings
from lm_eval.analysis.figures.layout import Legend, error_bars, lines, new_layout, span
from lm_eval.analysis.figures.panels import Panels
from lm_eval.analysis.figures.score_toggle import Score, with_toggle
from lm_eval.analysis.figures.selection import list_shots, scored, sort_models
from lm_eval.analysis.figures.style import DASHED, FAINT, INK, STATES, SYMBOLS, fills
from lm_eval.analysis.layers import number_layers
from lm_eval.errors import ConfigurationError

_PANEL_PX, _GAP_PX = 270, 44
_LIGHTEST, _DARKEST = 180, 10
"""Shades of grey of models, the larger the darker."""


def depth_lines(table: pd.DataFrame, *, title: str | None = None) -> go.Figure:
    """Draw scores over the depth of layers as a share of each model's: a line a model, all other settings the same.

    Models of a family have the same symbol; the larger, the darker. Token embeddings (`E`) are left out.

    Args:
        table: runs with their scores, of one test and task.
        title: in place of the test's name.

    Raises:
        ConfigurationError: an empty or mixed table, or fewer than two models of known depth with runs at two layers.
    """
    runs = number_layers(scored(table))
    runs = runs[runs["num_layers"].notna() & runs["ENCODING_LAYER"].map(lambda layer: str(layer).isdigit())]
    runs = runs.assign(**{LAYER: runs["ENCODING_LAYER"], "depth": runs["ENCODING_LAYER"].astype(float)})
    runs["depth"] = runs["depth"] / runs["num_layers"].astype(float)
    fixed = runs if runs.empty else fix_settings(runs, lines=("pretrained",))
    several = fixed.groupby("pretrained")["depth"].transform("nunique") > 1
    fixed = fixed[several]
    if fixed["pretrained"].nunique() < 2:
        raise ConfigurationError(
            "no layers to compare: the table has not two models of known depth with runs that differ in their layer "
            "alone; add values of ENCODING_LAYER to the lists in scripts/run_parallel_*.py"
        )
    shown = title or f"{name_test(fixed)}: {fixed['pretrained'].nunique()} models, by relative depth"
    return with_toggle(lambda score: _draw(fixed, shown, score), fixed)


def _draw(fixed: pd.DataFrame, title: str, score: Score) -> go.Figure:
    models = sort_models(fixed)
    families = list(dict.fromkeys(models["family"]))
    ranks = models["size_b"].rank(method="first", pct=True).fillna(0.5)
    colours = [_shade(rank) for rank in ranks]
    panels = Panels(list_shots(fixed), _PANEL_PX, _GAP_PX)
    for row, number in enumerate(panels.shots, start=1):
        for rank, (model, colour) in enumerate(zip(models.to_dict("records"), colours, strict=True)):
            of_model = fixed[(fixed["num_fewshot"] == number) & (fixed["pretrained"] == model["pretrained"])]
            points = best_of(of_model, ["depth"], score).sort_values("depth")
            if len(points):
                symbol = SYMBOLS[families.index(model["family"]) % len(SYMBOLS)]
                looks = {"line": {"color": colour}, "marker": {"color": colour, "symbol": symbol, "size": 9}}
                panels.add_key(model["model"], rank=rank, **looks)
                panels.add_named(row, _line(points, score, colour, symbol), model["model"], rank=rank)
        level = {"mode": "lines", "hoverinfo": "skip", "x": [0, 1]}
        if score.has_one_scale:
            line = {"color": FAINT, "width": 2, "dash": DASHED}
            panels.add_named(row, go.Scatter(y=[1, 1], line=line, **level), "baseline = 1", rank=500)
        chances = score.chance(fixed).dropna().unique()
        if len(chances) == 1:
            line = {"color": INK, "width": 1.5}
            panels.add_named(row, go.Scatter(y=[*chances] * 2, line=line, **level), "chance (guessing)", rank=501)
    subtitle = lines(
        f"the same in all: {say_constant(fixed.assign(ENCODING_LAYER=None, SEGMENT_AGG_SCHEME=None))}",
        "0: what enters the first block, 1: the last layer; the larger a model, the darker",
        "; ".join(STATES.values()),
        f"{say_data(fixed)}; {BARS}",
    )
    legend = Legend(len(panels.in_legend))
    layout = new_layout(title, plot_height=panels.plot_height, subtitle=subtitle, legend=legend, below=70)
    panels.figure.update_layout(**layout)
    panels.figure.update_xaxes(type="linear", range=(-0.03, 1.03))
    panels.figure.update_xaxes(title_text="layer, as a share of the model's depth", row=len(panels.shots))
    panels.share_y(score.label, span(panels.figure.data, "y", including=(1,) if score.has_one_scale else ()))
    panels.add_titles()
    return panels.figure


def _shade(share: float) -> str:
    level = round(_LIGHTEST + share * (_DARKEST - _LIGHTEST))
    return f"#{level:02x}{level:02x}{level:02x}"


def _line(points: pd.DataFrame, score: Score, colour: str, symbol: str) -> go.Scatter:
    return go.Scatter(
        x=points["depth"],
        y=points[score.column],
        error_y=error_bars(points[score.error], color=colour, thickness=1, width=0),
        mode="lines+markers",
        line={"color": colour, "width": 1.5},
        marker={
            "color": fills(colour, points["versus_chance"]),
            "symbol": symbol,
            "size": 9,
            "line": {"width": 1.5, "color": colour},
        },
        hovertext=[say_run(run, score) for run in points.to_dict("records")],
        hoverinfo="text",
    )
