"""Test 2: the similarity of choices to their contexts' concept vectors (experiment §5, `dist_sim`).

Documents are compared in one batch, padded to the largest number of vectors and choices. All in float64: the dot
products of last layers, some hundreds, would otherwise have rounding errors as large as differences between scores.

A similarity has a function here and its name in `config.settings`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from lm_eval.config.settings import ExampleAggregation, Similarity
from lm_eval.vectors.aggregation import Contexts

PREPARATIONS: dict[Similarity, Callable[[Tensor], Tensor]] = {
    "dot_product": lambda vectors: vectors,
    "cosine_sim": lambda vectors: functional.normalize(vectors, dim=-1),
}
"""Applied to vectors before their dot product, which is then the similarity."""


@dataclass(frozen=True)
class Compared:
    """A document's choices beside its context."""

    similarities: Float[Tensor, " choice"]
    """Of each choice to the nearest context vector."""
    scores: Float[Tensor, " choice"]
    """Their softmax."""


def score_similarity(
    contexts: Contexts,
    choices: Contexts,
    similarity_func: Similarity,
    example_agg: ExampleAggregation | None = None,
    parts: Sequence[int] | None = None,
) -> list[Compared]:
    """Return for each document its choices' similarities to the nearest context vector, and the softmax over these.

    Args:
        contexts: the concept vectors of each document.
        choices: one vector per choice, for each document.
        similarity_func: dot_product or cosine_sim.
        example_agg: `soft_cluster` compares each choice with its own context vector.
        parts: how many consecutive entries belong to one document, where its choices have different contexts; None
            where every entry is a document.
    """
    prepare = PREPARATIONS[similarity_func]
    context, is_vector = _pad(contexts)
    choice, is_choice = _pad(choices)
    if example_agg == "soft_cluster":
        similarities = (prepare(choice) * prepare(soft_cluster(context, is_vector, choice))).sum(dim=-1)
    else:
        pairs = torch.einsum("dcn,dvn->dcv", prepare(choice), prepare(context))
        similarities = pairs.masked_fill(~is_vector.unsqueeze(1), -torch.inf).amax(dim=2)
    counts = choices.counts.tolist()
    if parts is not None and max(parts, default=1) > 1:
        rows = iter([row[:count] for row, count in zip(similarities, counts, strict=True)])
        joined = [torch.cat([next(rows) for _ in range(number)]) for number in parts]
        return [Compared(row, row.softmax(dim=0)) for row in joined]
    scores = similarities.masked_fill(~is_choice, -torch.inf).softmax(dim=1)
    return [Compared(one[:count], row[:count]) for one, row, count in zip(similarities, scores, counts, strict=True)]


def soft_cluster(
    contexts: Float[Tensor, "document vector dim"],
    is_vector: Bool[Tensor, "document vector"],
    choices: Float[Tensor, "document choice dim"],
) -> Float[Tensor, "document choice dim"]:
    """Return one context vector per choice: the context's vectors, weighted by the softmax of dot products with it.

    The dot product decides whatever `SIMILARITY_FUNC` is (experiment §4.6).
    """
    products = torch.einsum("dcn,dvn->dcv", choices, contexts)
    weights = products.masked_fill(~is_vector.unsqueeze(1), -torch.inf).softmax(dim=2)
    return torch.einsum("dcv,dvn->dcn", weights, contexts)


def _pad(
    documents: Contexts,
) -> tuple[Float[Tensor, "document vector dim"], Bool[Tensor, "document vector"]]:
    padded = pad_sequence(list(documents.split()), batch_first=True).double()
    return padded, torch.arange(padded.shape[1]) < documents.counts.unsqueeze(1)
