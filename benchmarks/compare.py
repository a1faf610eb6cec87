"""How far the scores of two ways of doing the same work are apart."""

from collections.abc import Iterator, Sequence

Scores = Sequence[Sequence[float]]
"""Of each document, the score of each choice."""


def _pairs(mine: Scores, theirs: Scores) -> Iterator[tuple[float, float]]:
    for one, other in zip(mine, theirs, strict=True):
        yield from zip(one, other, strict=True)


def largest_difference(mine: Scores, theirs: Scores) -> float:
    """Return the largest difference between two scores.

    Raises:
        ValueError: one side has scored more documents or choices than the other.
    """
    return max(abs(a - b) for a, b in _pairs(mine, theirs))


def relative_difference(mine: Scores, theirs: Scores) -> float:
    """Return the largest difference between two scores, relative to theirs where that is larger than 1.

    Raises:
        ValueError: one side has scored more documents or choices than the other.
    """
    return max(abs(a - b) / max(1.0, abs(b)) for a, b in _pairs(mine, theirs))
