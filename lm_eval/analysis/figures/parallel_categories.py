"""Settings as parallel categories coloured by score: of the best runs, as in the paper, or of all."""

import pandas as pd
import plotly.graph_objects as go

from lm_eval.analysis.figures.labels import name_test, say, say_constant, say_shots, varying_settings
from lm_eval.analysis.figures.layout import new_layout
from lm_eval.analysis.figures.sankey import draw_flows
from lm_eval.analysis.figures.score_toggle import Score, with_toggle
from lm_eval.analysis.figures.selection import scored
from lm_eval.analysis.figures.style import COLOUR_SCALE, SMALL, WIDTH
from lm_eval.errors import ConfigurationError
from lm_eval.results.labels import SHORT_LABELS

BEST = 10
_ROW_PX = 44
_BAR_PX = 150
"""Room for the colour bar."""
_LETTER_PX = 10.0
_INSET_PX = 40
"""What plotly leaves free at both sides of the categories."""
_MANY = 40
"""Of more runs than these, those of about the same score are joined."""
_LOW_PX, _HIGH_PX = 300, 560
"""Height of the panel, at least: of few runs and of many."""
_MANY_LAYERS = 10


def parallel_settings(
    table: pd.DataFrame, *, num_fewshot: int, best: int | None = BEST, title: str | None = None
) -> go.Figure:
    """Draw each run as a ribbon through the values of its settings, coloured by its score: for both columns of a page.

    Values stand in the order of the best run that has them. Of many runs, those of about the same score are joined
    between neighbouring settings (`sankey.draw_flows`), and layers are put together.

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
    order = {label: list(dict.fromkeys(values)) for label, values in columns.items()}
    is_many = len(shown) > _MANY and len(columns) > 1
    rows = max(len(values) for values in order.values())
    height = max(_HIGH_PX if is_many else _LOW_PX, _ROW_PX * rows)
    first, *others = (_LETTER_PX * max(len(text) for text in (label, *values)) + 32 for label, values in order.items())
    last = _LETTER_PX * max(len(value) for value in list(order.values())[-1]) + 50
    width = max(WIDTH, int(first + max(others, default=0.0) * len(others) + last + _BAR_PX))
    left, beside = (30.0, 40.0) if is_many else (first - _INSET_PX, last - _INSET_PX)
    right = beside + _BAR_PX
    bar = {
        "title": {"text": score.label, "side": "right"},
        "thickness": 16,
        "outlinewidth": 0,
        "tickfont": {"size": SMALL},
        "x": 1 + beside / (width - left - right),
        "xanchor": "left",
        "xpad": 0,
    }
    if is_many:
        figure = draw_flows(columns, order, list(shown[score.column]), height, bar)
    else:
        figure = go.Figure(_ribbons(columns, order, shown[score.column], bar))
    layout = new_layout(
        title or _say_title(runs, shown, len(ranked)), plot_height=height, subtitle=_say_how(shown, is_many), below=20
    )
    figure.update_layout(**{**layout, "width": width, "margin": {**layout["margin"], "l": left, "r": right}})
    if is_many:
        _add_column_titles(figure, list(order))
    return figure


def _say_title(runs: pd.DataFrame, shown: pd.DataFrame, number: int) -> str:
    models = list(shown["model"].unique())
    who = models[0] if len(models) == 1 else f"{len(models)} models"
    which = f"all {number} runs" if len(shown) == number else f"the {len(shown)} best of {number} runs"
    return f"{name_test(runs)}: {who}, {say_shots(int(runs['num_fewshot'].iloc[0]))}, {which}"


def _say_how(shown: pd.DataFrame, is_many: bool) -> str:
    same = say_constant(shown)
    how = "ribbons: runs of about the same score; bars: their median" if is_many else "each ribbon a run"
    return f"{how}; {f'the same in all: {same}' if same else 'values in the order of their best run'}"


def _ribbons(
    columns: dict[str, list[str]], order: dict[str, list[str]], scores: "pd.Series[float]", bar: dict[str, object]
) -> go.Parcats:
    low, high = float(scores.min()), float(scores.max())
    if low == high:
        low, high = low - 1e-3, high + 1e-3
    return go.Parcats(
        dimensions=[
            {"label": label, "values": values, "categoryorder": "array", "categoryarray": order[label]}
            for label, values in columns.items()
        ],
        line={
            "color": scores,
            "colorscale": COLOUR_SCALE,
            "cmin": low,
            "cmax": high,
            "showscale": True,
            "colorbar": bar,
            "shape": "hspline",
        },
        labelfont={"size": SMALL, "weight": "bold"},
        tickfont={"size": SMALL},
        arrangement="freeform",
        bundlecolors=True,
        sortpaths="forward",
        hoveron="color",
        hoverinfo="count",
    )


def _add_column_titles(figure: go.Figure, labels: list[str]) -> None:
    titles = [
        {
            "text": f"<b>{label}</b>",
            "x": place / (len(labels) - 1),
            "y": 1,
            "xref": "paper",
            "yref": "paper",
            "xanchor": "left" if place == 0 else "center",
            "yanchor": "bottom",
            "yshift": 8,
            "showarrow": False,
            "font": {"size": SMALL},
        }
        for place, label in enumerate(labels)
    ]
    figure.update_layout(annotations=titles, xaxis={"visible": False}, yaxis={"visible": False})


def _columns(runs: pd.DataFrame) -> dict[str, list[str]]:
    """Return the columns of values, by label: the model where there are several, and the settings that vary."""
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
