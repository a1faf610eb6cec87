"""The figures of a report: all that there is to draw of a table, for those who open no notebook."""

from collections.abc import Callable

import pandas as pd
import plotly.graph_objects as go

from lm_eval.analysis.figures.ablations import ablations
from lm_eval.analysis.figures.bars import main_bars
from lm_eval.analysis.figures.labels import name_test, say_shots
from lm_eval.analysis.figures.layer_heat_map import layer_heat_map
from lm_eval.analysis.figures.layer_lines import layer_lines
from lm_eval.analysis.figures.parallel_categories import parallel_settings
from lm_eval.analysis.figures.scaling import scaling
from lm_eval.analysis.figures.selection import largest_study, list_shots
from lm_eval.errors import ConfigurationError

_FIGURES: dict[str, Callable[[pd.DataFrame], go.Figure]] = {
    "main configurations": main_bars,
    "score and model size": scaling,
    "by setting": ablations,
    "by layer, lines": layer_lines,
    "by layer, map": layer_heat_map,
}
"""By what stands behind the test's name in the report; a figure is added to the report here."""


def draw_all(table: pd.DataFrame, *, published: pd.DataFrame | None = None) -> dict[str, go.Figure]:
    """Draw what there is to draw of each test, task and slice of documents; what there isn't is left out.

    Args:
        table: runs with their scores, of any tests and tasks.
        published: the paper's values, for `main_bars`.

    Returns:
        Figures by title.
    """
    drawn: dict[str, go.Figure] = {}
    several = table.groupby(["kind", "task"])["limit"].nunique().gt(1).any()
    for (_, task, limit), runs in table.groupby(["kind", "task", "limit"]):
        if runs["normalised"].isna().all():
            continue
        name = f"{name_test(runs)} ({task}{f', --limit {limit}' if several else ''})"
        for what, draw in _FIGURES.items():
            try:
                figure = main_bars(runs, published=published) if draw is main_bars else draw(runs)
            except ConfigurationError:  # a single layer, one value of each setting, no sizes
                continue
            drawn[f"{name}: {what}"] = figure
        for number, figure in _draw_best(runs).items():
            drawn[f"{name}: best settings, {say_shots(number)}"] = figure
    return drawn


def _draw_best(runs: pd.DataFrame) -> dict[int, go.Figure]:
    """Draw the ten best runs at each number of shots of the model that has the most."""
    study = largest_study(runs)
    drawn = {}
    for number in list_shots(study):
        try:
            drawn[number] = parallel_settings(study, num_fewshot=number)
        except ConfigurationError:  # none with a baseline
            continue
    return drawn
