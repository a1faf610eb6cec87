"""The best score at each layer, as a heat map and as lines."""

import re
from collections.abc import Iterable, Sequence

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lm_eval.analysis.figures.score_toggle import Score, with_toggle
from lm_eval.analysis.figures.selection import name_test, say, say_shots, scored
from lm_eval.analysis.figures.style import (
    COLOUR_SCALE,
    COLOURS,
    DASHED,
    DASHES,
    FAINT,
    INK,
    SMALL,
    SYMBOLS,
    look_of,
    new_layout,
    panel_title,
    place_of,
    span,
)
from lm_eval.errors import ConfigurationError
from lm_eval.results.labels import LABELS

_ROW_PX = 27
_PANEL_PX = 270
_GAP_PX = 44
_COLUMN_PX = 19
"""Of a layer in the map, at least: so much the name of one needs."""
_LETTER_PX = 9
_BAR_PX = 130
"""Room for the colour bar."""
_EMPTY = "#f0f0f0"
_LAST_RANK = 2000
_LAYER = "at layer"
_VALUE = "of value"


def layer_heat_map(
    table: pd.DataFrame, *, by: str = "WORD_AGG_SCHEME", model: str | None = None, title: str | None = None
) -> go.Figure:
    """Draw the best score at each layer and value of a setting as colours; a cross marks a best one below chance.

    Args:
        table: runs with their scores, of one test and task.
        by: the setting whose values are the rows.
        model: whose runs (`pretrained`); None takes the model with runs at the most layers.
        title: in place of the test's and the model's name.

    Raises:
        ConfigurationError: an empty or mixed table, or one with a single layer.
    """
    runs = _of_model(table, model)
    shown = title or f"{name_test(runs)}: {runs['model'].iloc[0]}, by layer"
    return with_toggle(lambda score: _draw_map(runs, by, shown, score), runs)


def layer_lines(
    table: pd.DataFrame, *, by: str = "encoding_scheme", model: str | None = None, title: str | None = None
) -> go.Figure:
    """Draw the best score over layers, a line for each value of a setting; hollow points lie below chance.

    Lines join layers with numbers; those told by name (`middle`, `last`, from the end) stand on the right.

    Args:
        table: runs with their scores, of one test and task.
        by: the setting whose values are the lines.
        model: whose runs (`pretrained`); None takes the model with runs at the most layers.
        title: in place of the test's and the model's name.

    Raises:
        ConfigurationError: an empty or mixed table, or one with a single layer.
    """
    runs = _of_model(table, model)
    shown = title or f"{name_test(runs)}: {runs['model'].iloc[0]}, by layer"
    return with_toggle(lambda score: _draw_lines(runs, by, shown, score), runs)


def _of_model(table: pd.DataFrame, model: str | None) -> pd.DataFrame:
    runs = scored(table)
    runs = runs.assign(**{_LAYER: runs["ENCODING_LAYER"].map(lambda value: say("ENCODING_LAYER", value))})
    layers = runs.groupby("pretrained")[_LAYER].nunique()
    chosen = model or str(layers.idxmax())
    if chosen not in layers.index:
        raise ConfigurationError(f"no scored runs of {chosen}; the table has {', '.join(layers.index)}")
    if layers[chosen] < 2:
        (only,) = runs[runs["pretrained"] == chosen][_LAYER].unique()
        raise ConfigurationError(
            f"no layers to compare: all runs of {chosen} are of layer {only}; "
            "add values of ENCODING_LAYER to the lists in scripts/run_parallel_*.py"
        )
    return runs[runs["pretrained"] == chosen]


def _list_layers(names: "pd.Series[str]") -> list[str]:
    """Return layers from the token embeddings up, also those that lack runs; at the end those that have no number."""
    numbers = [int(name) for name in names.unique() if name.isdigit()]
    between = [str(number) for number in range(min(numbers), max(numbers) + 1)] if numbers else []
    return _sort_layers({*names.unique(), *between})


def _sort_layers(names: Iterable[str]) -> list[str]:

    def rank(name: str) -> tuple[int, int, str]:
        if name == "E":
            return 0, 0, name
        if re.fullmatch(r"\d+", name):
            return 1, int(name), name
        if re.fullmatch(r"-\d+", name):
            return 3, int(name), name
        return (2 if name == "middle" else 4), 0, name

    return sorted(names, key=rank)


