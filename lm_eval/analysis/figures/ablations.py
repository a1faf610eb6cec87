"""What each setting does: how scores are distributed over the runs that share a value of it."""

from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lm_eval.analysis.figures.score_toggle import Score, with_toggle
from lm_eval.analysis.figures.selection import name_test, say, say_shots, scored, varying_settings
from lm_eval.analysis.figures.style import BEST, DASHED, FAINT, FONT, INK, SHADE, SMALL, new_layout, span
from lm_eval.errors import ConfigurationError
from lm_eval.results.labels import LABELS

ABLATED = (
    *("encoding_scheme", "WORD_AGG_SCHEME", "SEGMENT_AGG_SCHEME", "EXAMPLE_AGG_SCHEME"),
    *("NORM", "SIMILARITY_FUNC", "OUT_WORD_AGG_SCHEME", "OUT_ENCODING_LAYER"),
)
"""The settings drawn; layers have figures of their own."""
_ROW_PX = 27
_TITLE_PX = 40
_ABOVE_PX = 58
_FEW = 5
"""Up to so many runs are drawn one by one, more as a box."""
_BOX = "#9ecae8"
_PALE = "#f1f1f1"
_NEAR_ONE = 0.9
"""Where the best score is higher, the baseline is drawn too."""


def ablations(table: pd.DataFrame, *, settings: tuple[str, ...] = ABLATED, title: str | None = None) -> go.Figure:
    """Draw how scores are distributed by the values of each setting, whatever the others are.

    A box holds the middle half of the runs, its line is their median, its whiskers reach the lowest and the highest;
    the star is the best of all. The grey region lies below chance. The number of runs stands behind each value.

    Args:
        table: runs with their scores, of one test and task.
        settings: those to draw; one that is the same in all runs is left out.
        title: in place of the test's name.

    Raises:
        ConfigurationError: an empty table, a mixed one, or one in which no setting varies.
    """
    runs = scored(table)
    varying = varying_settings(runs, settings)
    if not varying:
        raise ConfigurationError(
            f"no ablations to draw: {', '.join(settings)} are the same in all {len(runs)} runs; "
            "add values to the lists in scripts/run_parallel_*.py"
        )
    models = runs["pretrained"].nunique()
    shown = title or f"{name_test(runs)}: {runs['model'].iloc[0] if models == 1 else f'{models} models'}, by setting"
    return with_toggle(lambda score: _draw(runs, varying, shown, score), runs)


def _draw(runs: pd.DataFrame, settings: list[str], title: str, score: Score) -> go.Figure:
    shots = sorted(int(number) for number in runs["num_fewshot"].unique())
    named = {name: runs[name].map(lambda value, name=name: say(name, value)) for name in settings}
    orders = {name: _order(values, runs[score.column]) for name, values in named.items()}
    heights = [_ROW_PX * len(order) for order in orders.values()]
    plot_height = sum(heights) + _TITLE_PX * (len(settings) - 1)
    figure = make_subplots(
        rows=len(settings),
        cols=len(shots),
        shared_xaxes="all",
        shared_yaxes=True,
        row_heights=heights,
        vertical_spacing=_TITLE_PX / plot_height if len(settings) > 1 else 0,
        horizontal_spacing=0.07,
    )
    for column, number in enumerate(shots, start=1):
        of_shots = runs[runs["num_fewshot"] == number]
        best = of_shots[score.column].max()
        for row, name in enumerate(settings, start=1):
            values = named[name].loc[of_shots.index]
            for place, value in enumerate(orders[name]):
                _add_value(figure, of_shots[values == value], (place, value), score, (row, column))
            leading = values[of_shots[score.column] == best].unique()
            _add_best(figure, best, [orders[name].index(value) for value in leading], (row, column))
    overall = runs[score.column].max()
    baseline = "dashed: baseline = 1" if overall > _NEAR_ONE else "the baseline, 1, lies further to the right"
    subtitle = "<br>".join(
        ["box: middle half; line: median; whiskers: all; grey: number of runs", _say_others(runs, settings), baseline]
    )
    layout = new_layout(
        title, plot_height=plot_height, subtitle=subtitle, num_legend=4, legend_columns=1, above=_ABOVE_PX
    )
    figure.update_layout(**layout, barmode="overlay")
    chances = score.chance(runs).dropna()
    low, high = span(figure, "x", including=[*chances, *([1.0] if overall > _NEAR_ONE else [])])
    for row, (name, order) in enumerate(orders.items(), start=1):
        counts = named[name].value_counts()
        texts = [f"{value} <span style='color:{FAINT};font-size:14px'>{counts[value]}</span>" for value in order]
        ends = (-0.6, len(order) - 0.4)
        figure.update_yaxes(
            type="linear", tickvals=list(range(len(order))), ticktext=texts, range=ends, showgrid=False, row=row
        )
        for column, number in enumerate(shots, start=1):
            chance = score.chance(runs[runs["num_fewshot"] == number]).dropna()
            _shade(figure, chance, (low, high), ends, (row, column))
    figure.update_xaxes(type="linear", range=(low, high), nticks=5)
    figure.update_xaxes(title_text=score.label, row=len(settings))
    if overall > _NEAR_ONE:
        figure.add_vline(x=1, line={"color": FAINT, "width": 2, "dash": DASHED})
    _add_legend(figure)
    figure.update_layout(annotations=_titles(settings, shots))
    return figure


