"""Prefix sharing by attention mask: a context and its choices in one row, so that the context is read once.

A row is [trunk; branch; branch; …]: every branch sees the trunk and itself, never another branch, and its positions go
on where the trunk's end. So a choice is scored as if it stood alone behind the context.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lm_eval.inference.transfers import to_device

_PADDING = -1
_TRUNK = 0


@dataclass(frozen=True, kw_only=True)
class Row:
    """The inputs of one row, by their lengths."""

    trunk: int
    """Positions that all branches share."""
    branches: tuple[int, ...]
    """Positions of each branch."""
    starts_in_trunk: bool
    """Whether a branch's first prediction is made at the trunk's last position, or at the branch's own first."""

    def __len__(self) -> int:
        return self.trunk + sum(self.branches)

    @property
    def predicting(self) -> tuple[int, ...]:
        """The positions that predict the tokens of the choices, choice after choice."""
        places: list[int] = []
        start = self.trunk
        for length in self.branches:
            places += [self.trunk - 1] * self.starts_in_trunk
            places += range(start, start + length)
            start += length
        return tuple(places)

    def label(self) -> Int[Tensor, " position"]:
        """Return for each position the branch it belongs to, counted from 1; 0 is the trunk."""
        lengths = torch.tensor([self.trunk, *self.branches])
        return torch.arange(len(lengths)).repeat_interleave(lengths)

    def positions(self) -> Int[Tensor, " position"]:
        """Return for each position its number in [trunk; its branch]."""
        return torch.cat([torch.arange(self.trunk), *(self.trunk + torch.arange(n) for n in self.branches)])


def pad_positions(rows: Sequence[Row]) -> Int[Tensor, "row position"]:
    """Return the position numbers of rows, padded on the right with 0."""
    return pad_sequence([row.positions() for row in rows], batch_first=True)


def is_plain_causal(rows: Sequence[Row]) -> bool:
    """Whether each row has one branch at most, so that ordinary causal attention does the same."""
    return all(len(row.branches) <= 1 for row in rows)


def visible(rows: Sequence[Row], device: torch.device) -> Bool[Tensor, "row query key"]:
    """Return which positions see which: nothing behind themselves, the trunk, and their own branch."""
    labels = to_device(pad_sequence([row.label() for row in rows], batch_first=True, padding_value=_PADDING), device)
    size = labels.shape[1]
    causal = torch.ones(size, size, dtype=torch.bool, device=device).tril()
    queries, keys = labels.unsqueeze(2), labels.unsqueeze(1)
    return causal & ((keys == _TRUNK) | (keys == queries))


def additive_mask(seen: Bool[Tensor, "row query key"], dtype: torch.dtype) -> Tensor:
    """Return the mask that transformers adds to attention scores, [row, 1, query, key]."""
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, torch.finfo(dtype).min)
    return mask.unsqueeze(1)
