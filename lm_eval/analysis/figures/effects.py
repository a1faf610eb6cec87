"""What each setting changes, all else equal: matched effects (`analysis.effects`), value by value."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from lm_eval.analysis.effects import EFFECTS, FEW_MODELS, FEW_PAIRS, matched_effects, reference_of
from lm_eval.analysis.figures.labels import name_test, say, say_data, say_number
from lm_eval.analysis.figures.layout import ENTRY_PX, Legend, lines, new_layout, span
from lm_eval.analysis.figures.selection import check, is_control
from lm_eval.analysis.figures.style import FAINT, INK, SMALL, TRIED, WIDTH
from lm_eval.common.text import count_of
from lm_eval.errors import ConfigurationError
from lm_eval.models.families import ARCHITECTURES
from lm_eval.results.labels import LABELS

_ROW_PX = 25
_GAP_ROWS = 0.5
_LETTER_PX = 8.6
_SMALL_LETTER_PX = 7.2
_HALF, _MOST = "#5a5a5a", TRIED
_UNITS = {"chance_corrected": "chance-corrected score", "acc": "accuracy"}


def effects(table: pd.DataFrame, *, settings: Sequence[str] = EFFECTS, title: str | None = None) -> go.Figure:
    """Draw what each value of a setting changes between runs that differ in it alone.

    Args:
        table: runs with their scores, of one test and task.
        settings: those to draw.
        title: in place of the test's name.

    Raises:
        ConfigurationError: an empty or mixed table, or no two runs that differ in one setting alone.
    """
    runs = check(table)
    shown = matched_effects(runs, settings)
    if shown.empty:
        raise ConfigurationError(
            f"no effects to draw: of {count_of(len(runs), 'run')} no two differ in one of {', '.join(settings)} "
            "alone, one of them "
            "at the value in the scripts' grids; add values to the lists in scripts/run_parallel_*.py"
        )
    return _draw(
        runs[~is_control(runs)], shown, title or f"{name_test(runs)}: what each setting changes, all else equal"
    )


@dataclass(frozen=True)
class _Row:
    """A line of the figure: a value, or the setting that the values below are of."""

    y: float
    text: str
    effect: dict[str, Any] | None = None


def _rows(shown: pd.DataFrame) -> Iterator[_Row]:
    """Yield the lines from the top: each setting against each reference, its values from the best."""
    y = 0.0
    for setting in LABELS:
        of_setting = shown[shown["setting"] == setting]
        for reference, group in of_setting.groupby("reference", dropna=False, sort=False):
            whose = _say_whose(group) if of_setting["reference"].nunique(dropna=False) > 1 else ""
            yield _Row(y, f"<b>{LABELS[setting]}</b>{whose}, against {_say(setting, reference)}")
            for effect in group.sort_values("median", ascending=False).to_dict("records"):
                y -= 1
                yield _Row(y, _name(effect), {str(name): value for name, value in effect.items()})
            y -= 1 + _GAP_ROWS


def _say_whose(group: pd.DataFrame) -> str:
    """Return which models a reference is that of, where it is not that of all."""
    setting, kind, reference = group[["setting", "kind", "reference"]].iloc[0]
    whose = [name for name in ARCHITECTURES if reference_of(setting, kind, name) == reference]
    return f" of {whose[0]} models" if len(whose) == 1 else ""


def _say(setting: str, value: object) -> str:
    return say(setting, None if pd.isna(value) else value)  # type: ignore[call-overload]


def _name(effect: dict[Any, Any]) -> str:
    pairs, models = effect["num_pairs"], effect["num_models"]
    counted = f"{pairs:,} {'pair' if pairs == 1 else 'pairs'}, {models} {'model' if models == 1 else 'models'}"
    value = _say(effect["setting"], effect["value"])
    return f"{value} <span style='color:{FAINT};font-size:13px'>{counted}</span>"


def _draw(runs: pd.DataFrame, shown: pd.DataFrame, title: str) -> go.Figure:
    rows = list(_rows(shown))
    drawn = [row for row in rows if row.effect is not None]
    figure = go.Figure(_traces(drawn))
    unit = _UNITS[str(shown["score"].iloc[0])]
    subtitle = lines(
        f"difference in {unit} of two runs that differ in this setting alone",
        f"each model's pairs are averaged first; few: fewer than {FEW_MODELS} models or {FEW_PAIRS} pairs",
        say_data(runs),
    )
    left = int(max(_width(row) for row in drawn)) + 14
    bottom = rows[-1].y - 0.7
    layout = new_layout(
        title,
        plot_height=max(int(_ROW_PX * (0.7 - bottom)), 150),
        subtitle=subtitle,
        legend=Legend(4, columns=max(1, (WIDTH - left) // ENTRY_PX)),
        above=12,
    )
    figure.update_layout(**{**layout, "margin": {**layout["margin"], "l": left}})
    ends = span(figure.data, "x", including=(0,))
    figure.update_xaxes(type="linear", range=ends, title_text=f"change in {unit}", nticks=6)
    figure.update_yaxes(
        range=(bottom, 0.7), tickvals=[row.y for row in drawn], ticktext=[row.text for row in drawn],
        showgrid=False, ticks="", showline=False, type="linear", tickfont={"size": SMALL}, automargin=False,
    )  # fmt: skip
    headings = [
        {"text": row.text, "xref": "paper", "x": 0, "xshift": 8 - left, "xanchor": "left", "yref": "y", "y": row.y,
         "showarrow": False, "font": {"size": SMALL}}
        for row in rows if row.effect is None
    ]  # fmt: skip
    figure.update_layout(annotations=headings)
    figure.update_xaxes(zeroline=True, zerolinecolor=INK, zerolinewidth=1.5)
    return figure


def _width(row: _Row) -> float:
    """Return how wide the text of a value is, in pixels."""
    value, _, counted = row.text.partition(" <span")
    return _LETTER_PX * len(value) + _SMALL_LETTER_PX * (len(counted.partition(">")[2]) - len("</span>")) + 6


def _traces(rows: Sequence[_Row]) -> list[go.Scatter]:
    marker = {"size": 10, "line": {"color": INK, "width": 2}}
    traces = [
        _bars(rows, ("low_80", "high_80"), "80 % of models", {"color": _MOST, "width": 4}),
        _bars(rows, ("low_half", "high_half"), "middle half of models", {"color": _HALF, "width": 10}),
    ]
    for name, is_thin, fill in (("median over models", False, INK), ("hollow: few models or pairs", True, "white")):
        of_kind = [row for row in rows if row.effect is not None and row.effect["is_thin"] == is_thin]
        points = go.Scatter(
            x=[None, *(row.effect["median"] for row in of_kind if row.effect)],
            y=[None, *(row.y for row in of_kind)],
            mode="markers",
            marker={**marker, "color": fill},
            hovertext=["", *(_say_effect(row.effect) for row in of_kind if row.effect)],
            hoverinfo="text",
            name=name,
        )
        traces.append(points)
    return traces


def _bars(rows: Sequence[_Row], ends: tuple[str, str], name: str, line: dict[str, Any]) -> go.Scatter:
    x: list[float | None] = [None]
    y: list[float | None] = [None]
    for row in rows:
        if row.effect is not None and row.effect["num_models"] > 1:
            x += [row.effect[ends[0]], row.effect[ends[1]], None]
            y += [row.y, row.y, None]
    return go.Scatter(x=x, y=y, mode="lines", line=line, name=name, hoverinfo="skip")


def _say_effect(effect: dict[str, Any]) -> str:
    setting = effect["setting"]
    against = f"{_say(setting, effect['value'])} against {_say(setting, effect['reference'])}"
    reach = " to ".join(say_number(effect[end]) for end in ("low_half", "high_half"))
    most = " to ".join(say_number(effect[end]) for end in ("low_80", "high_80"))
    return (
        f"<b>{LABELS[setting]}</b>: {against}<br>median over models {say_number(effect['median'])}"
        f"<br>middle half {reach}, 80 % {most}<br>{effect['num_pairs']:,} pairs of {effect['num_models']} models"
    )
