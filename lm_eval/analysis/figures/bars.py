"""The paper's main chart: a bar for each model and encoding scheme, a panel for each number of shots.

`bar_panel` draws the bars of a panel, `bar_levels` what they are held against.
"""

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from lm_eval.analysis.figures import bar_levels
from lm_eval.analysis.figures.bar_panel import BarPanel, add_bars, add_missing
from lm_eval.analysis.figures.labels import BARS, name_test, say_data, say_unscored
from lm_eval.analysis.figures.layout import Legend, lines, new_layout, span
from lm_eval.analysis.figures.panels import Panels
from lm_eval.analysis.figures.score_toggle import NORMALISED, Score, with_toggle
from lm_eval.analysis.figures.selection import check, is_control, list_shots, main_rows, shortened, sort_models
from lm_eval.analysis.figures.style import WIDTH

_PANEL_PX = 260
_GAP_PX = 48
_LETTER_PX = 9
_LONGEST = 26
"""Letters of a model's name that are shown."""
_FLAT_LETTERS = 50
"""Of all names together, if they are to stand side by side."""
_MODEL_PX = 44
"""Between two models, at least, so that their bars can be distinguished. Many models make a figure for both columns."""
_SIDES_PX = 90
_ENTRY_PX = 300
"""Of the legend, with its symbol."""


def main_bars(table: pd.DataFrame, *, published: pd.DataFrame | None = None, title: str | None = None) -> go.Figure:
    """Draw the scores of main configurations by model and encoding scheme.

    Models stand in order of size, families together; a bar that is hollow lies below chance, a pale one can't be told
    from it, a cross stands where a run or its baseline is missing. A star is the best of all runs of a model, whatever
    its settings; the number says how many these are.

    Args:
        table: runs with their scores, main ones and others, of one test and task.
        published: the paper's values, drawn as open diamonds: columns `task`, `kind`, `pretrained`, `num_fewshot`,
            `encoding_scheme`, `normalised`.
        title: in place of the test's name.

    Raises:
        ConfigurationError: an empty table, or one that mixes tests, tasks or slices of documents.
    """
    table = check(table)
    shown = title or f"{name_test(table)}: main configurations"
    return with_toggle(lambda score: _draw(table, published, shown, score), table)


def _draw(table: pd.DataFrame, published: pd.DataFrame | None, title: str, score: Score) -> go.Figure:
    runs, controls = table[~is_control(table)], table[is_control(table)]
    has_score = table["pretrained"].isin(runs.loc[runs[score.column].notna(), "pretrained"])
    models, main = sort_models(table[has_score] if has_score.any() else table), main_rows(table)
    positions = dict(zip(models["pretrained"], models["position"], strict=True))
    panels = Panels(list_shots(table), _PANEL_PX, _GAP_PX)
    for row, number in enumerate(panels.shots, start=1):
        in_panel = [rows[rows["num_fewshot"] == number] for rows in (table, main)]
        runs, of_main = (rows[rows["pretrained"].isin(list(positions))] for rows in in_panel)
        panel = BarPanel(panels=panels, row=row, score=score, models=positions, runs=runs, main=of_main)
        add_bars(panel)
        add_missing(panel)
        bar_levels.add_chance(panel)
        bar_levels.add_controls(panel, controls)
        bar_levels.add_baseline(panel)
        bar_levels.add_best(panel)
        if published is not None and score is NORMALISED:
            bar_levels.add_published(panel, published)
    of_scores = [f"{say_data(table)}; {BARS}", say_unscored(table[~is_control(table)], score)]
    _arrange(panels, models, title, of_scores)
    low, high = span(panels.figure.data, "y", including=(0, 1) if score.has_one_scale else (0,))
    panels.share_y(score.label, (low if min(low, 0) < -0.05 else 0, high + 0.06 * (high - low)))
    panels.add_titles()
    return panels.figure


def _arrange(panels: Panels, models: pd.DataFrame, title: str, notes: list[str]) -> None:
    """Lay the figure out around its panels, and name the models below them: flat, or upright where they are many."""
    edge = (models["position"].min() - 0.6, models["position"].max() + 0.6)
    width = max(WIDTH, int(_MODEL_PX * (edge[1] - edge[0])) + _SIDES_PX)
    longest = max(len(name) for name in models["model"])
    flat = len(models) * longest <= _FLAT_LETTERS
    layout = new_layout(
        title,
        plot_height=panels.plot_height,
        subtitle=lines("bars: the paper's main settings; star: the best of all of a model's runs", *notes, width=width),
        legend=Legend(len(panels.in_legend), columns=width // _ENTRY_PX),
        below=50 if flat else 20 + min(longest, _LONGEST) * _LETTER_PX,
    )
    panels.figure.update_layout(**{**layout, "width": width}, barmode="overlay")
    names = [shortened(name, _LONGEST) for name in models["model"]]
    axis: dict[str, Any] = {"tickvals": list(models["position"]), "ticktext": names, "showgrid": False}
    panels.figure.update_xaxes(type="linear", range=edge, **axis)
    panels.figure.update_xaxes(tickangle=0 if flat else -90, row=len(panels.shots), col=1)
