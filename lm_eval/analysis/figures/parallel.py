"""Settings as parallel categories coloured by score: of the best runs, as in the paper, or of all."""

import pandas as pd
import plotly.graph_objects as go

from lm_eval.analysis.figures.look import COLOUR_SCALE, SMALL, WIDTH, new_layout
from lm_eval.analysis.figures.selection import (
    name_test,
    say,
    say_constant,
    say_shots,
    scored,
    varying_settings,
)
from lm_eval.analysis.figures.toggle import Score, with_toggle
from lm_eval.errors import ConfigurationError
from lm_eval.wording import SHORT_LABELS

BEST = 10
_ROW_PX = 44
_BAR_PX = 150
"""Room for the colour bar."""
_LETTER_PX = 10.0
_INSET_PX = 40
"""What plotly leaves free at both sides of the categories."""
_MANY = 40
"""Of more runs than these, ribbons of about the same score are joined."""
_CLASSES = 6
_MANY_LAYERS = 10


def parallel_settings(
    table: pd.DataFrame, *, num_fewshot: int, best: int | None = BEST, title: str | None = None
) -> go.Figure:
    """Draw each run as a ribbon through the values of its settings, coloured by its score: for both columns of a page.

    Values stand in the order of the best run that has them. Of many runs, those of about the same score are joined, and
    layers are put together.

    Args:
        table: runs with their scores, of one test and task.
        num_fewshot: of the runs to draw.
        best: only so many of the highest scores; None draws all.
        title: in place of the test's name.

    Raises:
        ConfigurationError: an empty or mixed table, or no run of so many shots with a score.
    """
    table = scored(table)
    runs = table[table["num_fewshot"] == num_fewshot]
    if runs.empty:
        held = ", ".join(str(number) for number in sorted(table["num_fewshot"].unique()))
        raise ConfigurationError(
            f"no runs to draw: the table has none of {say_shots(num_fewshot)} with a score, only of {held}"
        )
    return with_toggle(lambda score: _draw(runs, best, title, score), runs)


def _draw(runs: pd.DataFrame, best: int | None, title: str | None, score: Score) -> go.Figure:
    ranked = runs.dropna(subset=[score.column]).sort_values(score.column, kind="stable", ascending=False)
    shown = ranked if best is None else ranked.head(best)
    columns = _columns(shown)
    if columns and len(shown) > _MANY:
        shown, columns = _from_low_to_high(shown, columns)
    order = {label: list(dict.fromkeys(values)) for label, values in _columns(ranked.head(len(shown))).items()}
    dimensions = [
        {"label": label, "values": values, "categoryorder": "array", "categoryarray": order[label]}
        for label, values in columns.items()
    ]
    trace = go.Parcats(
        dimensions=dimensions,
        line=_line(shown[score.column], score),
        labelfont={"size": SMALL, "weight": "bold"},
        tickfont={"size": SMALL},
        arrangement="freeform",
        bundlecolors=True,
        sortpaths="forward",
        hoveron="color",
        hoverinfo="count",
    )
    models = list(shown["model"].unique())
    who = models[0] if len(models) == 1 else f"{len(models)} models"
    which = f"all {len(shown)} runs" if best is None else f"the {len(shown)} best of {len(ranked)} runs"
    number = say_shots(int(runs["num_fewshot"].iloc[0]))
    same = say_constant(shown)
    how = "each ribbon a run" if len(shown) <= _MANY else "ribbons: runs of about the same score"
    layout = new_layout(
        title or f"{name_test(runs)}: {who}, {number}, {which}",
        plot_height=max(300, _ROW_PX * max(len(values) for values in order.values())),
        subtitle=f"{how}; {f'the same in all: {same}' if same else 'the best run of each value on top'}",
        below=20,
    )
    first, *others = (_LETTER_PX * max(len(text) for text in (label, *values)) + 32 for label, values in order.items())
    distance = max(others, default=0.0)
    last = _LETTER_PX * max(len(value) for value in list(order.values())[-1]) + 50
    width = max(WIDTH, int(first + distance * len(others) + last + _BAR_PX))
    left, right = first - _INSET_PX, last - _INSET_PX + _BAR_PX
    figure = go.Figure(trace)
    figure.update_layout(**{**layout, "width": width, "margin": {**layout["margin"], "l": left, "r": right}})
    bar_place = 1 + (last - _INSET_PX) / (width - left - right)
    figure.update_traces(line_colorbar={"x": bar_place, "xanchor": "left", "xpad": 0})
    return figure


def _columns(runs: pd.DataFrame) -> dict[str, list[str]]:
    """Return what is told apart, by its label: the model where there are several, and the settings that vary."""
    columns: dict[str, list[str]] = {}
    if runs["model"].nunique() > 1:
        columns["model"] = [str(model) for model in runs["model"]]
    for name in varying_settings(runs) or ["encoding_scheme"]:
        values = [say(name, value) for value in runs[name]]
        columns[SHORT_LABELS[name]] = _join_layers(values) if name.endswith("LAYER") else values
    return columns


def _join_layers(layers: list[str]) -> list[str]:
    """Return layers, those with numbers put together by fives where there are many."""
    numbers = {int(layer) for layer in layers if layer.isdigit()}
    if len(numbers) <= _MANY_LAYERS:
        return layers
    return [f"{int(name) // 5 * 5} to {int(name) // 5 * 5 + 4}" if name.isdigit() else name for name in layers]


def _from_low_to_high(runs: pd.DataFrame, columns: dict[str, list[str]]) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Return runs and columns with the best last, so that their ribbons are drawn above the others."""
    return runs.iloc[::-1], {label: values[::-1] for label, values in columns.items()}


def _line(scores: "pd.Series[float]", score: Score) -> dict[str, object]:
    low, high = float(scores.min()), float(scores.max())
    if low == high:
        low, high = low - 1e-3, high + 1e-3
    colours = scores
    if len(scores) > _MANY:
        step = (high - low) / _CLASSES
        colours = low + ((scores - low) / step).astype(int).clip(upper=_CLASSES - 1) * step + step / 2
    bar = {"title": {"text": score.label, "side": "right"}, "thickness": 16, "outlinewidth": 0}
    return {
        "color": colours,
        "colorscale": COLOUR_SCALE,
        "cmin": low,
        "cmax": high,
        "showscale": True,
        "colorbar": {**bar, "tickfont": {"size": SMALL}},
        "shape": "hspline",
    }
