"""What is asked of an encoder: segments of tokens, and which vectors are made of each."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from lm_eval.config.layer import ResolvedLayer
from lm_eval.vectors.aggregation import Reduction


@dataclass(frozen=True)
class Segment:
    """The tokens that the model encodes on their own."""

    tokens: tuple[int, ...]
    offset: int = 0
    """Place in the context whose position embedding is added to every token (ADD_POS); 0 adds none."""


@dataclass(frozen=True)
class VectorSpec:
    """Which vectors are wanted of a segment."""

    layer: ResolvedLayer
    reduction: Reduction
    """Of the segment's token vectors."""


Vectors = dict[VectorSpec, Float[Tensor, "vector dim"]]
"""The wanted vectors of a segment, in float32 on the CPU."""


Samples = tuple[tuple[Segment, ...], ...]
"""A context: its samples, each with its segments."""
