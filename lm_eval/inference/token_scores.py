"""From what predicts tokens to their log-probabilities, a chunk of logits at a time (experiment §5)."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lm_eval.models.language_model import LanguageModel

MAX_LOGITS, MAX_LOGITS_GPU = 1 << 23, 1 << 25
"""Entries of the logits matrix held at once (32 and 128 MiB in float32): enough for a product at full speed."""

MIN_EXPONENT = -87.0
"""Below, exp gives less than a normal number of float32: that adds nothing to a sum from 1 up, and is slow on CPUs."""

Projection = Callable[[LanguageModel, Tensor], Tensor]


def project_bare(model: LanguageModel, hidden: Float[Tensor, "position dim"]) -> Float[Tensor, "position vocabulary"]:
    """Return the product with the output matrix alone."""
    return hidden.to(model.output_matrix.device) @ model.output_matrix.float().T


def score_tokens(
    model: LanguageModel, hidden: Float[Tensor, "position dim"], targets: Int[Tensor, " position"], project: Projection
) -> tuple[Float[Tensor, " position"], Bool[Tensor, " position"]]:
    """Return each target's log-probability, and whether no token is more probable, a chunk of logits at a time.

    Args:
        model: the language model.
        hidden: what predicts each target.
        targets: token ids.
        project: makes logits of it.
    """
    matrix = model.output_matrix
    rows = max(1, (MAX_LOGITS_GPU if matrix.is_cuda else MAX_LOGITS) // len(matrix))
    parts = []
    for states, wanted in zip(hidden.split(rows), targets.split(rows), strict=True):
        logits = project(model, states).float()
        chosen = logits.gather(1, wanted.to(logits.device).unsqueeze(1))
        best = logits.amax(dim=1, keepdim=True)
        is_first = _is_first_of_equals(logits, wanted.to(logits.device).unsqueeze(1), chosen == best)
        log_total = logits.sub_(best).clamp_(min=MIN_EXPONENT).exp_().sum(dim=1, keepdim=True).log_()
        parts.append((chosen - best - log_total, is_first))
    log_probabilities, greedy = zip(*parts, strict=True)
    return torch.cat(log_probabilities).squeeze(1), torch.cat(greedy).squeeze(1)


def _is_first_of_equals(
    logits: Float[Tensor, "position vocabulary"],
    targets: Int[Tensor, "position 1"],
    is_best: Bool[Tensor, "position 1"],
) -> Bool[Tensor, "position 1"]:
    """Return which targets are the arg max: the first of equals, where low precision makes several tokens the best."""
    if logits.is_cuda:  # looking for candidates would wait for the GPU, which takes the maxima of all rows meanwhile
        return logits.argmax(dim=1, keepdim=True) == targets
    if not is_best.any():
        return is_best
    candidates = is_best.squeeze(1).nonzero().squeeze(1)
    first = logits[candidates].argmax(dim=1, keepdim=True)
    return is_best.index_copy(0, candidates, first == targets[candidates])
