"""How much of the baseline is left where a context is given as fewer and fewer vectors (experiment §10)."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lm_eval.analysis.figures.labels import BARS, name_test, say, say_data, say_run
from lm_eval.analysis.figures.layer_runs import list_layers
from lm_eval.analysis.figures.layout import Legend, error_bars, lines, new_layout, span
from lm_eval.analysis.figures.panels import Panels
from lm_eval.analysis.figures.score_toggle import Score, with_toggle
from lm_eval.analysis.figures.selection import check, is_control, list_shots, scored
from lm_eval.analysis.figures.style import (
    CONTROL,
    DASH_DOTTED,
    DASHED,
    DASHES,
    FAINT,
    INK,
    OTHER_COLOURS,
    SYMBOLS,
    Look,
    look_of,
)
from lm_eval.analysis.layers import number_layers
from lm_eval.errors import ConfigurationError
from lm_eval.results.labels import LABELS

LEVELS = (0.9, 0.5)
"""Shares of the baseline; the figure says up to which compression they are kept."""
_AVERAGES = r"(concat|chunk\d+|mean)$"
"""Token aggregations that average tokens in groups of some size, which is how these end."""
_DEGREE = "degree"
"""The column with the size of the groups: prefixes and weights (`relu|mean`, `w1mean`) change nothing of it."""
_PANEL_PX = 330
_GAP_PX = 44
_LAST_RANK = 2000


def compression_curve(
    table: pd.DataFrame, *, by: str = "ENCODING_LAYER", model: str | None = None, title: str | None = None
) -> go.Figure:
    """Draw the score over the tokens that a vector stands for, a line for each value of a setting.

    A circle and a square mark the points up to which 90 % and 50 % of the baseline are kept. Bars are 95 % intervals,
    which include the baseline's error.

    Args:
        table: runs with their scores, of one task of Test 1.
        by: the setting whose values are the lines: ENCODING_LAYER, encoding_scheme, …
        model: whose runs (`pretrained`); None takes the model with the most degrees of compression.
        title: in place of the test's and the model's name.

    Raises:
        ConfigurationError: an empty or mixed table, or one with a single degree of compression.
    """
    curves = Curves.choose(table, by=by, model=model)
    return with_toggle(lambda score: _draw(curves, title or curves.title, score), curves.table)


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The runs of one model at several degrees of compression, compared by the values of a setting."""

    table: pd.DataFrame
    controls: pd.DataFrame
    """The same model's runs without a context."""
    by: str

    @classmethod
    def choose(cls, table: pd.DataFrame, *, by: str, model: str | None = None) -> "Curves":
        """Choose the runs of one model; see `compression_curve`."""
        runs = number_layers(scored(table))
        words = runs["WORD_AGG_SCHEME"].astype("string")
        runs = runs.assign(**{_DEGREE: words.str.extract(_AVERAGES, expand=False).replace("concat", "chunk1")})
        runs = runs[runs["tokens_per_vector"].notna() & runs[_DEGREE].notna()]
        if runs.empty:
            raise ConfigurationError(
                "no compression to draw: no run states tokens_per_vector; run a grid of Test 1 with WORD_AGG_SCHEME "
                "of chunkN, as scripts/run_parallel_gen_gpt.py --compression does"
            )
        degrees = runs.groupby("pretrained")[_DEGREE].nunique()
        chosen = model or str(degrees.idxmax())
        if chosen not in degrees.index:
            raise ConfigurationError(f"no scored runs of {chosen}; the table has {', '.join(degrees.index)}")
        if degrees[chosen] < 2:
            raise ConfigurationError(
                f"no compression to draw: the runs of {chosen} have one degree; add chunk2, … to WORD_AGG_SCHEME"
            )
        own = _comparable(runs[runs["pretrained"] == chosen], by)
        every = check(table)
        controls = every[is_control(every) & (every["pretrained"] == chosen)]
        return cls(table=own, controls=controls, by=by)

    @property
    def title(self) -> str:
        """What a figure of them is called."""
        return f"{name_test(self.table)}: {self.table['model'].iloc[0]}, compressed"

    @cached_property
    def values(self) -> list[str]:
        """The values of the setting, in words, in the order of the legend."""
        values = self.table[self.by].map(lambda value: say(self.by, value))
        return list_layers(values) if self.by.endswith("LAYER") else sorted(values.unique())

    def lines(self, runs: pd.DataFrame, score: Score) -> Iterator[tuple[str, pd.DataFrame]]:
        """Yield each value that has runs, with the best of these at each degree of compression, the least first."""
        values = runs[self.by].map(lambda value: say(self.by, value))
        for value in self.values:
            best = runs[values == value].dropna(subset=[score.column]).sort_values(score.column, kind="stable")
            best = best.drop_duplicates(_DEGREE, keep="last").sort_values("tokens_per_vector")
            if len(best):
                yield value, best

    def kept(self, score: Score) -> pd.DataFrame:
        """Return up to how many tokens a vector each line keeps each level of the baseline, at each number of shots.

        Where the least compressed point is below a level already, or the level isn't above chance, it is NaN.
        """
        rows = []
        for number in list_shots(self.table):
            runs = self.table[self.table["num_fewshot"] == number]
            for value, line in self.lines(runs, score):
                chance, baseline = float(score.chance(line).iloc[0]), float(score.baseline(line).iloc[0])
                for level in LEVELS:
                    holds = line[score.column].ge(level * baseline).cummin() & (not level * baseline <= chance)
                    last = line[holds].tail(1)
                    places = ("tokens_per_vector", score.column)
                    found = [float(last[column].iloc[0]) if len(last) else np.nan for column in places]
                    rows.append((number, value, level, *found))
        return pd.DataFrame(rows, columns=["num_fewshot", self.by, "level", "tokens_per_vector", "score"])


