"""Token vectors → concept vectors: activation, aggregation of tokens, segments and examples, normalisation (SPEC §4).

Pure functions on tensors; knows nothing of models or text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

Activation = Callable[[Tensor], Tensor]

Z_NORM_EPSILON = 1e-5
"""Added to the variance in zNorm, for every model (SPEC §4.3)."""


def z_norm(x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
    """Centre each vector and divide by the root of its biased variance."""
    return functional.layer_norm(x, x.shape[-1:], eps=Z_NORM_EPSILON)


def var_norm(x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
    """Divide each vector by the unbiased standard deviation of its components, without centring."""
    return x / x.std(dim=-1, keepdim=True, correction=1)


def l2_norm(x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
    """Scale each vector to length 1."""
    return functional.normalize(x, dim=-1)


NORMS: dict[str, Callable[[Tensor], Tensor]] = {"L2": l2_norm, "varNorm": var_norm, "zNorm": z_norm}

PREFIXES: dict[str, Callable[[Activation, Tensor], Tensor]] = {
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


REDUCTIONS = {"mean": mean, "w1mean": w1mean, "last": last}


@dataclass(frozen=True)
class TokenAggregation:
    """How the token vectors of a segment become its vectors: `WORD_AGG_SCHEME` and `NORM` (SPEC §4.3, §4.4)."""

    prefix: str
    base: str
    norm: str | None

    @classmethod
    def parse(cls, scheme: str, norm: str | None) -> "TokenAggregation":
        """Split a checked `WORD_AGG_SCHEME` into prefix and base."""
        prefix, bar, base = scheme.rpartition("|")
        return cls(prefix + bar, base, norm)

    @property
    def keeps_tokens(self) -> bool:
        """Whether a segment becomes one vector a token instead of one."""
        return self.base == "concat"

    def __call__(
        self, tokens: Float[Tensor, "batch token dim"], mask: Bool[Tensor, "batch token"], activation: Activation
    ) -> list[Float[Tensor, "vector dim"]]:
        """Aggregate right-padded segments in float32; one matrix a segment, of one row unless tokens are kept."""
        tokens = PREFIXES[self.prefix](activation, tokens.float())
        if self.keeps_tokens:
            return [self._normalise(row[:count]) for row, count in zip(tokens, mask.sum(dim=1).tolist(), strict=True)]
        vectors = REDUCTIONS[self.base](tokens, mask)
        return list((vectors if self.base == "last" else self._normalise(vectors)).split(1))

    def _normalise(self, vectors: Float[Tensor, "vector dim"]) -> Float[Tensor, "vector dim"]:
        return vectors if self.norm is None else NORMS[self.norm](vectors)


def aggregate_context(
    samples: Sequence[Sequence[Float[Tensor, "_ dim"]]],
    segment_agg: str | None,
    example_agg: str | None,
    norm: str | None,
) -> Float[Tensor, "vector dim"]:
    """Turn the vectors of a context's segments into its concept vectors (SPEC §4.5, §4.6).

    Args:
        samples: for each sample, for each segment, its vectors.
        segment_agg: `mean` averages all vectors of a sample; None keeps them.
        example_agg: `mean` averages all vectors that are left; None and `soft_cluster` keep them.
        norm: normalisation after each of the two means.
    """
    normalise = NORMS[norm] if norm is not None else (lambda x: x)
    vectors = [torch.cat(list(sample)) for sample in samples]
    if segment_agg == "mean":
        vectors = [normalise(sample.mean(dim=0, keepdim=True)) for sample in vectors]
    context = torch.cat(vectors)
    if example_agg == "mean" and len(context) > 1:
        context = normalise(context.mean(dim=0, keepdim=True))
    return context


def soft_cluster(
    context: Float[Tensor, "vector dim"], choices: Float[Tensor, "choice dim"]
) -> Float[Tensor, "choice dim"]:
    """Return a context vector a choice: the context's vectors weighted by the softmax of their dot products with it."""
    return torch.softmax(choices @ context.T, dim=-1) @ context
