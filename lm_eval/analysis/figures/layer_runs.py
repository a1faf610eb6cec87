"""The runs of one model by layer: which layers there are, in which order, and the best run at each."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import plotly.graph_objects as go

from lm_eval.analysis.figures.labels import name_test, say
from lm_eval.analysis.figures.score_toggle import Score
from lm_eval.analysis.figures.selection import list_shots, scored
from lm_eval.analysis.layers import number_layers
from lm_eval.analysis.scores import MAIN_SETTINGS
from lm_eval.errors import ConfigurationError
from lm_eval.results.labels import LABELS

LAYER = "at layer"
"""The column with a run's layer in words."""
VALUE = "of value"
"""The column with its value, in words, of the setting that is compared."""
_MAY_BE_IDLE = ("SEGMENT_AGG_SCHEME", "EXAMPLE_AGG_SCHEME")
"""Settings that are fixed line by line: where they have no effect, tables hold them as unset."""

_PLAIN = ("mean", "w1mean")


@dataclass(frozen=True, kw_only=True)
class LayerRuns:
    """The runs of one model at two layers or more, compared by the values of a setting."""

    table: pd.DataFrame
    """The runs, with `LAYER`."""
    by: str
    """The setting."""

    @classmethod
    def choose(cls, table: pd.DataFrame, *, by: str, model: str | None = None) -> "LayerRuns":
        """Choose the runs of one model.

        Args:
            table: runs with their scores, of one test and task.
            by: the setting.
            model: its `pretrained`; None takes the model with runs at the most layers.

        Raises:
            ConfigurationError: an empty or mixed table, no runs of the model, or all at a single layer.
        """
        runs = number_layers(scored(table))
        runs = runs.assign(**{LAYER: runs["ENCODING_LAYER"].map(lambda value: say("ENCODING_LAYER", value))})
        layers = runs.groupby("pretrained")[LAYER].nunique()
        chosen = model or str(layers.idxmax())
        if chosen not in layers.index:
            raise ConfigurationError(f"no scored runs of {chosen}; the table has {', '.join(layers.index)}")
        of_model = runs[runs["pretrained"] == chosen]
        if layers[chosen] < 2:
            (only,) = of_model[LAYER].unique()
            raise ConfigurationError(
                f"no layers to compare: all runs of {chosen} are of layer {only}; "
                "add values of ENCODING_LAYER to the lists in scripts/run_parallel_*.py"
            )
        return cls(table=of_model, by=by)

    @property
    def title(self) -> str:
        """What a figure of them is called."""
        return f"{name_test(self.table)}: {self.table['model'].iloc[0]}, by layer"

    @property
    def apart(self) -> str:
        """Which layers stand apart for want of a number, in words; "" where all have one."""
        named = [name for name in self.layers if not is_numbered(name)]
        return f"apart, as the model's depth isn't known: {', '.join(named)}" if named else ""

    @cached_property
    def shots(self) -> list[int]:
        """The numbers of shots."""
        return list_shots(self.table)

    @cached_property
    def layers(self) -> list[str]:
        """All layers, from the token embeddings up; at the end those without a number."""
        return list_layers(self.table[LAYER])

    @cached_property
    def fixed(self) -> pd.DataFrame:
        """The runs of which each line has the same settings at all layers (`fix_settings`)."""
        return fix_settings(self.table, lines=(self.by,))

    def best(self, runs: pd.DataFrame, score: Score) -> pd.DataFrame:
        """Return the best of some of the runs at each layer and value, with the number of those it is the best of."""
        values = runs[self.by].map(lambda value: say(self.by, value))
        return best_of(runs.assign(**{VALUE: values}), [LAYER, VALUE], score)


def best_of(runs: pd.DataFrame, keys: list[str], score: Score) -> pd.DataFrame:
    """Return the best run of each group, with `num_runs`: how many it is the best of.

    Args:
        runs: to choose from.
        keys: the columns that make groups.
        score: the score to go by.
    """
    known = runs.dropna(subset=[score.column])
    counted = known.assign(num_runs=known.groupby(keys, dropna=False)[score.column].transform("size"))
    return counted.sort_values(score.column, kind="stable").drop_duplicates(keys, keep="last")


