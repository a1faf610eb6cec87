"""Scores over the size of models."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lm_eval.analysis.figures.labels import BARS, name_test, say_data, say_run, say_shots, say_unscored
from lm_eval.analysis.figures.layout import Legend, error_bars, lines, new_layout, span
from lm_eval.analysis.figures.score_toggle import Score, with_toggle
from lm_eval.analysis.figures.selection import check, list_shots, main_rows, scored, sort_models
from lm_eval.analysis.figures.style import (
    DASHED,
    DASHES,
    FAINT,
    FONT,
    INK,
    SMALL,
    STATES,
    SYMBOLS,
    fills,
    key_of,
    look_of,
    sort_schemes,
)
from lm_eval.errors import ConfigurationError

_PANEL_PX = 165
_GAP_PX = 38
_SIZES = tuple(digit * 10.0**power for power in range(-4, 5) for digit in (1, 3))
_TOLD = "told"
"""A column: what is told of a run."""


def scaling(table: pd.DataFrame, *, title: str | None = None) -> go.Figure:
    """Draw the scores of main configurations over model size, a panel for each scheme and number of shots.

    Models of a family are joined and have the same symbol; colours are those of encoding schemes. Hollow points lie
    below chance, pale ones can't be told from it; the fine dotted lines are a family's chance, which in the normalised
    score falls as its baseline rises.

    Args:
        table: runs with their scores, of one test and task.
        title: in place of the test's name.

    Raises:
        ConfigurationError: an empty or mixed table, or no scored main configuration of a model of known size.
    """
    named = check(table)
    main = main_rows(scored(table))
    shown = main[main["size_b"].notna()]
    if shown.empty:
        raise ConfigurationError(
            "no sizes to draw: the table has no main configuration with a score of a model of known size; "
            "sizes come from results, from data/LM_List.csv or from names"
        )
    lacking = sorted(set(named["model"]) - set(shown["model"]))
    return with_toggle(
        lambda score: _draw(shown, lacking, title or f"{name_test(named)}: score and model size", score), shown
    )


def _draw(main: pd.DataFrame, lacking: list[str], title: str, score: Score) -> go.Figure:
    shots = list_shots(main)
    schemes = sort_schemes(list(main["encoding_scheme"].unique()))
    families = list(dict.fromkeys(sort_models(main)["family"]))
    plot_height = _PANEL_PX * len(schemes) + _GAP_PX * (len(schemes) - 1)
    figure = make_subplots(
        rows=len(schemes),
        cols=len(shots),
        shared_xaxes="all",
        shared_yaxes="all",
        vertical_spacing=_GAP_PX / plot_height if len(schemes) > 1 else 0,
        horizontal_spacing=0.05,
    )
    told = main.assign(**{_TOLD: [say_run(run, score) for run in main.to_dict("records")]})
    for row, scheme in enumerate(schemes, start=1):
        for column, number in enumerate(shots, start=1):
            runs = told[(told["encoding_scheme"] == scheme) & (told["num_fewshot"] == number)]
            figure.add_trace(go.Scatter(x=[None], y=[None], showlegend=False), row=row, col=column)  # empty panels too
            for place, family in enumerate(families):
                of_family = runs[runs["family"] == family].sort_values("size_b")
                _add_family(figure, (row, column), of_family, score, _Line(scheme, place))
    _add_legend(figure, families, score)
    subtitle = lines(
        f"{say_data(main)}; {BARS}",
        f"not shown (no size, no baseline or no run): {', '.join(lacking)}" if lacking else "",
        say_unscored(main, score),
    )
    legend = Legend(len(families) + 3 + score.has_one_scale)
    layout = new_layout(title, plot_height=plot_height, subtitle=subtitle, legend=legend, above=60, below=75)
    figure.update_layout(**layout)
    low, high = span(figure.data, "y", including=(1,) if score.has_one_scale else ())
    figure.update_yaxes(type="linear", range=(low, high), nticks=5)
    figure.update_yaxes(title_text=score.label, title_font_size=SMALL, col=1, row=(len(schemes) + 1) // 2)
    _label_sizes(figure, main["size_b"], len(schemes))
    if score.has_one_scale:
        figure.add_hline(y=1, line={"color": FAINT, "width": 2, "dash": DASHED})
    figure.update_layout(annotations=_titles(main, schemes, shots))
    return figure


@dataclass(frozen=True)
class _Line:
    """What a line is of: an encoding scheme, and a family by its place among all."""

    scheme: str
    family: int

    @property
    def colour(self) -> str:
        return look_of(self.scheme).colour

    @property
    def symbol(self) -> str:
        return SYMBOLS[self.family % len(SYMBOLS)]

    @property
    def dash(self) -> str:
        return DASHES[self.family % len(DASHES)]


def _label_sizes(figure: go.Figure, sizes: "pd.Series[float]", last_row: int) -> None:
    low, high = float(np.log10(sizes.min())), float(np.log10(sizes.max()))
    room = max(0.06 * (high - low), 0.1)
    inside = [size for size in _SIZES if low - room <= np.log10(size) <= high + room]
    ticks = inside if len(inside) > 1 else sorted(set(sizes))
    texts = [f"{size:g} B" if size >= 1 else f"{size * 1000:.3g} M" for size in ticks]
    figure.update_xaxes(type="log", range=(low - room, high + room), tickvals=ticks, ticktext=texts)
    figure.update_xaxes(title_text="parameters", row=last_row)


def _add_family(figure: go.Figure, cell: tuple[int, int], runs: pd.DataFrame, score: Score, line: _Line) -> None:
    if runs.empty:
        return
    chance = list(score.chance(runs).astype(float))
    alone = len(runs) == 1
    floor = go.Scatter(
        x=[runs["size_b"].iloc[0] * factor for factor in (0.9, 1.11)] if alone else runs["size_b"],
        y=chance * 2 if alone else chance,
        mode="lines",
        line={"color": INK, "width": 1.5, "dash": "dot"},
        hoverinfo="skip",
        showlegend=False,
    )
    points = go.Scatter(
        x=runs["size_b"],
        y=runs[score.column],
        error_y=error_bars(runs[score.error], color=line.colour, thickness=1.5, width=0),
        mode="lines+markers",
        line={"color": line.colour, "width": 2, "dash": line.dash},
        marker={
            "color": fills(line.colour, runs["versus_chance"]),
            "symbol": line.symbol,
            "size": 10,
            "line": {"color": line.colour, "width": 2},
        },
        hovertext=list(runs[_TOLD]),
        hoverinfo="text",
        showlegend=False,
    )
    figure.add_trace(floor, row=cell[0], col=cell[1])
    figure.add_trace(points, row=cell[0], col=cell[1])


def _add_legend(figure: go.Figure, families: list[str], score: Score) -> None:
    keys: list[tuple[str, dict[str, object]]] = []
    for place, family in enumerate(families):
        line = _Line("", place)
        marker = {"symbol": line.symbol, "size": 10, "color": INK}
        line_looks = {"color": INK, "width": 2, "dash": line.dash}
        keys.append((family, {"mode": "lines+markers", "marker": marker, "line": line_looks}))
    keys += [(name, {"mode": "markers", "marker": key_of(state)}) for state, name in STATES.items()]
    keys.append(("dotted: chance (guessing)", {"mode": "lines", "line": {"color": INK, "width": 1.5, "dash": "dot"}}))
    if score.has_one_scale:
        keys.append(("baseline = 1", {"mode": "lines", "line": {"color": FAINT, "width": 2, "dash": DASHED}}))
    for name, form in keys:
        figure.add_trace(go.Scatter(x=[None], y=[None], name=name, **form), row=1, col=1)


def _titles(main: pd.DataFrame, schemes: list[str], shots: list[int]) -> list[dict[str, Any]]:
    titles: list[dict[str, Any]] = []
    drawn = set(zip(main["encoding_scheme"], main["num_fewshot"], strict=True))
    for row, scheme in enumerate(schemes):
        for column, number in enumerate(shots):
            axis = row * len(shots) + column + 1
            suffix = "" if axis == 1 else str(axis)
            place = {"xref": f"x{suffix} domain", "yref": f"y{suffix} domain", "showarrow": False}
            if row == 0:
                text = {"text": f"<b>{say_shots(number)}</b>", "x": 0.5, "y": 1, "yanchor": "bottom", "yshift": 24}
                titles.append({**place, **text, "font": {"size": FONT}})
            text = {"text": f"<b>{look_of(scheme).label}</b>", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom"}
            titles.append({**place, **text, "font": {"size": SMALL}})
            if (scheme, number) not in drawn:
                text = {"text": "no run", "x": 0.5, "y": 0.5, "font": {"size": SMALL, "color": FAINT}}
                titles.append({**place, **text})
    return titles
