"""All results at a glance: a row for each model, a column for each test and number of shots."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lm_eval.analysis.figures.labels import name_test, say_data, say_run, say_shots, say_unscored
from lm_eval.analysis.figures.layout import ENTRY_PX, Legend, error_bars, lines, new_layout, span
from lm_eval.analysis.figures.score_toggle import CHANCE_CORRECTED, Score, with_toggle
from lm_eval.analysis.figures.selection import main_rows, scored_tests, sort_models
from lm_eval.analysis.figures.style import BEST, DASHED, FAINT, GRID, INK, SMALL, TRIED, size_of
from lm_eval.analysis.findings import count_tried, say_best
from lm_eval.analysis.layers import number_layers

WIDTH = 820
"""For both columns of a page; four panels stand beside the names."""
_ROW_PX = 25
_LOWEST_PX = 150
"""Height of the panels, at least: a legend can't be higher."""
_LETTER_PX = 8.8
_LINE_PX = 21
"""Of a further line above a panel."""
_COUNT = 0.34
"""Room for the number of runs, as a share of what scores span."""
_KINDS = {"encoder-decoder": "encoder-decoders", "decoder-only": "decoder-only"}


def at_a_glance(table: pd.DataFrame, *, title: str | None = None) -> go.Figure:
    """Draw how much each model keeps of its skill: main settings, all that was tried, and the best run.

    Args:
        table: runs with their scores, of any tests and tasks over one slice of documents.
        title: in place of the usual one.

    Raises:
        ConfigurationError: an empty table, one of several slices of documents, or one without scores.
    """
    runs = scored_tests(table)
    shown = title or "How much of a model's skill survives in its concept vectors?"
    tried, main = number_layers(runs), main_rows(runs)
    return with_toggle(lambda score: _draw(runs, tried, main, shown, score), runs)


@dataclass(frozen=True, kw_only=True)
class _Column:
    """A panel: the runs of one test, task and number of shots."""

    number: int
    runs: pd.DataFrame
    main: pd.DataFrame
    places: Mapping[str, float]
    score: Score
    names_task: bool
    """Whether there are several tasks of its test."""

    @property
    def title(self) -> str:
        test = name_test(self.runs).partition(",")[0]
        task = f"<br>{self.runs['task'].iloc[0]}" if self.names_task else ""
        return f"{test}{task}<br>{say_shots(int(self.runs['num_fewshot'].iloc[0]))}"

    @cached_property
    def known(self) -> pd.DataFrame:
        """The runs that have the score."""
        return self.runs.dropna(subset=[self.score.column])

    @cached_property
    def best(self) -> pd.DataFrame:
        """The best run of each model, with `num_runs`: how many it is the best of."""
        return count_tried(self.known, self.score.column)

    def y(self, runs: pd.DataFrame) -> list[float]:
        """Return the rows of runs."""
        return [self.places[name] for name in runs["pretrained"]]


