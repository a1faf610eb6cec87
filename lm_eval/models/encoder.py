"""Segments → hidden states → vectors, in batches; no more blocks run than the deepest wanted layer needs (SPEC §4)."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lm_eval.aggregation import TokenAggregation
from lm_eval.models.batching import BatchBudget, run_batches
from lm_eval.models.loading import LanguageModel

Layer = int | Literal["E", "OE"]


@dataclass(frozen=True)
class Segment:
    """The tokens that the model encodes on their own."""

    tokens: tuple[int, ...]
    offset: int = 0
    """Place in the context whose position embedding is added to every token (ADD_POS); 0 adds none."""


@dataclass(frozen=True)
class VectorSpec:
    """Which vectors are wanted of a segment."""

    layer: Layer
    aggregation: TokenAggregation


class _DeepestLayerReachedError(Exception):
    """Ends a forward pass whose further blocks nobody needs."""


@contextmanager
def _capture_inputs(model: LanguageModel, layers: Collection[int], *, stop: bool) -> Iterator[dict[Layer, Tensor]]:
    """Record what enters the given blocks; hidden state i is what enters block i."""
    captured: dict[Layer, Tensor] = {}

    def recorder(layer: int) -> Callable[..., None]:
        def record(_module: Any, args: Any, kwargs: Any) -> None:  # noqa: ANN401
            captured[layer] = args[0] if args else kwargs["hidden_states"]
            if stop and layer == max(layers):
                raise _DeepestLayerReachedError

        return record

    hooks = [model.blocks[layer].register_forward_pre_hook(recorder(layer), with_kwargs=True) for layer in layers]
    try:
        yield captured
    finally:
        for hook in hooks:
            hook.remove()


def hidden_states(
    model: LanguageModel,
    tokens: Int[Tensor, "batch token"],
    mask: Bool[Tensor, "batch token"],
    offsets: Int[Tensor, " batch"],
    layers: Collection[Layer],
) -> dict[Layer, Float[Tensor, "batch token dim"]]:
    """Return the token vectors of right-padded segments at each wanted layer.

    Args:
        model: the language model.
        tokens: token ids, padded with any id.
        mask: True at real tokens.
        offsets: position whose embedding is added to all tokens of a row; 0 adds none.
        layers: indices of hidden states from 0 (entering the first block) to the number of blocks (after the final
            norm), E (token embeddings) or OE (rows of the output matrix).
    """
    found: dict[Layer, Tensor] = {}
    if "OE" in layers:
        matrix = model.output_matrix
        found["OE"] = matrix[tokens.to(matrix.device)]
    if set(layers) == {"OE"}:
        return found
    embeddings = model.token_embeddings(tokens)
    if offsets.any():
        positions = model.position_embedding(offsets).to(embeddings.device)
        embeddings = embeddings + (positions * (offsets > 0).unsqueeze(1).to(embeddings.device)).unsqueeze(1)
    if "E" in layers:
        found["E"] = embeddings
    inner = sorted(layer for layer in layers if isinstance(layer, int) and layer < model.num_layers)
    needs_last = model.num_layers in layers
    if not inner and not needs_last:
        return found
    arguments: dict[str, Any] = {"inputs_embeds": embeddings}
    if model.is_encoder_decoder:  # causal attention never sees padding on the right; an encoder's would
        arguments["attention_mask"] = mask.to(torch.long)
    else:
        arguments["use_cache"] = False
    with _capture_inputs(model, inner, stop=not needs_last) as captured:
        with suppress(_DeepestLayerReachedError):
            found[model.num_layers] = model.encoder(**arguments).last_hidden_state
        found.update(captured)
    return found


@torch.inference_mode()
def encode_segments(
    model: LanguageModel,
    segments: Collection[Segment],
    specs: Collection[VectorSpec],
    budget: BatchBudget,
    on_batch: Callable[[int], None] = lambda tokens: None,  # noqa: ARG005
) -> dict[Segment, dict[VectorSpec, Float[Tensor, "vector dim"]]]:
    """Encode each distinct segment once and return its wanted vectors, in float32 on the CPU.

    Args:
        model: the language model.
        segments: any number of segments, none without tokens; equal ones share their vectors.
        specs: the vectors wanted of each.
        budget: what a batch may hold.
        on_batch: told the real tokens of each finished batch.
    """
    unique = list(dict.fromkeys(segments))
    vectors: dict[Segment, dict[VectorSpec, Tensor]] = {}
    layers = {spec.layer for spec in specs}

    def encode(indices: list[int]) -> list[dict[VectorSpec, Tensor]]:
        tokens, mask, offsets = _pad([unique[index] for index in indices], model.device)
        states = hidden_states(model, tokens, mask, offsets, layers)
        found: list[dict[VectorSpec, Tensor]] = [{} for _ in indices]
        for spec in specs:
            state = states[spec.layer]
            rows = spec.aggregation(state, mask.to(state.device), model.activation)
            for row, matrix in zip(found, torch.cat(rows).cpu().split([len(row) for row in rows]), strict=True):
                row[spec] = matrix
        return found

    for indices, found in run_batches([len(segment.tokens) for segment in unique], budget, encode):
        vectors.update((unique[index], row) for index, row in zip(indices, found, strict=True))
        on_batch(sum(len(unique[index].tokens) for index in indices))
    return vectors


def _pad(
    batch: Sequence[Segment], device: torch.device
) -> tuple[Int[Tensor, "batch token"], Bool[Tensor, "batch token"], Int[Tensor, " batch"]]:
    lengths = torch.tensor([len(segment.tokens) for segment in batch])
    width = int(lengths.max())
    tokens = torch.tensor([segment.tokens + (0,) * (width - len(segment.tokens)) for segment in batch])
    mask = torch.arange(width) < lengths.unsqueeze(1)
    offsets = torch.tensor([segment.offset for segment in batch])
    return tokens.to(device), mask.to(device), offsets.to(device)
