"""What each setting does: how scores are distributed over the runs that share a value of it."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lm_eval.analysis.figures.labels import name_test, say, say_shots, varying_settings
from lm_eval.analysis.figures.layout import Legend, new_layout, span
from lm_eval.analysis.figures.score_toggle import Score, with_toggle
from lm_eval.analysis.figures.selection import list_shots, scored
from lm_eval.analysis.figures.style import BEST, DASHED, FAINT, FONT, INK, SHADE, SMALL
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
_BOX_MEANING = "box: middle half; line: median; whiskers: all; grey: number of runs"
_POINT = "#0072B2"
_STAR = {"symbol": "star", "size": 13, "color": BEST, "line": {"color": INK, "width": 1}}
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


@dataclass(frozen=True)
class _Setting:
    """A row of panels: the values of a setting, in words."""

    name: str
    of_runs: "pd.Series[str]"
    """The value of each run."""
    order: list[str]
    """The values from the lowest best score to the highest: drawn from below, the best comes on top."""

    @classmethod
    def read(cls, name: str, runs: pd.DataFrame, score: Score) -> "_Setting":
        values = runs[name].map(lambda value: say(name, value))
        best = runs[score.column].groupby(values).max().fillna(-1.0).sort_values(kind="stable")
        return cls(name, values, [str(value) for value in best.index])

    @property
    def ends(self) -> tuple[float, float]:
        """What its vertical axis spans, in places of values."""
        return -0.6, len(self.order) - 0.4


def _draw(runs: pd.DataFrame, names: list[str], title: str, score: Score) -> go.Figure:
    shots = list_shots(runs)
    settings = [_Setting.read(name, runs, score) for name in names]
    figure, plot_height = _make_panels(settings, len(shots))
    for column, number in enumerate(shots, start=1):
        of_shots = runs[runs["num_fewshot"] == number]
        for row, setting in enumerate(settings, start=1):
            _add_setting(figure, of_shots, setting, score, (row, column))
    overall = runs[score.column].max()
    baseline = "dashed: baseline = 1" if overall > _NEAR_ONE else "the baseline, 1, lies further to the right"
    subtitle = "<br>".join([_BOX_MEANING, _say_others(runs, names), baseline])
    legend = Legend(4, columns=1)
    layout = new_layout(title, plot_height=plot_height, subtitle=subtitle, legend=legend, above=_ABOVE_PX)
    figure.update_layout(**layout, barmode="overlay")
    chances = score.chance(runs).dropna()
    ends = span(figure, "x", including=[*chances, *([1.0] if overall > _NEAR_ONE else [])])
    for row, setting in enumerate(settings, start=1):
        _label_values(figure, setting, row)
        for column, number in enumerate(shots, start=1):
            chance = score.chance(runs[runs["num_fewshot"] == number]).dropna()
            _shade(figure, chance, ends, setting.ends, (row, column))
    figure.update_xaxes(type="linear", range=ends, nticks=5)
    figure.update_xaxes(title_text=score.label, row=len(settings))
    if overall > _NEAR_ONE:
        figure.add_vline(x=1, line={"color": FAINT, "width": 2, "dash": DASHED})
    _add_legend(figure)
    figure.update_layout(annotations=_titles(names, shots))
    return figure


def _make_panels(settings: list[_Setting], num_columns: int) -> tuple[go.Figure, int]:
    """Return a figure with a row of panels for each setting, and the height of all rows."""
    heights = [_ROW_PX * len(setting.order) for setting in settings]
    plot_height = sum(heights) + _TITLE_PX * (len(settings) - 1)
    figure = make_subplots(
        rows=len(settings),
        cols=num_columns,
        shared_xaxes="all",
        shared_yaxes=True,
        row_heights=heights,
        vertical_spacing=_TITLE_PX / plot_height if len(settings) > 1 else 0,
        horizontal_spacing=0.07,
    )
    return figure, plot_height


def _label_values(figure: go.Figure, setting: _Setting, row: int) -> None:
    counts = setting.of_runs.value_counts()
    texts = [f"{value} <span style='color:{FAINT};font-size:14px'>{counts[value]}</span>" for value in setting.order]
    ticks = {"tickvals": list(range(len(texts))), "ticktext": texts}
    figure.update_yaxes(type="linear", range=setting.ends, showgrid=False, row=row, **ticks)


def _add_setting(figure: go.Figure, runs: pd.DataFrame, setting: _Setting, score: Score, cell: tuple[int, int]) -> None:
    """Draw the runs of one number of shots by the values of a setting, and a star at the best of all."""
    values = setting.of_runs.loc[runs.index]
    for place, value in enumerate(setting.order):
        for trace in _distribution(runs[values == value], value, place, score):
            figure.add_trace(trace, row=cell[0], col=cell[1])
    best = runs[score.column].max()
    leading = values[runs[score.column] == best].unique()
    star = go.Scatter(
        x=[best] * len(leading),
        y=[setting.order.index(value) for value in leading],
        mode="markers",
        marker=_STAR,
        hovertemplate="best of all: %{x:.3f}<extra></extra>",
        showlegend=False,
    )
    figure.add_trace(star, row=cell[0], col=cell[1])


def _distribution(runs: pd.DataFrame, value: str, place: int, score: Score) -> list[go.Box | go.Scatter]:
    """Return how the scores of a value's runs are distributed: a box, or the points of a few runs."""
    known = runs.dropna(subset=[score.column])
    if len(known) > _FEW:
        return [_box(known[score.column], value, place)]
    below = known["below_chance"].astype(bool)
    parts = {False: known[~below], True: known[below]}
    return [_points(points, value, place, score, hollow=hollow) for hollow, points in parts.items() if len(points)]


def _box(scores: "pd.Series[float]", value: str, place: int) -> go.Box:
    quartiles = scores.quantile([0.25, 0.5, 0.75])
    return go.Box(
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


def _points(runs: pd.DataFrame, value: str, place: int, score: Score, *, hollow: bool) -> go.Scatter:
    symbol = "circle-open" if hollow else "circle"
    return go.Scatter(
        x=runs[score.column],
        y=[place] * len(runs),
        error_x={"type": "data", "array": runs[score.error].fillna(0.0), "thickness": 1, "width": 0},
        mode="markers",
        marker={"symbol": symbol, "size": 8, "color": _POINT, "line": {"width": 2}},
        hovertemplate=f"{value}: %{{x:.3f}}<extra></extra>",
        showlegend=False,
    )


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
        "best of all": _STAR,
        "grey region: below chance": {"symbol": "square", "size": 14, "color": SHADE},
        f"single runs, if {_FEW} or fewer": {"symbol": "circle", "size": 8, "color": _POINT},
        "hollow: below chance": {"symbol": "circle-open", "size": 8, "color": _POINT, "line": {"width": 2}},
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
