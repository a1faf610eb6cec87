"""The figures of a report: all that there is to draw of a table, for those who open no notebook."""

from collections.abc import Callable
from functools import partial

import pandas as pd
import plotly.graph_objects as go

from lm_eval.analysis.figures.at_a_glance import at_a_glance
from lm_eval.analysis.figures.bars import main_bars
from lm_eval.analysis.figures.depth_lines import depth_lines
from lm_eval.analysis.figures.effects import effects
from lm_eval.analysis.figures.labels import name_test, say_shots
from lm_eval.analysis.figures.layer_heat_map import layer_heat_map
from lm_eval.analysis.figures.layer_lines import layer_lines
from lm_eval.analysis.figures.parallel_categories import parallel_settings
from lm_eval.analysis.figures.scaling import scaling
from lm_eval.analysis.figures.selection import is_control, largest_study, list_shots
from lm_eval.analysis.figures.specification_curve import specification_curve
from lm_eval.errors import ConfigurationError

AT_A_GLANCE = "At a glance"
_FIGURES: dict[str, Callable[[pd.DataFrame], go.Figure]] = {
    "main configurations": main_bars,
    "score and model size": scaling,
    "what each setting changes": effects,
    "by layer, lines": layer_lines,
    "by layer, map": layer_heat_map,
    "by relative depth": depth_lines,
}
"""By what stands behind the test's name in the report; a figure is added to the report here."""


def draw_all(table: pd.DataFrame, *, published: pd.DataFrame | None = None) -> dict[str, go.Figure]:
    """Draw what there is to draw of each test, task and slice of documents; what there isn't is left out.

    All tests at a glance come first.

    Args:
        table: runs with their scores, of any tests and tasks.
        published: the paper's values, for `main_bars`.

    Returns:
        Figures by title.
    """
    drawn: dict[str, go.Figure] = {}
    several = table.groupby(["kind", "task"])["limit"].nunique().gt(1).any()
    for part, runs in table.groupby("limit"):
        name = f"{AT_A_GLANCE}{f' (--limit {part})' if several else ''}: all models"
        drawn |= _draw(name, at_a_glance, runs)
    for (_, task, limit), runs in table.groupby(["kind", "task", "limit"]):
        if is_control(runs).all():
            continue
        name = f"{name_test(runs)} ({task}{f', --limit {limit}' if several else ''})"
        for what, draw in _FIGURES.items():
            if draw is not main_bars:
                drawn |= _draw(f"{name}: {what}", draw, runs)
            elif runs["normalised"].notna().any():
                drawn[f"{name}: {what}"] = main_bars(runs, published=published)
        drawn |= _draw_study(name, runs)
    return drawn


def _draw_study(name: str, runs: pd.DataFrame) -> dict[str, go.Figure]:
    """Draw all runs at each number of shots, and the ten best, of the model that has the most."""
    study = largest_study(runs)
    drawn: dict[str, go.Figure] = {}
    for number in list_shots(study[~is_control(study)]):
        shots = say_shots(number)
        drawn |= _draw(f"{name}: all runs, {shots}", partial(specification_curve, num_fewshot=number), study)
        drawn |= _draw(f"{name}: best settings, {shots}", partial(parallel_settings, num_fewshot=number), study)
    return drawn


def _draw(title: str, draw: Callable[[pd.DataFrame], go.Figure], runs: pd.DataFrame) -> dict[str, go.Figure]:
    """Return a figure by its title; nothing where there is nothing to draw, such as a single layer or no scores."""
    try:
        return {title: draw(runs)}
    except ConfigurationError:
        return {}