def _say_named(layers: Sequence[str]) -> str:
    """Return, in words, which layers stand apart for want of a number."""
    named = [name for name in layers if not name.isdigit() and name != "E"]
    return f"; apart: {', '.join(named)}" if named and len(named) < len(layers) else ""


def _best(runs: pd.DataFrame, by: str, score: Score) -> pd.DataFrame:
    """Return the best run of each layer and value, with the number of those it is the best of."""
    known = runs.assign(**{_VALUE: runs[by].map(lambda value: say(by, value))}).dropna(subset=[score.column])
    keys = [_LAYER, _VALUE]
    counts = known.groupby(keys).size().rename("num_runs").reset_index()
    best = known.sort_values(score.column, kind="stable").drop_duplicates(keys, keep="last")
    return best.merge(counts, on=keys)


def _draw_map(runs: pd.DataFrame, by: str, title: str, score: Score) -> go.Figure:
    shots = sorted(int(number) for number in runs["num_fewshot"].unique())
    layers = _list_layers(runs[_LAYER])
    best = {number: _best(runs[runs["num_fewshot"] == number], by, score) for number in shots}
    overall = pd.concat(list(best.values())).groupby(_VALUE)[score.column].max()
    values = [str(value) for value in overall.sort_values(kind="stable").index]
    panel = max(_ROW_PX * len(values), 110)
    plot_height = panel * len(shots) + _GAP_PX * (len(shots) - 1)
    figure = make_subplots(
        rows=len(shots), cols=1, shared_xaxes=True, vertical_spacing=_GAP_PX / plot_height if len(shots) > 1 else 0
    )
    for row, found in enumerate(best.values(), start=1):
        grid = found.pivot(index=_VALUE, columns=_LAYER, values=score.column).reindex(index=values, columns=layers)
        counts = found.pivot(index=_VALUE, columns=_LAYER, values="num_runs").reindex(index=values, columns=layers)
        trace = go.Heatmap(
            x=layers,
            y=values,
            z=grid.to_numpy(dtype=float),
            customdata=counts.to_numpy(dtype=float),
            coloraxis="coloraxis",
            xgap=1,
            ygap=1,
            hovertemplate="layer %{x}, %{y}<br>best of %{customdata} runs: %{z:.3f}<extra></extra>",
        )
        figure.add_trace(trace, row=row, col=1)
        below = found[found["below_chance"].astype(bool)]
        cross = {"symbol": "x-thin", "size": 9, "line": {"color": "white", "width": 1.8}}
        marks = go.Scatter(
            x=below[_LAYER], y=below[_VALUE], mode="markers", marker=cross, hoverinfo="skip", showlegend=False
        )
        figure.add_trace(marks, row=row, col=1)
    subtitle = f"best run at each layer, by {LABELS[by]}{_say_named(layers)}<br>"
    subtitle += "cross: even the best is below chance; pale: no run"
    layout = new_layout(title, plot_height=plot_height, subtitle=subtitle, below=90)
    names = _LETTER_PX * max(len(value) for value in values)
    width = max(layout["width"], int(names + _COLUMN_PX * len(layers)) + _BAR_PX)
    figure.update_layout(**{**layout, "width": width})
    bar = {
        "title": {"text": score.label, "side": "right"},
        "thickness": 16,
        "tickfont": {"size": SMALL},
        "outlinewidth": 0,
    }
    figure.update_layout(coloraxis={"colorscale": COLOUR_SCALE, "colorbar": bar}, plot_bgcolor=_EMPTY)
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=layers, showgrid=False)
    figure.update_xaxes(tickvals=_ticks(layers), tickangle=-90 if len(layers) > 10 else 0)
    figure.update_xaxes(title_text="layer (E: token embeddings)", row=len(shots))
    figure.update_xaxes(range=(-0.5, len(layers) - 0.5))
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=values, showgrid=False)
    figure.update_yaxes(range=(-0.5, len(values) - 0.5))
    figure.update_layout(annotations=[panel_title(row, say_shots(n)) for row, n in enumerate(shots, start=1)])
    return figure


def _ticks(layers: list[str]) -> list[str]:
    """Return the layers that get a label: of many with numbers, every second."""
    step = 1 if len(layers) <= 16 else 2 if len(layers) <= 40 else 4
    return [name for name in layers if not name.isdigit() or int(name) % step == 0]


