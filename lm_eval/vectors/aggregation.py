"""Token vectors → concept vectors: activation, aggregation of tokens to contexts, norms (experiment §4).

Pure functions on tensors; knows nothing of models or text.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from lm_eval.config.settings import ExampleAggregation, Norm, SegmentAggregation
from lm_eval.config.token_aggregation import ActivationPrefix, BaseAggregation, TokenAggregation
from lm_eval.vectors.norms import NORMS, z_norm

Activation = Callable[[Tensor], Tensor]

PREFIXES: dict[ActivationPrefix, Callable[[Activation, Tensor], Tensor]] = {
    "": lambda act, x: x,  # noqa: ARG005
    "relu|": lambda act, x: act(x),
    "relu+|": lambda act, x: act(x) + x,
    "-relu|": lambda act, x: -act(-x),
    "-relu+|": lambda act, x: x - act(-x),
    "relu|zNorm|": lambda act, x: z_norm(act(x)),
    "relu|zNorm+|": lambda act, x: z_norm(act(x)) + x,
    "-relu|zNorm|": lambda act, x: z_norm(-act(-x)),
    "-relu|zNorm+|": lambda act, x: z_norm(-act(-x)) + x,
}


def mean(tokens: Float[Tensor, "batch token dim"], mask: Bool[Tensor, "batch token"]) -> Float[Tensor, "batch dim"]:
    """Average the real tokens of each segment."""
    weights = mask.to(tokens.dtype)
    return torch.einsum("btd,bt->bd", tokens, weights) / weights.sum(dim=1, keepdim=True)


def w1mean(tokens: Float[Tensor, "batch token dim"], mask: Bool[Tensor, "batch token"]) -> Float[Tensor, "batch dim"]:
    """Average the real tokens of each segment with weights 1, 2, …, n."""
    weights = mask.to(tokens.dtype).cumsum(dim=1) * mask
    return torch.einsum("btd,bt->bd", tokens, weights) / weights.sum(dim=1, keepdim=True)


def last(tokens: Float[Tensor, "batch token dim"], mask: Bool[Tensor, "batch token"]) -> Float[Tensor, "batch dim"]:
    """Take the last real token of each segment (padding on the right)."""
    return tokens[torch.arange(len(tokens), device=tokens.device), mask.sum(dim=1) - 1]


def concat(tokens: Float[Tensor, "batch token dim"], mask: Bool[Tensor, "batch token"]) -> Float[Tensor, "vector dim"]:
    """Keep every real token, segment after segment."""
    return tokens[mask]


def chunk(
    tokens: Float[Tensor, "batch token dim"], mask: Bool[Tensor, "batch token"], size: int
) -> Float[Tensor, "vector dim"]:
    """Average the real tokens of each segment in groups of so many, in their order, the last group shorter if need be.

    Source: experiment §10.
    """
    size = min(size, tokens.shape[1])
    missing = -tokens.shape[1] % size
    weights = functional.pad(mask, (0, missing)).to(tokens.dtype).unflatten(1, (-1, size))
    groups = functional.pad(tokens, (0, 0, 0, missing)).unflatten(1, (-1, size))
    numbers = weights.sum(dim=2)
    totals: Tensor = torch.einsum("bgtd,bgt->bgd", groups, weights)
    means: Tensor = totals[numbers > 0] / numbers[numbers > 0].unsqueeze(1)
    return means


BASES: dict[BaseAggregation, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": mean,
    "w1mean": w1mean,
    "last": last,
    "concat": concat,
}
"""All but `chunk`, which has a size."""


@dataclass(frozen=True)
class Reduction:
    """How the token vectors of a segment become its vectors: `WORD_AGG_SCHEME` and `NORM` (experiment §4.3, §4.4)."""

    aggregation: TokenAggregation
    norm: Norm | None = None

    @classmethod
    def of(cls, aggregation: TokenAggregation, norm: Norm | None) -> "Reduction":
        """Return an aggregation with the norm that follows it, if one does."""
        return cls(aggregation, norm if aggregation.takes_norm else None)


def aggregate_tokens(
    tokens: Float[Tensor, "batch token dim"],
    mask: Bool[Tensor, "batch token"],
    reductions: Collection[Reduction],
    activation: Activation,
) -> dict[Reduction, Float[Tensor, "_ dim"]]:
    """Aggregate right-padded segments in float32; work shared by several reductions is done once.

    Args:
        tokens: token vectors of one layer.
        mask: True at real tokens.
        reductions: the reductions to compute.
        activation: activation function of the model's MLP, for the prefixes.

    Returns:
        For each reduction a matrix of all segments' vectors: `num_vectors` rows per segment.
    """
    tokens = tokens.float()
    aggregations = dict.fromkeys(reduction.aggregation for reduction in reductions)
    reduced = {}
    for prefix in dict.fromkeys(aggregation.prefix for aggregation in aggregations):
        activated = PREFIXES[prefix](activation, tokens)
        for aggregation in (one for one in aggregations if one.prefix == prefix):
            is_chunk = aggregation.base == "chunk"
            vectors = (
                chunk(activated, mask, aggregation.chunk) if is_chunk else BASES[aggregation.base](activated, mask)
            )
            for reduction in (one for one in reductions if one.aggregation == aggregation):
                reduced[reduction] = normalise(vectors, reduction.norm)
    return reduced


def normalise(vectors: Float[Tensor, "*rows dim"], norm: Norm | None) -> Float[Tensor, "*rows dim"]:
    """Apply `NORM` to each vector (experiment §4.4)."""
    return vectors if norm is None else NORMS[norm](vectors)


def mean_of_groups(vectors: Float[Tensor, "vector dim"], counts: Int[Tensor, " group"]) -> Float[Tensor, "group dim"]:
    """Average groups of adjoining vectors; `counts` says how many each has, none of them 0.

    Sums are in float64: vectors with large components would otherwise lose digits that change the softmax of scores.
    """
    groups = torch.arange(len(counts)).repeat_interleave(counts)
    totals = torch.zeros(len(counts), vectors.shape[1], dtype=torch.float64).index_add_(0, groups, vectors.double())
    return (totals / counts.unsqueeze(1)).float()


@dataclass(frozen=True)
class Contexts:
    """The concept vectors of many documents' contexts, stacked in one matrix."""

    vectors: Float[Tensor, "vector dim"]
    counts: Int[Tensor, " document"]
    """Number of vectors of each document."""

    def split(self) -> tuple[Float[Tensor, "vector dim"], ...]:
        """Return the concept vectors of each document."""
        return tuple(torch.split(self.vectors, self.counts.tolist()))

    def means(self) -> "Contexts":
        """Return one vector a document: the plain mean of its vectors."""
        return Contexts(mean_of_groups(self.vectors, self.counts), torch.ones_like(self.counts))


