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
from lm_eval.errors import ConfigurationError
from lm_eval.results.labels import LABELS

LAYER = "at layer"
"""The column with a run's layer in words."""
VALUE = "of value"
"""The column with its value, in words, of the setting that is compared."""


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
        runs = scored(table)
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
    def subtitle(self) -> str:
        """What is drawn, and which layers stand apart for want of a number."""
        named = [name for name in self.layers if not is_numbered(name)]
        apart = f"; apart: {', '.join(named)}" if named and len(named) < len(self.layers) else ""
        return f"best run at each layer, by {LABELS[self.by]}{apart}"

    @cached_property
    def shots(self) -> list[int]:
        """The numbers of shots."""
        return list_shots(self.table)

    @cached_property
    def layers(self) -> list[str]:
        """All layers, from the token embeddings up; at the end those without a number."""
        return list_layers(self.table[LAYER])

    def best(self, runs: pd.DataFrame, score: Score) -> pd.DataFrame:
        """Return the best of some of the runs at each layer and value, with the number of those it is the best of."""
        values = runs[self.by].map(lambda value: say(self.by, value))
        known = runs.assign(**{VALUE: values}).dropna(subset=[score.column])
        counts = known.groupby([LAYER, VALUE]).size().rename("num_runs").reset_index()
        best = known.sort_values(score.column, kind="stable").drop_duplicates([LAYER, VALUE], keep="last")
        return best.merge(counts, on=[LAYER, VALUE])


def is_numbered(layer: str) -> bool:
    """Whether a layer has a place among the blocks: a number, or E before all of them."""
    return layer == "E" or layer.isdigit()


def list_layers(names: "pd.Series[str]") -> list[str]:
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
