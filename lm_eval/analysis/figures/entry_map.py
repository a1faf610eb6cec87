"""Where vectors come from and where they enter the model: a map of encoding and decoding layers (experiment §10)."""

import math
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lm_eval.analysis.figures.labels import name_test, say, say_data, say_run, say_shots
from lm_eval.analysis.figures.layer_heat_map import marks_of
from lm_eval.analysis.figures.layer_runs import best_of, list_layers
from lm_eval.analysis.figures.layout import lines, new_layout, panel_title
from lm_eval.analysis.figures.score_toggle import Score, with_toggle
from lm_eval.analysis.figures.selection import scored
from lm_eval.analysis.figures.style import COLOUR_SCALE, SMALL
from lm_eval.analysis.layers import number_layers
from lm_eval.analysis.scores import INTERVAL
from lm_eval.errors import ConfigurationError

INPUTS = "inputs"
"""The column of vectors that stand in place of input embeddings."""
_FROM, _TO, _PANEL = "encoded at", "enters at", "panel"
_ROW_PX, _LOWEST_PX, _GAP_PX = 30, 150, 78
_EMPTY = "#f0f0f0"
_MOST_NUMBERS = 9
"""Columns up to which cells bear their number."""


def entry_map(table: pd.DataFrame, *, model: str | None = None, title: str | None = None) -> go.Figure:
    """Draw the score as colours by the layer that vectors come from and the block that they enter.

    A panel for each token aggregation and number of shots; a cross marks a score below chance, a dot one that can't be
    told from it. Of several runs in a cell the best counts.

    Args:
        table: runs with their scores, of one task of Test 1.
        model: whose runs (`pretrained`); None takes the model with vectors entering at the most blocks.
        title: in place of the test's and the model's name.

    Raises:
        ConfigurationError: an empty or mixed table, or one whose vectors enter at a single place.
    """
    found = _Entries.choose(table, model)
    return with_toggle(lambda score: _draw(found, title or found.title, score), found.table)


@dataclass(frozen=True, kw_only=True)
class _Entries:
    """The runs of one model whose vectors enter at several blocks."""

    table: pd.DataFrame

    @classmethod
    def choose(cls, table: pd.DataFrame, model: str | None) -> "_Entries":
        runs = number_layers(scored(table))
        runs = runs[(runs["kind"] == "dist_gen") & runs["DECODING_SCHEME"].isna()]
        if runs.empty:
            raise ConfigurationError("no layers to compare: vectors enter a model in Test 1 alone (dist_gen)")
        layer = runs["ENCODING_LAYER"].map(lambda value: say("ENCODING_LAYER", value))
        entry = runs["DECODING_LAYER"].map(lambda value: say("DECODING_LAYER", value))
        entry = entry.where(entry != "same", layer.replace("E", "0"))
        runs = runs.assign(**{_FROM: layer, _TO: entry})
        entries = runs.groupby("pretrained")[_TO].nunique()
        chosen = model or str(entries.idxmax())
        if chosen not in entries.index:
            raise ConfigurationError(f"no scored runs of {chosen}; the table has {', '.join(entries.index)}")
        if entries[chosen] < 2:
            raise ConfigurationError(
                f"no layers to compare: the vectors of {chosen} enter at one place; add values of DECODING_LAYER to "
                "the lists in scripts/run_parallel_gen_gpt.py, or call it with --layer_map"
            )
        own = runs[runs["pretrained"] == chosen]
        own = own.assign(**{_PANEL: [_name(row) for row in own[["WORD_AGG_SCHEME", "num_fewshot"]].itertuples()]})
        numbers = own.groupby(_PANEL)[_TO].nunique()
        return cls(table=own[own[_PANEL].isin(numbers[numbers > 1].index)])

    @property
    def title(self) -> str:
        return f"{name_test(self.table)}: {self.table['model'].iloc[0]}, layer by layer"

    @property
    def panels(self) -> list[str]:
        """What each panel shows, the least compressed first."""
        compression = self.table.groupby(_PANEL)["tokens_per_vector"].min().fillna(0.0)
        return list(compression.sort_values(kind="stable").index)

    @property
    def sources(self) -> list[str]:
        return list_layers(self.table[_FROM])

    @property
    def entries(self) -> list[str]:
        names = self.table[_TO]
        listed = list_layers(names[names != INPUTS])
        return [*([INPUTS] if (names == INPUTS).any() else []), *listed]


