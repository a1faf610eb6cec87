"""A context read once into the cache of keys and values, which is then repeated for each of its choices.

For families whose attention goes by place in the row, so that choices cannot stand side by side behind the context
(`branches`): contexts are padded on the left, so that context and choice adjoin.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache

from lm_eval.models.branches import Row
from lm_eval.models.loading import LanguageModel


def run_with_cache(
    model: LanguageModel, rows: Sequence[Row], inputs: Float[Tensor, "row position dim"]
) -> Float[Tensor, "row position dim"]:
    """Return the hidden states of right-padded rows of [trunk; branch; branch; …]; of a trunk only its last.

    Args:
        model: a decoder-only model.
        rows: the lengths of trunks and branches.
        inputs: embeddings, laid out as the rows say.
    """
    trunks = pad_sequence(
        [x[: row.trunk] for x, row in zip(inputs, rows, strict=True)], batch_first=True, padding_side="left"
    )
    mask = _count(rows, trunks.shape[1]).to(inputs.device)
    cache = DynamicCache(config=model.network.config)
    trunk_states = _run(model, trunks, mask, mask.cumsum(dim=1) - 1, cache)
    hidden = torch.zeros_like(inputs)
    for place, row in enumerate(rows):
        hidden[place, row.trunk - 1] = trunk_states[place, -1]
    places = [(place, start, length) for place, row in enumerate(rows) for start, length in _branches(row)]
    if not places:
        return hidden
    owners = torch.tensor([place for place, _, _ in places])
    cache.batch_select_indices(owners)  # on the CPU: the layers' keys may lie on several devices
    branches = pad_sequence(
        [inputs[place, start : start + length] for place, start, length in places], batch_first=True
    )
    own = torch.ones(branches.shape[:2], dtype=torch.bool, device=inputs.device)
    lengths = mask.sum(dim=1)[owners]
    positions = lengths.unsqueeze(1) + torch.arange(branches.shape[1], device=inputs.device)
    states = _run(model, branches, torch.cat([mask[owners], own], dim=1), positions, cache)
    for (place, start, length), state in zip(places, states, strict=True):
        hidden[place, start : start + length] = state[:length]
    return hidden


def _branches(row: Row) -> list[tuple[int, int]]:
    """Return start and length of each branch that has positions of its own."""
    found, start = [], row.trunk
    for length in row.branches:
        if length:
            found.append((start, length))
        start += length
    return found


def _count(rows: Sequence[Row], width: int) -> Bool[Tensor, "row position"]:
    lengths = torch.tensor([row.trunk for row in rows])
    return torch.arange(width) >= width - lengths.unsqueeze(1)


def _run(model: LanguageModel, inputs: Tensor, mask: Tensor, positions: Tensor, cache: DynamicCache) -> Tensor:
    arguments = {"position_ids": positions.clamp(min=0)} if model.family.takes_positions else {}
    hidden: Tensor = model.encoder(
        inputs_embeds=inputs, attention_mask=mask.to(torch.long), past_key_values=cache, use_cache=True, **arguments
    ).last_hidden_state
    return hidden
