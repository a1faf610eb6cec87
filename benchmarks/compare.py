"""How far the scores of two ways of doing the same work are apart."""

import math
from collections.abc import Iterator, Sequence

Scores = Sequence[Sequence[float]]
"""Of each document, the score of each choice."""


def _pairs(mine: Scores, theirs: Scores) -> Iterator[tuple[float, float]]:
    for one, other in zip(mine, theirs, strict=True):
        yield from zip(one, other, strict=True)


def _apart(one: float, other: float, unit: float = 1.0) -> float:
    """Return how far two scores are apart: infinitely where one is no number, which `max` would pass over."""
    return abs(one - other) / unit if math.isfinite(one) and math.isfinite(other) else math.inf


def largest_difference(mine: Scores, theirs: Scores) -> float:
    """Return the largest difference between two scores.

    Raises:
        ValueError: one side has scored more documents or choices than the other.
    """
    return max(_apart(a, b) for a, b in _pairs(mine, theirs))


def relative_difference(mine: Scores, theirs: Scores) -> float:
    """Return the largest difference between two scores, relative to theirs where that is larger than 1.

    Raises:
        ValueError: one side has scored more documents or choices than the other.
    """
    return max(_apart(a, b, max(1.0, abs(b))) for a, b in _pairs(mine, theirs))
