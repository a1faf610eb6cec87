"""From the values of all documents to one number and its standard error (experiment §5).

A metric is a mean, a function of the mean, or a function of how often each value occurs (`f1`, `mcc`).
"""

import math
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any

Counts = Counter[Any]
"""How often each value occurs: much shorter than the list of all."""
Pair = tuple[int, int]
"""The right choice of a document and the one with the best score."""


def mean(counts: Counts) -> float:
    """Return the mean of values."""
    if len(counts) == 1:
        return float(next(iter(counts)))
    return math.fsum(value * count for value, count in counts.items()) / counts.total()


def standard_error(counts: Counts) -> float | None:
    """Return the standard error of the mean: the sample standard deviation / √n; None for one value."""
    total, centre = counts.total(), mean(counts)
    if total < 2:
        return None
    if len(counts) == 1:
        return 0.0
    squares = math.fsum(count * (value - centre) ** 2 for value, count in counts.items())
    return math.sqrt(squares / (total - 1) / total)


def f1(counts: Counts) -> float | None:
    """Return the F1 score of choice 1 against choice 0; None where there are other choices."""
    if any(not isinstance(label, int) or label not in (0, 1) for pair in counts for label in pair):
        return None
    hits, misses = counts[1, 1], counts[0, 1] + counts[1, 0]
    return 2 * hits / (2 * hits + misses) if hits + misses else 0.0


def mcc(counts: Counts) -> float | None:
    """Return Matthews' correlation of right and chosen, for any number of choices (Gorodkin 2004).

    0 where all are of one kind; None where several choices are right at once.
    """
    if any(not isinstance(right, int) for right, _ in counts):
        return None
    rights, chosen = Counter[Hashable](), Counter[Hashable]()
    for (right, choice), count in counts.items():
        rights[right] += count
        chosen[choice] += count
    total, hits = counts.total(), sum(count for (right, choice), count in counts.items() if right == choice)
    together = hits * total - sum(rights[label] * chosen[label] for label in rights)
    spreads = [total**2 - sum(count**2 for count in labels.values()) for labels in (rights, chosen)]
    return together / math.sqrt(math.prod(spreads)) if all(spreads) else 0.0


def jackknife(counts: Counts, statistic: Callable[[Counts], float | None]) -> float | None:
    """Return the standard error of a statistic by leaving each document out in turn; None for one document.

    Of the mean it is the sample standard deviation / √n, as everywhere.
    """
    total = counts.total()
    if total < 2:
        return None
    without = {}
    for value in counts:
        rest = Counter(counts)
        rest[value] -= 1
        without[value] = statistic(+rest) or 0.0
    centre = math.fsum(count * without[value] for value, count in counts.items()) / total
    squares = math.fsum(count * (without[value] - centre) ** 2 for value, count in counts.items())
    return math.sqrt(squares * (total - 1) / total)
