"""The best runs as ribbons through the values of their settings, each ending at its score with its interval."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from lm_eval.analysis.figures.labels import (
    name_models,
    name_test,
    say,
    say_constant,
    say_data,
    say_run,
    say_shots,
    varying_settings,
)
from lm_eval.analysis.figures.layout import error_bars, lines, new_layout, span
from lm_eval.analysis.figures.score_toggle import Score, with_toggle
from lm_eval.analysis.figures.selection import scored
from lm_eval.analysis.figures.style import COLOUR_SCALE, INK, SMALL, WIDTH
from lm_eval.analysis.layers import number_layers
from lm_eval.errors import ConfigurationError
from lm_eval.results.labels import SHORT_LABELS

BEST = 10
_SLOT_PX = 30
_GAP = 0.7
"""Between two values, in slots; a slot is a run's."""
_LETTER_PX = 7.9
_BESIDE_PX = 50
"""Between two settings."""
_INSIDE_PX = 14
"""Beside the name of a value, in its box."""
_SCORES_PX = 230
_RIBBON_PX = 9
_STEPS = 16
"""Points of a ribbon between two settings."""
_LIGHTEST = 0.9
"""Of the colour scale, so that the best is seen on white."""


def parallel_settings(
    table: pd.DataFrame, *, num_fewshot: int, best: int = BEST, title: str | None = None
) -> go.Figure:
    """Draw the best runs as ribbons through the values of their settings: for both columns of a page.

    Values stand in the order of the best run that has them; on the right each run's score with its 95 % interval.

    Args:
        table: runs with their scores, of one test and task.
        num_fewshot: of the runs to draw.
        best: how many.
        title: in place of the test's name.

    Raises:
        ConfigurationError: an empty or mixed table, or no run of so many shots with a score.
    """
    table = scored(table)
    runs = number_layers(table[table["num_fewshot"] == num_fewshot])
    if runs.empty:
        held = ", ".join(str(number) for number in sorted(table["num_fewshot"].unique()))
        raise ConfigurationError(
            f"no runs to draw: the table has none of {say_shots(num_fewshot)} with a score, only of {held}"
        )
    return with_toggle(lambda score: _draw(runs, best, title, score), runs)


@dataclass(frozen=True)
class _Setting:
    """A column: where each run passes through it, and where its values stand."""

    label: str
    left: float
    right: float
    """In pixels from the left end."""
    slots: Float[np.ndarray, " run"]
    values: dict[str, tuple[float, float]]
    """The first and the last slot of each value."""


def _draw(runs: pd.DataFrame, best: int, title: str | None, score: Score) -> go.Figure:
    known = runs.dropna(subset=[score.column])
    shown = known.sort_values(score.column, kind="stable", ascending=False).head(best).reset_index(drop=True)
    settings = list(_settings(shown))
    ribbons_px = settings[-1].right + _BESIDE_PX
    height = _SLOT_PX * (len(shown) + _GAP * (max(len(setting.values) for setting in settings) - 1))
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, column_widths=[ribbons_px, _SCORES_PX],
                           horizontal_spacing=0)  # fmt: skip
    colours = _colours(shown[score.column])
    texts = [say_run(run, score, head=f"place {place} of {len(known):,}")
             for place, run in enumerate(shown.to_dict("records"), start=1)]  # fmt: skip
    for run, colour in reversed(list(enumerate(colours))):
        figure.add_trace(_ribbon(settings, run, colour, texts[run]), row=1, col=1)
    figure.add_trace(_points(shown, score, colours, texts), row=1, col=2)
    same = say_constant(shown)
    width = max(WIDTH, int(ribbons_px + _SCORES_PX + 30))
    who = f"{name_test(runs)}: {name_models(shown)}, {say_shots(int(runs['num_fewshot'].iloc[0]))}"
    which = f"the {len(shown)} best of {len(known):,} runs" if len(shown) < len(known) else f"all {len(known)} runs"
    subtitle = lines(
        f"each ribbon a run; values in the order of their best run{f'; the same in all: {same}' if same else ''}",
        f"{say_data(shown)}; bars: 95 % intervals",
        width=width,
    )
    layout = new_layout(title or f"{who}, {which}", plot_height=int(height), subtitle=subtitle, above=34, below=62)
    figure.update_layout(**{**layout, "width": width, "margin": {**layout["margin"], "l": 15, "r": 15}})
    _label(figure, settings, score)
    return figure


