"""The encoder's forward pass: segments → hidden states → vectors, in batches (experiment §4).

Hooks on the blocks (`inference/hooks`) report the hidden states of the wanted layers, which are aggregated inside the
pass: a batch holds the token vectors of one layer at a time, and no more blocks run than the deepest layer needs.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lm_eval.config.layer import ResolvedLayer
from lm_eval.inference.batching import Batcher
from lm_eval.inference.hooks import DeepestLayerReachedError, OnLayer, report_inputs
from lm_eval.inference.relative_bias import padding_hidden
from lm_eval.inference.transfers import HostCopy, to_device
from lm_eval.models.language_model import LanguageModel
from lm_eval.vectors.aggregation import Reduction, aggregate_tokens
from lm_eval.vectors.spec import Segment, Vectors, VectorSpec


def run_encoder(
    model: LanguageModel,
    tokens: Int[Tensor, "batch token"],
    mask: Bool[Tensor, "batch token"],
    offsets: Int[Tensor, " batch"],
    layers: Collection[ResolvedLayer],
    on_layer: OnLayer,
) -> None:
    """Run right-padded segments through the model as deep as needed, and report the wanted layers on the way.

    Args:
        model: the language model.
        tokens: token ids, padded with any id.
        mask: True at real tokens; of a decoder-only model, where tokens in front are no such tokens.
        offsets: position whose embedding is added to a row's real tokens; 0 adds none. On the host.
        layers: indices of hidden states from 0 (entering the first block) to the number of blocks (after the final
            norm), E (token embeddings) or OE (rows of the output matrix).
        on_layer: called once with each of them; nothing is kept of a layer that it has dropped.
    """
    if "OE" in layers:
        matrix = model.output_matrix
        on_layer("OE", matrix[tokens.to(matrix.device)])
    if set(layers) == {"OE"}:
        return
    embeddings = _embed(model, tokens, mask, offsets)
    if "E" in layers:
        on_layer("E", embeddings)
    inputs = {"input_ids": tokens} if model.reads_tokens else {"inputs_embeds": embeddings}
    _run_blocks(model, inputs, mask, [layer for layer in layers if isinstance(layer, int)], on_layer)


def _embed(
    model: LanguageModel,
    tokens: Int[Tensor, "batch token"],
    mask: Bool[Tensor, "batch token"],
    offsets: Int[Tensor, " batch"],
) -> Float[Tensor, "batch token dim"]:
    """Return token embeddings, with a position's embedding added to the real tokens of rows that have an offset."""
    embeddings: Tensor = model.token_embeddings(tokens)
    if offsets.any():  # of the host, so that nothing waits for a GPU
        positions = model.embed_positions(offsets).to(embeddings.device)
        has_offset = mask & (offsets > 0).unsqueeze(1).to(mask.device)
        embeddings = embeddings + positions.unsqueeze(1) * has_offset.unsqueeze(2).to(embeddings.device)
    return embeddings


def _run_blocks(
    model: LanguageModel,
    inputs: Mapping[str, Tensor],
    mask: Bool[Tensor, "batch token"],
    layers: Collection[int],
    on_layer: OnLayer,
) -> None:
    """Run the blocks as deep as the wanted hidden states need, and report these on the way."""
    inner = sorted(layer for layer in layers if layer < model.num_layers)
    needs_last = model.num_layers in layers
    stops = not needs_last and not model.runs_whole
    if not layers:
        return
    hidden: AbstractContextManager[None] = nullcontext()
    arguments: dict[str, Any] = {}
    if not model.is_encoder_decoder:  # causal attention never sees padding on the right; an encoder's would
        arguments["use_cache"] = False
        if model.attends_both_ways:  # nor is what stands in front any padding
            arguments["attention_mask"] = (mask.flip(1).cumsum(1).flip(1) > 0).to(torch.long)
    elif model.family.relative_bias is None:
        arguments["attention_mask"] = mask.to(torch.long)
    elif needs_last or max(inner) > 0:
        hidden = padding_hidden(model, mask)
    with hidden, report_inputs(model, inner, on_layer, stop=stops), suppress(DeepestLayerReachedError):
        last = model.encoder(**inputs, **arguments).last_hidden_state
        if needs_last:
            on_layer(model.num_layers, last)