def _order(values: "pd.Series[str]", scores: "pd.Series[float]") -> list[str]:
    """Return values from the lowest best score to the highest: drawn from below, the best comes on top."""
    best = scores.groupby(values).max().fillna(-1.0)
    return [str(value) for value in best.sort_values(kind="stable").index]


def _add_value(figure: go.Figure, runs: pd.DataFrame, of: tuple[int, str], score: Score, cell: tuple[int, int]) -> None:
    place, value = of
    row, column = cell
    scores = runs[score.column].dropna()
    if len(scores) > _FEW:
        quartiles = scores.quantile([0.25, 0.5, 0.75])
        trace: go.Box | go.Scatter = go.Box(
            y=[place],
            q1=[quartiles[0.25]],
            median=[quartiles[0.5]],
            q3=[quartiles[0.75]],
            lowerfence=[scores.min()],
            upperfence=[scores.max()],
            orientation="h",
            fillcolor=_BOX,
            line={"color": INK, "width": 1.5},
            width=0.62,
            name=f"{value}, {len(scores)} runs",
            showlegend=False,
        )
        figure.add_trace(trace, row=row, col=column)
        return
    below = runs.loc[scores.index, "below_chance"].astype(bool)
    for hollow in (False, True):
        points = runs.loc[scores.index][below == hollow]
        if len(points):
            trace = go.Scatter(
                x=points[score.column],
                y=[place] * len(points),
                error_x={"type": "data", "array": points[score.error].fillna(0.0), "thickness": 1, "width": 0},
                mode="markers",
                marker={
                    "symbol": "circle-open" if hollow else "circle",
                    "size": 8,
                    "color": "#0072B2",
                    "line": {"width": 2},
                },
                hovertemplate=f"{value}: %{{x:.3f}}<extra></extra>",
                showlegend=False,
            )
            figure.add_trace(trace, row=row, col=column)


def _add_best(figure: go.Figure, best: float, places: list[int], cell: tuple[int, int]) -> None:
    marker = {"symbol": "star", "size": 13, "color": BEST, "line": {"color": INK, "width": 1}}
    trace = go.Scatter(
        x=[best] * len(places),
        y=places,
        mode="markers",
        marker=marker,
        hovertemplate="best of all: %{x:.3f}<extra></extra>",
        showlegend=False,
    )
    figure.add_trace(trace, row=cell[0], col=cell[1])


def _shade(
    figure: go.Figure,
    chances: "pd.Series[float]",
    x_ends: tuple[float, float],
    y_ends: tuple[float, float],
    cell: tuple[int, int],
) -> None:
    """Shade what lies below chance: of the models for which it is lowest, and, lighter, up to where it is highest."""
    if chances.empty:
        return
    for end, colour in {float(chances.max()): _PALE, float(chances.min()): SHADE}.items():
        region = go.Bar(  # bars lie below boxes and points
            x=[end - x_ends[0]],
            base=[x_ends[0]],
            y=[(y_ends[0] + y_ends[1]) / 2],
            width=[y_ends[1] - y_ends[0]],
            orientation="h",
            marker={"color": colour, "line": {"width": 0}},
            hoverinfo="skip",
            showlegend=False,
        )
        figure.add_trace(region, row=cell[0], col=cell[1])


def _add_legend(figure: go.Figure) -> None:
    keys = {
        "best of all": {"symbol": "star", "size": 13, "color": BEST, "line": {"color": INK, "width": 1}},
        "grey region: below chance": {"symbol": "square", "size": 14, "color": SHADE},
        f"single runs, if {_FEW} or fewer": {"symbol": "circle", "size": 8, "color": "#0072B2"},
        "hollow: below chance": {"symbol": "circle-open", "size": 8, "color": "#0072B2", "line": {"width": 2}},
    }
    for name, marker in keys.items():
        figure.add_trace(go.Scatter(x=[None], y=[None], mode="markers", marker=marker, name=name), row=1, col=1)


def _titles(settings: list[str], shots: list[int]) -> list[dict[str, Any]]:
    usual = {"showarrow": False, "yanchor": "bottom", "xanchor": "left", "x": 0, "y": 1, "font": {"size": SMALL}}
    titles: list[dict[str, Any]] = []
    for row, name in enumerate(settings):
        for column, number in enumerate(shots):
            axis = row * len(shots) + column + 1
            suffix = "" if axis == 1 else str(axis)
            place = {"xref": f"x{suffix} domain", "yref": f"y{suffix} domain"}
            text = f"<b>{LABELS[name]}</b>" if column == 0 else ""
            if row == 0:
                above = {"text": f"<b>{say_shots(number)}</b>", "x": 0.5, "xanchor": "center", "yshift": 22}
                titles.append({**usual, **place, **above, "font": {"size": FONT}})
            if text:
                titles.append({**usual, **place, "text": text})
    return titles


def _say_others(runs: pd.DataFrame, settings: list[str]) -> str:
    others = [LABELS[name] for name in varying_settings(runs) if name not in settings]
    if runs["pretrained"].nunique() > 1:
        others.append("model")
    return f"over all values of the others{' and of ' + ', '.join(others) if others else ''}"
