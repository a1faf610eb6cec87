"""Test 2: the similarity of choices to a context's concept vectors (SPEC §5, `dist_sim`)."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from lm_eval.aggregation import soft_cluster

SIMILARITIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "dot_product": lambda a, b: a @ b.T,
    "cosine_sim": lambda a, b: functional.normalize(a, dim=-1) @ functional.normalize(b, dim=-1).T,
}


def score_similarity(
    context: Float[Tensor, "vector dim"],
    choices: Float[Tensor, "choice dim"],
    similarity_func: str,
    example_agg: str | None = None,
) -> Float[Tensor, " choice"]:
    """Return each choice's score: the softmax over the choices of their similarity to the nearest context vector.

    Args:
        context: the context's concept vectors.
        choices: one vector a choice.
        similarity_func: dot_product or cosine_sim.
        example_agg: `soft_cluster` compares each choice with a context vector of its own.
    """
    similarity = SIMILARITIES[similarity_func]
    if example_agg == "soft_cluster":
        similarities = similarity(choices, soft_cluster(context, choices)).diagonal()
    else:
        similarities = similarity(choices, context).amax(dim=1)
    return torch.softmax(similarities, dim=0)