def _draw(runs: pd.DataFrame, tried: pd.DataFrame, main: pd.DataFrame, title: str, score: Score) -> go.Figure:
    """Draw one score.

    Args:
        runs: all of them.
        tried: those that differ in more than what a layer is called.
        main: those of the main configurations.
        title: of the figure.
        score: what is drawn.
    """
    models = sort_models(runs)
    places, headings = _place(models)
    columns = list(_columns(tried, main, places, score))
    figure = make_subplots(rows=1, cols=len(columns), shared_yaxes=True, horizontal_spacing=0.018)
    for column in columns:
        for trace in _traces(column):
            figure.add_trace(trace, row=1, col=column.number)
    _add_keys(figure, score)
    bottom = min(places.values()) - 0.8
    names = [f"<b>{text}</b>" for text in headings.values()] + list(models["model"])
    ticks = [*headings, *(places[name] for name in models["pretrained"])]
    figure.update_yaxes(range=(bottom, 0.8), tickvals=ticks, ticktext=names, showgrid=False, ticks="", showline=False)
    left = int(_LETTER_PX * max(len(name) for name in [*models["model"], *_KINDS.values()])) + 16
    layout = new_layout(
        title,
        plot_height=max(int(_ROW_PX * (0.8 - bottom)), _LOWEST_PX),
        subtitle=lines(*_say(runs, score), width=WIDTH),
        legend=Legend(4, columns=max(1, (WIDTH - left) // ENTRY_PX)),
        above=58 + _LINE_PX * any(column.names_task for column in columns),
        below=62,
    )
    figure.update_layout(**{**layout, "width": WIDTH, "margin": {**layout["margin"], "l": left}})
    _label(figure, columns, score)
    return figure


def _place(models: pd.DataFrame) -> tuple[dict[str, float], dict[float, str]]:
    """Return the row of each model, and those of the architectures' names where there are two."""
    several = models["architecture"].nunique() > 1
    places: dict[str, float] = {}
    headings: dict[float, str] = {}
    at = 0.0
    for architecture, of_kind in models.groupby("architecture", sort=True):
        if several:
            headings[at] = _KINDS[str(architecture)]
            at -= 1
        before = None
        for model in of_kind.to_dict("records"):
            at -= 0.4 if before not in (None, model["family"]) else 0
            places[model["pretrained"]] = at
            before = model["family"]
            at -= 1
        at -= 0.4
    return places, headings


def _columns(tried: pd.DataFrame, main: pd.DataFrame, places: Mapping[str, float], score: Score) -> Iterator[_Column]:
    keys = ["kind", "task", "num_fewshot"]
    for number, (key, of_column) in enumerate(tried.groupby(keys, sort=True), start=1):
        is_of = np.logical_and.reduce([main[name] == value for name, value in zip(keys, key, strict=True)])
        yield _Column(
            number=number, runs=of_column, main=main[is_of], places=places, score=score,
            names_task=tried.loc[tried["kind"] == key[0], "task"].nunique() > 1,
        )  # fmt: skip


def _traces(column: _Column) -> Iterator[go.Scatter]:
    score = column.score
    for runs, colour, width in ((column.known, TRIED, 9), (column.main.dropna(subset=[score.column]), INK, 9)):
        yield _ranges(column, runs, colour, width)
    best = column.best
    sizes = [size_of(number) for number in best["num_runs"]]
    heads = [f"the best of {number:,} {'run' if number == 1 else 'runs'}" for number in best["num_runs"]]
    yield go.Scatter(
        x=best[score.column],
        y=column.y(best),
        mode="markers",
        marker={"color": BEST, "size": sizes, "line": {"color": "white", "width": 1.2}, "opacity": 1},
        error_x=error_bars(best[score.error], color=BEST, thickness=1.5, width=0),
        hovertext=[say_run(run, score, head=head) for run, head in zip(best.to_dict("records"), heads, strict=True)],
        hoverinfo="text",
        showlegend=False,
        customdata=best["num_runs"],
    )


def _ranges(column: _Column, runs: pd.DataFrame, colour: str, width: int) -> go.Scatter:
    """Return a bar from the lowest to the highest run of each model; of one run a square."""
    x: list[float | None] = []
    y: list[float | None] = []
    for pretrained, scores in runs.groupby("pretrained")[column.score.column]:
        place = column.places[str(pretrained)]
        x += [float(scores.min()), float(scores.max()), None]
        y += [place, place, None]
    marker = {"symbol": "square", "size": width - 2, "color": colour, "opacity": 1}
    line = {"color": colour, "width": width - 2}
    return go.Scatter(x=x, y=y, mode="lines+markers", line=line, marker=marker, hoverinfo="skip", showlegend=False)


def _add_keys(figure: go.Figure, score: Score) -> None:
    square = {"symbol": "square", "size": 11}
    keys: list[tuple[str, dict[str, Any]]] = [
        ("all settings tried", {"mode": "markers", "marker": {**square, "color": TRIED}}),
        ("the paper's main settings", {"mode": "markers", "marker": {**square, "color": INK}}),
        ("best run, number: of how many", {"mode": "markers", "marker": {"size": 11, "color": BEST}}),
    ]
    if score.has_one_scale:
        line = {"color": FAINT, "width": 2, "dash": DASHED}
        keys.append(("baseline = 1", {"mode": "lines", "line": line}))
    for name, looks in keys:
        figure.add_trace(go.Scatter(x=[None], y=[None], name=name, **looks), row=1, col=1)


def _say(runs: pd.DataFrame, score: Score) -> list[str]:
    said = []
    if score is CHANCE_CORRECTED:
        said = ["the share kept of the way from guessing (0) to the model with its whole context (1)", *say_best(runs)]
    elif score.has_one_scale:
        said = ["accuracy as a share of that of the model with its whole context; guessing isn't 0"]
    return [*said, f"{say_data(runs)}; bars of best runs: 95 % intervals", say_unscored(runs, score)]


def _label(figure: go.Figure, columns: list[_Column], score: Score) -> None:
    """Give all panels the same axis, with room for the number of runs at its right end, and name them."""
    low, high = span(figure.data, "x", including=(0, 1) if score.has_one_scale else (), room=0.03)
    end = high + _COUNT * (high - low)
    figure.update_xaxes(type="linear", range=(low, end), showgrid=False)
    figure.update_xaxes(tickvals=[0, 0.5, 1], ticktext=["0", "0.5", "1"])
    notes, rules = [], []
    for column in columns:
        suffix = "" if column.number == 1 else str(column.number)
        rules += [{**rule, "xref": f"x{suffix}"} for rule in _rules(score)]
        notes.append({
            "text": f"<b>{column.title}</b>", "xref": f"x{suffix}", "x": 0, "yref": "paper", "y": 1,
            "yanchor": "bottom", "xanchor": "left", "align": "left", "showarrow": False, "font": {"size": SMALL},
        })  # fmt: skip
        notes += [
            {"text": f"{number:,}", "xref": f"x{suffix}", "x": end, "yref": f"y{suffix}", "y": place,
             "xanchor": "right", "yanchor": "middle", "showarrow": False, "font": {"size": SMALL - 2, "color": FAINT}}
            for number, place in zip(column.best["num_runs"], column.y(column.best), strict=True)
        ]  # fmt: skip
    title = {"text": score.label, "xref": "paper", "x": 0.5, "yref": "paper", "y": 0, "yanchor": "top", "yshift": -28}
    notes.append({**title, "showarrow": False})
    figure.update_layout(annotations=notes, shapes=rules)


def _rules(score: Score) -> list[dict[str, Any]]:
    """Return the vertical lines of a panel: guessing, half way, the baseline."""
    looks = {0.5: {"color": GRID, "width": 1.2}}
    if score is CHANCE_CORRECTED:
        looks[0] = {"color": INK, "width": 1.5}
    if score.has_one_scale:
        looks[1] = {"color": FAINT, "width": 2, "dash": DASHED}
    usual = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
    return [{**usual, "x0": x, "x1": x, "line": line} for x, line in looks.items()]