@dataclass
class SegmentEncoder:
    """Encodes each distinct segment once, and keeps vectors for segments that recur, such as shots."""

    model: LanguageModel
    specs: Collection[VectorSpec]
    """The vectors wanted of every segment."""
    batcher: Batcher
    max_bytes: int
    """Vectors of earlier calls that are kept; the oldest go first."""
    _kept: dict[Segment, Vectors] = field(default_factory=dict)
    _kept_bytes: int = 0

    def __call__(
        self,
        segments: Collection[Segment],
        on_batch: Callable[[int], None] = lambda tokens: None,  # noqa: ARG005
    ) -> dict[Segment, Vectors]:
        """Return the vectors of each distinct segment.

        Args:
            segments: any number of segments, none without tokens, all with as many in front.
            on_batch: called with the number of real tokens of each finished batch.
        """
        unique = list(dict.fromkeys(segments))
        vectors = {segment: self._kept[segment] for segment in unique if segment in self._kept}
        new = [segment for segment in unique if segment not in vectors]
        on_batch(sum(len(segment.tokens) for segment in vectors))
        lengths = [len(segment.tokens) for segment in new]
        with torch.inference_mode():
            for places in self.model.batched_together(lengths):
                for batch, rows in self._run([new[place] for place in places]):
                    vectors.update(zip(batch, rows, strict=True))
                    on_batch(sum(len(segment.tokens) for segment in batch))
        self._keep({segment: vectors[segment] for segment in new})
        return vectors

    def _run(self, segments: Sequence[Segment]) -> Iterator[tuple[list[Segment], list[Vectors]]]:
        def launch(indices: list[int]) -> _Encoded:
            return self._launch([segments[index] for index in indices])

        lengths = [len(segment.tokens) for segment in segments]
        for indices, rows in self.batcher.run(lengths, launch, _split):
            yield [segments[index] for index in indices], rows

    def _launch(self, batch: Sequence[Segment]) -> "_Encoded":
        tokens, mask, offsets = _pad(batch, self.model.device)
        front = batch[0].num_front
        by_layer: dict[ResolvedLayer, list[Reduction]] = defaultdict(list)
        for spec in self.specs:
            by_layer[spec.layer].append(spec.reduction)
        specs: list[VectorSpec] = []
        matrices: list[Tensor] = []

        def reduce(layer: ResolvedLayer, states: Tensor) -> None:
            states, kept = states[:, front:], mask[:, front:].to(states.device)
            reduced = aggregate_tokens(states, kept, by_layer[layer], self.model.activation)
            specs.extend(VectorSpec(layer, reduction) for reduction in reduced)
            matrices.extend(reduced.values())

        run_encoder(self.model, tokens, mask, offsets, by_layer.keys(), reduce)
        return _Encoded(specs, [segment.num_kept for segment in batch], HostCopy(matrices))

    def _keep(self, new: dict[Segment, Vectors]) -> None:
        for segment, vectors in new.items():
            self._kept[segment] = vectors
            self._kept_bytes += _size(segment, vectors)
        while self._kept_bytes > self.max_bytes:
            oldest = next(iter(self._kept))
            self._kept_bytes -= _size(oldest, self._kept.pop(oldest))


@dataclass(frozen=True)
class _Encoded:
    """A batch under way: for each spec a matrix with the vectors of all its segments."""

    specs: list[VectorSpec]
    lengths: list[int]
    copy: HostCopy


def _split(batch: _Encoded) -> list[Vectors]:
    """Return the vectors of each segment of a batch once they are there."""
    rows: list[Vectors] = [{} for _ in batch.lengths]
    for spec, matrix in zip(batch.specs, batch.copy.wait(), strict=True):
        parts = matrix.split([spec.reduction.aggregation.num_vectors(length) for length in batch.lengths])
        for row, part in zip(rows, parts, strict=True):
            row[spec] = part
    return rows


_BYTES_PER_OBJECT = 256
"""Of a tensor or a segment beside its numbers."""
_BYTES_PER_TOKEN = 36
"""Of a token's id and its place in a tuple."""


def _size(segment: Segment, vectors: Vectors) -> int:
    numbers = sum(matrix.nbytes + _BYTES_PER_OBJECT for matrix in vectors.values())
    return numbers + _BYTES_PER_OBJECT + _BYTES_PER_TOKEN * len(segment.tokens)


def _pad(
    batch: Sequence[Segment], device: torch.device
) -> tuple[Int[Tensor, "batch token"], Bool[Tensor, "batch token"], Int[Tensor, " batch"]]:
    lengths = torch.tensor([len(segment.tokens) for segment in batch])
    width = int(lengths.max())
    tokens = torch.tensor([segment.tokens + (0,) * (width - len(segment.tokens)) for segment in batch])
    places = torch.arange(width)
    mask = (places < lengths.unsqueeze(1)) & (places >= batch[0].num_front)
    offsets = torch.tensor([segment.offset for segment in batch])
    return to_device(tokens, device), to_device(mask, device), offsets
