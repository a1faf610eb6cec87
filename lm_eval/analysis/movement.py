"""What is drawn of movement through embedding space (experiment §10): margins by layer, and one context's walk.

`lm_eval.encoding.movement` computes both; `lm_eval.analysis.figures` draws them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

CONTEXT = "context"
"""The `point` of the context's vector; those of choices are numbered from 1."""


@dataclass(frozen=True, kw_only=True)
class Margins:
    """The margin of every document at every layer."""

    table: pd.DataFrame
    """`doc_id`, `layer`, `margin` (NaN where no choice is wrong) and `right`, a row for each document and layer."""
    model: str
    task: str
    settings: str
    """How vectors were made, in words."""

    @property
    def layers(self) -> list[str]:
        """The layers, in their order."""
        return list(dict.fromkeys(self.table["layer"]))

    def share_right(self) -> "pd.Series[float]":
        """Return the share of documents whose right choice is best, by layer."""
        share: pd.Series[float] = self.table.groupby("layer")["right"].mean().reindex(self.layers)
        return share


@dataclass(frozen=True, kw_only=True)
class Walk:
    """The way of one context and of its choices through the layers."""

    table: pd.DataFrame
    """`point` (context, 1, 2, …), `is_right`, `layer`, `x`, `y`, `nearest` (tokens, the nearest first) and `products`
    (their dot products), a row for each point and layer."""
    scales: pd.DataFrame
    """`layer`, `mean_length` (of the mean that was taken away) and `spread` (the mean length of what is left, by which
    it was divided)."""
    explained: tuple[float, float]
    """The shares of the positions' variance that lie along the two axes."""
    num_documents: int
    """Over which each layer's mean and spread were taken."""
    doc_id: int
    context: str
    choices: Sequence[str]
    gold: Sequence[int]
    model: str
    task: str
    settings: str
    """How vectors were made, in words."""

    @property
    def layers(self) -> list[str]:
        """The layers, in their order."""
        return list(dict.fromkeys(self.table["layer"]))