def aggregate_contexts(
    vectors: Float[Tensor, "vector dim"],
    per_sample: Int[Tensor, " sample"],
    samples: Int[Tensor, " document"],
    *,
    segment_agg: SegmentAggregation | None,
    example_agg: ExampleAggregation | None,
    norm: Norm | None,
) -> Contexts:
    """Turn the vectors of segments into the concept vectors of documents (experiment §4.5, §4.6).

    Args:
        vectors: vectors of all segments, in the order of documents, samples and segments.
        per_sample: how many of them each sample has.
        samples: how many samples each document's context has.
        segment_agg: `mean` averages all vectors of a sample; None keeps them.
        example_agg: `mean` averages all vectors that are left; None and `soft_cluster` keep them.
        norm: normalisation after each of the two means.
    """
    counts = samples
    if segment_agg == "mean":
        vectors = normalise(mean_of_groups(vectors, per_sample), norm)
    else:
        documents = torch.arange(len(samples)).repeat_interleave(samples)
        counts = torch.zeros_like(samples).index_add_(0, documents, per_sample)
    if example_agg == "mean":
        means = mean_of_groups(vectors, counts)
        vectors = torch.where(counts.unsqueeze(1) > 1, normalise(means, norm), means)  # a single vector stays as it is
        counts = torch.ones_like(counts)
    return Contexts(vectors, counts)