def _settings(shown: pd.DataFrame) -> Iterator[_Setting]:
    """Yield the columns: the model where there are several, and the settings that vary."""
    columns = {"model": list(shown["model"])} if shown["model"].nunique() > 1 else {}
    for name in varying_settings(shown) or ["encoding_scheme"]:
        columns[SHORT_LABELS[name]] = [say(name, value) for value in shown[name]]
    number, left = len(shown), 0.0
    for label, of_runs in columns.items():
        right = left + _LETTER_PX * max(len(text) for text in (label, *of_runs)) + _INSIDE_PX
        order = list(dict.fromkeys(of_runs))
        slots = np.zeros(number)
        values: dict[str, tuple[float, float]] = {}
        at = -_GAP * (len(order) - 1) / 2  # columns are centred
        for value in order:
            having = [run for run, its in enumerate(of_runs) if its == value]
            slots[having] = at + np.arange(len(having))
            values[value] = (at, at + len(having) - 1)
            at += len(having) + _GAP
        yield _Setting(label, left, right, slots, values)
        left = right + _BESIDE_PX


def _colours(scores: "pd.Series[float]") -> list[str]:
    low, high = float(scores.min()), float(scores.max())
    shares = [_LIGHTEST * (float(score) - low) / (high - low) if high > low else 0.5 for score in scores]
    return [str(colour) for colour in sample_colorscale(COLOUR_SCALE, shares)]


def _ribbon(settings: Sequence[_Setting], run: int, colour: str, text: str) -> go.Scatter:
    """Return a run's way from setting to setting, and to its place by score at the right."""
    stops = [(setting.left, setting.right, setting.slots[run]) for setting in settings]
    end = settings[-1].right + _BESIDE_PX
    x: list[float] = []
    y: list[float] = []
    for (_, from_x, from_y), (to_x, _, to_y) in pairwise([*stops, (end, end, float(run))]):
        share = np.linspace(0, 1, _STEPS)
        x += [*(from_x + share * (to_x - from_x))]
        y += [*(from_y + (to_y - from_y) * share**2 * (3 - 2 * share))]
    line = {"color": colour, "width": _RIBBON_PX, "simplify": False}
    template = f"{text}<extra></extra>"
    return go.Scatter(x=x, y=y, mode="lines", line=line, opacity=0.75, hovertemplate=template, showlegend=False)


def _points(shown: pd.DataFrame, score: Score, colours: list[str], texts: list[str]) -> go.Scatter:
    return go.Scatter(
        x=shown[score.column], y=list(range(len(shown))), mode="markers", hovertext=texts, hoverinfo="text",
        marker={"color": colours, "size": 11, "line": {"color": INK, "width": 1}},
        error_x=error_bars(shown[score.error]), showlegend=False,
    )  # fmt: skip


def _label(figure: go.Figure, settings: Sequence[_Setting], score: Score) -> None:
    top = min(low for setting in settings for low, _ in setting.values.values())
    bottom = max(high for setting in settings for _, high in setting.values.values())
    hidden = {"showgrid": False, "showticklabels": False, "ticks": "", "showline": False}
    figure.update_yaxes(type="linear", range=(bottom + 0.6, top - 0.6), **hidden)
    figure.update_xaxes(type="linear", range=(-2, settings[-1].right + _BESIDE_PX), row=1, col=1, **hidden)
    figure.update_xaxes(type="linear", range=span(figure.select_traces(col=2), "x"), nticks=4, row=1, col=2)
    figure.update_xaxes(title_text=score.label, row=1, col=2)
    usual: dict[str, Any] = {"xref": "x", "showarrow": False, "font": {"size": SMALL}}
    notes, boxes = [], []
    for setting in settings:
        middle = (setting.left + setting.right) / 2
        title = {"text": f"<b>{setting.label}</b>", "x": middle, "yref": "paper", "y": 1, "yanchor": "bottom"}
        notes.append({**usual, **title, "yshift": 6})
        for value, (first, last) in setting.values.items():
            boxes.append({"type": "rect", "xref": "x", "x0": setting.left, "x1": setting.right, "yref": "y",
                          "y0": first - 0.45, "y1": last + 0.45, "fillcolor": "white",
                          "line": {"color": INK, "width": 1.2}})  # fmt: skip
            notes.append({**usual, "text": value, "x": middle, "yref": "y", "y": (first + last) / 2})
    figure.update_layout(annotations=notes, shapes=boxes)