def _name(row: tuple[object, ...]) -> str:
    _, words, shots = row
    return f"{say('WORD_AGG_SCHEME', words)}, {say_shots(int(str(shots)))}"


def _draw(found: _Entries, title: str, score: Score) -> go.Figure:
    panels, sources, entries = found.panels, _known(found.table[_FROM], found.sources), found.entries
    entries = _known(found.table[_TO], entries)
    height = max(_ROW_PX * len(sources), _LOWEST_PX)
    total = height * len(panels) + _GAP_PX * (len(panels) - 1)
    spacing = _GAP_PX / total if len(panels) > 1 else 0
    figure = make_subplots(rows=len(panels), cols=1, shared_xaxes=True, vertical_spacing=spacing)
    for row, name in enumerate(panels, start=1):
        best = best_of(found.table[found.table[_PANEL] == name], [_FROM, _TO], score)
        figure.add_trace(_cells(best, score, sources=sources, entries=entries), row=row, col=1)
        for mark in marks_of(best, x=_TO, y=_FROM, below=_has_numbers(entries)):
            figure.add_trace(mark, row=row, col=1)
    subtitle = lines(
        "of several runs in a cell the best" + ("; 1 is the baseline" if score.has_one_scale else ""),
        "cross: below chance; dot: not told from chance; pale: no run",
        "; ".join(part for part in (say_data(found.table), _say_error(found.table, score)) if part),
    )
    figure.update_layout(
        **{**new_layout(title, plot_height=total, subtitle=subtitle, below=80), "plot_bgcolor": _EMPTY}
    )
    bar = {"title": {"text": score.label, "side": "right"}, "thickness": 16, "tickfont": {"size": SMALL}}
    figure.update_layout(coloraxis={"colorscale": COLOUR_SCALE, "colorbar": {**bar, "outlinewidth": 0}})
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=entries, showgrid=False)
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=sources, showgrid=False)
    figure.update_xaxes(range=(-0.5, len(entries) - 0.5), tickangle=0 if len(entries) <= 12 else -90)
    figure.update_yaxes(range=(-0.5, len(sources) - 0.5), title_text="from layer")
    figure.update_xaxes(title_text="enters where block … begins", row=len(panels))
    figure.update_layout(annotations=[panel_title(row, name) for row, name in enumerate(panels, start=1)])
    return figure


def _has_numbers(entries: list[str]) -> bool:
    """Return whether cells are wide enough for their scores."""
    return len(entries) <= _MOST_NUMBERS


def _known(names: "pd.Series[str]", order: list[str]) -> list[str]:
    """Return the layers that have runs, in order: a map of every sixth layer has no pale rows between."""
    return [name for name in order if name in set(names)]


def _say_error(table: pd.DataFrame, score: Score) -> str:
    error = float(table[score.error].median())
    return "" if math.isnan(error) else f"95 % interval of a score: about ± {INTERVAL * error:.2f}"


def _cells(best: pd.DataFrame, score: Score, *, sources: list[str], entries: list[str]) -> go.Heatmap:
    values = best.pivot(index=_FROM, columns=_TO, values=score.column).reindex(index=sources, columns=entries)
    said = {
        (run[_FROM], run[_TO]): say_run(run, score, head=f"the best of {run['num_runs']:,} runs in this cell")
        for run in best.to_dict("records")
    }
    return go.Heatmap(
        x=entries,
        y=sources,
        z=values.to_numpy(dtype=float),
        coloraxis="coloraxis",
        xgap=1,
        ygap=1,
        texttemplate="%{z:.2f}" if _has_numbers(entries) else None,
        textfont={"size": SMALL - 2},
        hovertext=[[said.get((source, entry), "no run") for entry in entries] for source in sources],
        hoverinfo="text",
    )