def fix_settings(table: pd.DataFrame, *, lines: tuple[str, ...]) -> pd.DataFrame:
    """Return runs that differ in their layer alone, but for what each line stands for.

    The settings are those that have runs at the most layers (of the most models, where lines are models); of several,
    those nearest to the paper's main configuration, with a plain mean of the tokens rather than anything else. Segment
    and example aggregation are chosen so for each line and number of shots by themselves.

    Args:
        table: runs with `LAYER`.
        lines: the columns that tell lines apart.
    """
    free = ("ENCODING_LAYER", *lines)
    core = [name for name in LABELS if name not in (*free, *_MAY_BE_IDLE)]
    of_models = [name for name in lines if name == "pretrained"]
    chosen = _richest(table, core, [*of_models, LAYER], [*lines, "num_fewshot"])
    keys = [*lines, "num_fewshot"]
    parts = [
        _richest(of_line, [name for name in _MAY_BE_IDLE if name not in free], [LAYER], [])
        for _, of_line in chosen.groupby(keys, dropna=False, sort=False)
    ]
    return pd.concat(parts)


def _richest(table: pd.DataFrame, settings: list[str], counted: list[str], more: list[str]) -> pd.DataFrame:
    """Return the runs of one combination of settings: that with the most different values of the columns counted.

    Args:
        table: the runs.
        settings: those to be fixed.
        counted: columns that decide.
        more: columns that count too where two combinations are equal in all else.
    """
    if not settings:
        return table
    main = MAIN_SETTINGS.get((table["kind"].iloc[0], table["architecture"].iloc[0]))
    public = {} if main is None else main.public()
    distinct = table.drop_duplicates([*settings, *counted, *more])
    best: tuple[float, ...] = ()
    chosen = table
    for _, runs in distinct.groupby(settings, dropna=False, sort=True):
        row = runs.iloc[0]
        near = sum((None if pd.isna(row[name]) else row[name]) == public.get(name) for name in settings)
        plain = str(row.get("WORD_AGG_SCHEME")) in _PLAIN
        rank = (len(runs.drop_duplicates(counted)), near, plain, len(runs))
        if rank > best:
            best = rank
            same = pd.Series(data=True, index=table.index)
            for name in settings:
                same &= table[name].isna() if pd.isna(row[name]) else table[name] == row[name]
            chosen = table[same]
    return chosen


_DEEPEST = 1000
"""Of more layers between two, those without runs get no place."""


def is_numbered(layer: str) -> bool:
    """Whether a layer has a place among the blocks: a number, or E before all of them."""
    return layer == "E" or layer.isdigit()


def list_layers(names: "pd.Series[str]") -> list[str]:
    """Return layers from the token embeddings up, also those that lack runs; at the end those that have no number."""
    numbers = [int(name) for name in names.unique() if name.isdigit()]
    lowest, highest = min(numbers, default=0), max(numbers, default=-1)
    between = range(lowest, highest + 1) if highest - lowest < _DEEPEST else ()
    return _sort_layers({*names.unique(), *map(str, between)})


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


def label_layers(figure: go.Figure, layers: list[str], *, ends: tuple[float, float], last_row: int) -> None:
    """Put layers on the horizontal axis; of many with numbers, every second gets a label.

    Args:
        figure: with its panels.
        layers: from left to right.
        ends: what the axis spans, in places of layers.
        last_row: the panel that bears the axis's title.
    """
    step = 1 if len(layers) <= 16 else 2 if len(layers) <= 40 else 4
    labelled = [name for name in layers if not name.isdigit() or int(name) % step == 0]
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=layers, tickvals=labelled)
    figure.update_xaxes(tickangle=-90 if len(layers) > 10 else 0, range=ends)
    figure.update_xaxes(title_text="layer (E: token embeddings)", row=last_row)