def _draw_lines(runs: pd.DataFrame, by: str, title: str, score: Score) -> go.Figure:
    shots = sorted(int(number) for number in runs["num_fewshot"].unique())
    layers = _list_layers(runs[_LAYER])
    values = sorted(runs[by].unique(), key=lambda value: (place_of(str(value)), str(value)))
    plot_height = _PANEL_PX * len(shots) + _GAP_PX * (len(shots) - 1)
    figure = make_subplots(
        rows=len(shots), cols=1, shared_xaxes=True, vertical_spacing=_GAP_PX / plot_height if len(shots) > 1 else 0
    )
    shown: set[str] = set()
    for row, number in enumerate(shots, start=1):
        of_shots = runs[runs["num_fewshot"] == number]
        for index, value in enumerate(values):
            is_value = of_shots[by].isna() if value is None else of_shots[by] == value
            of_value = _best(of_shots[is_value], by, score)
            _add_line(figure, row, of_value, (index, by, value), score, shown)
        chance = score.chance(of_shots).dropna()
        levels = {"baseline = 1": (1.0, FAINT, DASHED)}
        if len(chance):
            levels["chance (guessing)"] = (float(chance.iloc[-1]), INK, "solid")
        for name, (level, colour, dash) in levels.items():
            line = {"color": colour, "width": 2.5, "dash": dash}
            ends = [layers[0], layers[-1]]
            trace = go.Scatter(x=ends, y=[level, level], mode="lines", line=line, name=name, hoverinfo="skip")
            trace.update(showlegend=name not in shown, legendgroup=name, legendrank=_LAST_RANK)
            figure.add_trace(trace, row=row, col=1)
            shown.add(name)
    hollow = {"symbol": "circle-open", "size": 9, "color": FAINT, "line": {"width": 2}}
    figure.add_trace(
        go.Scatter(
            x=[None], y=[None], mode="markers", marker=hollow, name="hollow: below chance", legendrank=_LAST_RANK
        )
    )
    layout = new_layout(
        title,
        plot_height=plot_height,
        subtitle=f"best run at each layer, by {LABELS[by]}{_say_named(layers)}",
        num_legend=len(shown) + 1,
        below=90,
    )
    figure.update_layout(**layout)
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=layers, tickvals=_ticks(layers))
    figure.update_xaxes(tickangle=-90 if len(layers) > 10 else 0, range=(-0.6, len(layers) - 0.4))
    figure.update_xaxes(title_text="layer (E: token embeddings)", row=len(shots))
    low, high = span(figure, "y", including=(1,))
    figure.update_yaxes(type="linear", title_text=score.label, range=(low, high))
    for row in range(2, len(shots) + 1):
        figure.update_yaxes(matches="y", row=row)
    figure.update_layout(annotations=[panel_title(row, say_shots(n)) for row, n in enumerate(shots, start=1)])
    return figure


def _add_line(
    figure: go.Figure, row: int, found: pd.DataFrame, of: tuple[int, str, str | None], score: Score, shown: set[str]
) -> None:
    """Draw the points of a value, joined where layers have numbers."""
    if found.empty:
        return
    index, by, value = of
    look = look_of(value) if by == "encoding_scheme" else None
    name = look.label if look else say(by, value)
    colour = look.colour if look else COLOURS[index % len(COLOURS)]
    symbol = look.symbol if look else SYMBOLS[index % len(SYMBOLS)]
    dash = look.dash if look else DASHES[index % len(DASHES)]
    found = found.set_index(_LAYER).reindex(_list_layers(found[_LAYER])).reset_index()
    symbols = [f"{symbol}-open" if below else symbol for below in found["below_chance"].eq(True)]
    joined = found[_LAYER].map(lambda layer: layer == "E" or layer.isdigit()).astype(bool)
    for part, mode in ((found[joined], "lines+markers"), (found[~joined], "markers")):
        if part.empty:
            continue
        trace = go.Scatter(
            x=part[_LAYER],
            y=part[score.column],
            error_y={"type": "data", "array": part[score.error].fillna(0.0), "thickness": 1, "width": 0},
            mode=mode,
            line={"color": colour, "dash": dash, "width": 2},
            marker={
                "color": colour,
                "symbol": [symbols[place] for place in part.index],
                "size": 7,
                "line": {"width": 1.5, "color": colour},
            },
            customdata=part["num_runs"],
            hovertemplate=f"{name}, layer %{{x}}<br>best of %{{customdata}} runs: %{{y:.3f}}<extra></extra>",
            name=name,
            legendgroup=name,
            showlegend=name not in shown,
            legendrank=index,
        )
        shown.add(name)
        figure.add_trace(trace, row=row, col=1)
