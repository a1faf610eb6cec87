"""Prefix sharing by cache: a context is read once into the cache of keys and values, its choices go on from there.

The context's last position goes with the choices, whose first tokens it predicts: so nothing but keys and values is
wanted of the rest, and its pass ends where the last block has given them. The choices of a context stand side by side
in one row (`Row.branches`) where the family's attention takes a mask and positions. Where it goes by place in the row
instead, the cache is repeated for each choice, and contexts are padded on the left, so that context and choice adjoin.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache

from lm_eval.inference.prefix_sharing import Row, additive_mask, pad_positions, visible
from lm_eval.inference.transfers import to_device
from lm_eval.models.language_model import LanguageModel

Hidden = Float[Tensor, "row position dim"]


class _ContextReadError(Exception):
    """Ends a pass of which only keys and values are wanted."""


class _ContextCache(DynamicCache):
    """Keys and values of contexts: all of them, whatever windows a config names that its model doesn't have."""

    def __init__(self, num_layers: int) -> None:
        super().__init__()
        self.num_layers = num_layers
        self.reads_context = True

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Take the keys and values of a block, and end the pass that reads a context at the last."""
        keys_and_values = super().update(key_states, value_states, layer_idx, *args, **kwargs)
        if self.reads_context and layer_idx == self.num_layers - 1:
            raise _ContextReadError
        return keys_and_values


def run_with_cache(model: LanguageModel, rows: Sequence[Row], inputs: Hidden) -> Hidden:
    """Return the hidden states of right-padded rows of [trunk; branch; branch; …]; of a trunk only its last.

    Args:
        model: a decoder-only model.
        rows: the lengths of trunks and branches.
        inputs: embeddings, laid out as the rows say.
    """
    hidden = torch.zeros_like(inputs)
    if model.family.sharing == "row":
        _run_side_by_side(model, rows, inputs, hidden)
        return hidden
    for places in _fitting(rows, model.max_length):
        part = torch.zeros_like(inputs[places])
        _run_repeated(model, [rows[place] for place in places], inputs[places], part)
        hidden[places] = part
    return hidden


def _fitting(rows: Sequence[Row], max_length: int) -> list[list[int]]:
    """Group rows so that a group's longest trunk and longest branch together are no longer than the model takes.

    Padding stands between a short trunk's start and a long branch's end, and it has places in the row too.
    """
    groups: list[list[int]] = []
    trunk = branch = 0
    for place in sorted(range(len(rows)), key=lambda place: -rows[place].trunk):
        longest = max(rows[place].branches)
        if not groups or trunk + max(branch, longest) > max_length:
            groups.append([])
            trunk, branch = rows[place].trunk, 0
        groups[-1].append(place)
        branch = max(branch, longest)
    return groups


def _run_side_by_side(model: LanguageModel, rows: Sequence[Row], inputs: Hidden, hidden: Hidden) -> None:
    starts = torch.tensor([row.trunk - 1 for row in rows])
    width = int(starts.max())
    # behind a shorter trunk stand branches, which the mask hides from what comes later
    cache = _read(model, inputs[:, :width])
    tails = [Row(trunk=1, branches=row.branches, starts_in_trunk=True) for row in rows]
    pieces = [x[row.trunk - 1 : len(row)] for x, row in zip(inputs, rows, strict=True)]
    read = to_device(torch.arange(width) < starts.unsqueeze(1), inputs.device)
    own = visible(tails, inputs.device)
    seen = torch.cat([read.unsqueeze(1).expand(-1, own.shape[1], -1), own], dim=2)
    positions = to_device(pad_positions(tails) + starts.unsqueeze(1), inputs.device)
    states = _run(model, pad_sequence(pieces, batch_first=True), cache, additive_mask(seen, inputs.dtype), positions)
    for place, (row, piece) in enumerate(zip(rows, pieces, strict=True)):
        hidden[place, row.trunk - 1 : len(row)] = states[place, : len(piece)]


def _run_repeated(model: LanguageModel, rows: Sequence[Row], inputs: Hidden, hidden: Hidden) -> None:
    trunks = [x[: row.trunk - 1] for x, row in zip(inputs, rows, strict=True)]
    padded = pad_sequence(trunks, batch_first=True, padding_side="left")
    mask = _real_positions(trunks, padded.shape[1])
    cache = _read(model, padded, to_device(mask, inputs.device))
    places = [(place, start, length) for place, row in enumerate(rows) for start, length in _branches(row)]
    owners = torch.tensor([place for place, _, _ in places])
    if padded.shape[1]:  # where the blocks lie on several devices, each takes the host's numbers to its own
        cache.batch_select_indices(to_device(owners, inputs.device) if len(model.gpus) == 1 else owners)
    pieces = [
        torch.cat([inputs[place, rows[place].trunk - 1].unsqueeze(0), inputs[place, start : start + length]])
        for place, start, length in places
    ]
    branches = pad_sequence(pieces, batch_first=True)
    own = torch.ones(branches.shape[:2], dtype=torch.bool)
    seen = to_device(torch.cat([mask[owners], own], dim=1).to(torch.long), inputs.device)
    positions = mask.sum(dim=1)[owners].unsqueeze(1) + torch.arange(branches.shape[1])
    states = _run(model, branches, cache, seen, to_device(positions, inputs.device))
    for (place, start, length), state in zip(places, states, strict=True):
        hidden[place, rows[place].trunk - 1] = state[0]
        hidden[place, start : start + length] = state[1 : length + 1]


def _branches(row: Row) -> list[tuple[int, int]]:
    """Return start and length of each branch."""
    ends = torch.tensor(row.branches).cumsum(dim=0).tolist()
    return [(row.trunk + end - length, length) for end, length in zip(ends, row.branches, strict=True)]


def _real_positions(trunks: Sequence[Tensor], width: int) -> Bool[Tensor, "row position"]:
    lengths = torch.tensor([len(trunk) for trunk in trunks])
    return torch.arange(width) >= width - lengths.unsqueeze(1)


def _read(model: LanguageModel, trunks: Hidden, mask: Bool[Tensor, "row position"] | None = None) -> _ContextCache:
    """Return the keys and values of contexts; without a mask they are padded on the right, if at all."""
    cache = _ContextCache(model.num_layers)
    if trunks.shape[1]:
        positions = (
            torch.arange(trunks.shape[1], device=trunks.device).expand(trunks.shape[:2])
            if mask is None
            else (mask.cumsum(dim=1) - 1).clamp(min=0)
        )
        with suppress(_ContextReadError):
            _run(model, trunks, cache, None if mask is None else mask.to(torch.long), positions)
    cache.reads_context = False
    return cache


def _run(model: LanguageModel, inputs: Hidden, cache: _ContextCache, mask: Tensor | None, positions: Tensor) -> Hidden:
    arguments = {"position_ids": positions} if model.family.takes_positions else {}
    hidden: Tensor = model.encoder(
        inputs_embeds=inputs, attention_mask=mask, past_key_values=cache, use_cache=True, **arguments
    ).last_hidden_state
    return hidden
