"""The input of an encoder: segments of tokens, and the vectors wanted of each."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from lm_eval.config.layer import ResolvedLayer
from lm_eval.vectors.aggregation import Reduction


@dataclass(frozen=True)
class Segment:
    """Tokens that the model encodes as a separate sequence."""

    tokens: tuple[int, ...]
    offset: int = 0
    """Position in the context whose position embedding is added to every token (ADD_POS); 0 adds none."""
    num_front: int = 0
    """Tokens at its start that stand there to be attended to, and have no part in its vectors (experiment §9)."""

    @property
    def num_kept(self) -> int:
        """How many of its tokens have a part in its vectors."""
        return len(self.tokens) - self.num_front


@dataclass(frozen=True)
class VectorSpec:
    """The layer and the reduction of the vectors wanted of a segment."""

    layer: ResolvedLayer
    reduction: Reduction
    """How the token vectors of the segment are aggregated."""


Vectors = dict[VectorSpec, Float[Tensor, "vector dim"]]
"""The wanted vectors of a segment, in float32 on the CPU."""


Samples = tuple[tuple[Segment, ...], ...]
"""A context: its samples, each with its segments."""