def _comparable(runs: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return the runs of lines: of the one scheme and way in that have most points, where these aren't the lines."""
    for setting in ("encoding_scheme", "DECODING_LAYER"):
        if setting != by:
            values = runs[setting].map(lambda value, setting=setting: say(setting, value))
            degrees = runs[_DEGREE].groupby(values).nunique()
            runs = runs[values == degrees.idxmax()]
    line = [runs["num_fewshot"], runs[by].map(lambda value: say(by, value))]
    return runs[runs.groupby(line)[_DEGREE].transform("nunique") > 1]


def _draw(curves: Curves, title: str, score: Score) -> go.Figure:
    shots = list_shots(curves.table)
    panels = Panels(shots, _PANEL_PX, _GAP_PX)
    kept = curves.kept(score)
    for row, number in enumerate(shots, start=1):
        runs = curves.table[curves.table["num_fewshot"] == number]
        ends = float(runs["tokens_per_vector"].min()), float(runs["tokens_per_vector"].max())
        for index, (value, line) in enumerate(curves.lines(runs, score)):
            look = _look(curves, value)
            panels.add_named(row, _line(line, score, look), look.label, rank=index)
        _add_rings(panels, row, kept[kept["num_fewshot"] == number])
        _add_levels(panels, row, ends, _levels(curves, number, score))
    figure = panels.figure
    legend = Legend(len(panels.in_legend))
    subtitle = lines(
        f"lines: {LABELS[curves.by]}; of several runs at a point the best", _say_kept(kept, curves.by),
        f"{say_data(curves.table)}; {BARS}",
    )  # fmt: skip
    figure.update_layout(
        **new_layout(title, plot_height=panels.plot_height, subtitle=subtitle, legend=legend, below=75)
    )
    _label_tokens(figure, curves.table["tokens_per_vector"], len(shots))
    panels.share_y(score.label, span(figure.data, "y", including=(1,) if score.has_one_scale else ()))
    panels.add_titles()
    return figure


def _look(curves: Curves, value: str) -> Look:
    if curves.by == "encoding_scheme":
        schemes = curves.table["encoding_scheme"].unique()
        return look_of(next(scheme for scheme in schemes if say("encoding_scheme", scheme) == value))
    index = curves.values.index(value)
    colour, symbol, dash = (choices[index % len(choices)] for choices in (OTHER_COLOURS, SYMBOLS, DASHES))
    label = f"layer {value}" if curves.by == "ENCODING_LAYER" else value
    return Look(label=label, colour=colour, pattern="", symbol=symbol, dash=dash)


def _line(line: pd.DataFrame, score: Score, look: Look) -> go.Scatter:
    return go.Scatter(
        x=line["tokens_per_vector"],
        y=line[score.column],
        error_y=error_bars(line[score.error], color=look.colour, thickness=1, width=0),
        mode="lines+markers",
        line={"color": look.colour, "dash": look.dash, "width": 2},
        marker={"color": look.colour, "symbol": look.symbol, "size": 7},
        hovertext=[say_run(run, score, head=_say_size(run)) for run in line.to_dict("records")],
        hoverinfo="text",
    )


def _say_size(run: Mapping[Hashable, Any]) -> str:
    vectors = run["vectors_per_context"]
    each = "" if pd.isna(vectors) else f", {vectors:.1f} vectors a context"
    return f"{run['tokens_per_vector']:.1f} tokens a vector{each}"


def _add_rings(panels: Panels, row: int, kept: pd.DataFrame) -> None:
    """Ring the points up to which levels are kept: a circle for the first, a square for the second."""
    for index, level in enumerate(LEVELS):
        points = kept[(kept["level"] == level) & kept["tokens_per_vector"].notna()]
        if points.empty:
            continue
        look = {"symbol": ("circle-open", "square-open")[index], "size": 15 + 6 * index}
        ring = {**look, "color": INK, "line": {"width": 1.5}}
        trace = go.Scatter(
            x=points["tokens_per_vector"], y=points["score"], mode="markers", marker=ring, hoverinfo="skip"
        )
        name = f"keeps {level:.0%}".replace("%", " %") + " up to here"
        panels.add_named(row, trace, name, rank=_LAST_RANK - 10 + index)


def _levels(curves: Curves, number: int, score: Score) -> dict[str, tuple[float, str, str]]:
    """Return the levels that lie behind the lines: the baseline, the control, chance."""
    runs = curves.table[curves.table["num_fewshot"] == number]
    of_baseline = score.baseline(runs).dropna()
    levels: dict[str, tuple[float, str, str]] = {}
    if len(of_baseline):
        name = "baseline = 1" if score.has_one_scale else "baseline"
        levels[name] = (float(of_baseline.iloc[-1]), FAINT, DASHED)
    if len(curves.controls):
        last = runs.iloc[-1]
        zero, one = {"acc": (0.0, 1.0), "normalised": (0.0, float(last["baseline"]))}.get(
            score.column, (float(last["chance"]), float(last["baseline"]))
        )
        control = (float(curves.controls["acc"].iloc[-1]) - zero) / (one - zero)
        levels["no context (control)"] = (control, CONTROL, DASH_DOTTED)
    guessing = score.chance(runs).dropna()
    if len(guessing):
        levels["chance (guessing)"] = (float(guessing.iloc[-1]), INK, "solid")
    return levels


def _add_levels(panels: Panels, row: int, ends: tuple[float, float], levels: dict[str, tuple[float, str, str]]) -> None:
    for index, (name, (level, colour, dash)) in enumerate(levels.items()):
        line = {"color": colour, "width": 2, "dash": dash}
        trace = go.Scatter(x=list(ends), y=[level, level], mode="lines", line=line, hoverinfo="skip")
        panels.add_named(row, trace, name, rank=_LAST_RANK + index)


def _say_kept(kept: pd.DataFrame, by: str) -> str:
    """Say up to how many tokens a vector the best line keeps each level."""
    texts = []
    for level in LEVELS:
        of_level = kept[(kept["level"] == level) & kept["tokens_per_vector"].notna()]
        share = f"{level:.0%}".replace("%", " %")
        if of_level.empty:
            texts.append(f"{share} by none")
            continue
        best = of_level.sort_values("tokens_per_vector", kind="stable").iloc[-1]
        where = f"layer {best[by]}" if by == "ENCODING_LAYER" else best[by]
        texts.append(f"{share} up to {best['tokens_per_vector']:.3g} ({where})")
    return f"tokens a vector that keep of the baseline: {', '.join(texts)}"


def _label_tokens(figure: go.Figure, tokens: "pd.Series[float]", last_row: int) -> None:
    """Put tokens a vector on the horizontal axis, doubling from mark to mark."""
    low, high = np.log2(tokens.min()), np.log2(tokens.max())
    marks = [2**power for power in range(int(np.floor(low)), int(np.ceil(high)) + 1)]
    margin = 0.03 * max(high - low, 1)
    ends = [float((low - margin) * np.log10(2)), float((high + margin) * np.log10(2))]
    figure.update_xaxes(type="log", tickvals=marks, ticktext=[f"{mark:g}" for mark in marks], range=ends)
    figure.update_xaxes(title_text="tokens a vector", row=last_row)
