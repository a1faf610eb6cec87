"""Scores of a document → metrics, and metrics of all documents → mean and standard error (SPEC §5)."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lm_eval.tasks.base import Example

CHANCE = {"hellaswag": 0.25}
"""Accuracy of guessing by dataset, for results of the older form, which don't state it."""


@dataclass(frozen=True, kw_only=True)
class DocumentScores:
    """What a run finds out about one document."""

    doc_id: int
    example: Example
    scores: tuple[float, ...]
    """One a choice: a probability (similarity) or a log-probability (generation)."""
    is_exact_match: tuple[bool, ...] | None = None
    """For generation: whether each choice is what greedy decoding gives."""


def _is_gold(document: DocumentScores, scores: Sequence[float]) -> float:
    best = max(range(len(scores)), key=scores.__getitem__)  # the first of equals
    return float(best in document.example.gold)


def _per_character(document: DocumentScores, *, blanks: int) -> list[float]:
    return [
        score / (len(choice) - blanks) for score, choice in zip(document.scores, document.example.choices, strict=True)
    ]


def _exact_match(document: DocumentScores) -> float:
    return float(any((document.is_exact_match or ())[index] for index in document.example.gold))


@dataclass(frozen=True)
class Metric:
    """A figure of one document, under the name that results use."""

    name: str
    of: Callable[[DocumentScores], float]


METRICS: dict[str, Metric] = {
    "acc": Metric("acc", lambda document: _is_gold(document, document.scores)),
    "rand_acc": Metric("rand_acc", lambda document: 1 / len(document.scores)),
    "acc_norm": Metric("acc_norm", lambda document: _is_gold(document, _per_character(document, blanks=0))),
    "acc_norm_unspaced": Metric("acc_norm", lambda document: _is_gold(document, _per_character(document, blanks=1))),
    "em": Metric("em", _exact_match),
    "acc_em": Metric("acc", _exact_match),
}


class Tally:
    """The metrics of a run, taken document by document; holds how often each value occurs rather than all values."""

    def __init__(self, metrics: Sequence[str]) -> None:
        self._counts: dict[str, Counter[float]] = {name: Counter() for name in metrics}

    def add(self, document: DocumentScores) -> None:
        """Take the metrics of a document."""
        for name, counts in self._counts.items():
            counts[METRICS[name].of(document)] += 1

    def aggregate(self) -> dict[str, float | None]:
        """Return `{metric: mean, metric_stderr: sample standard deviation / √n}`; no error of a single document."""
        results: dict[str, float | None] = {}
        for name, counts in self._counts.items():
            results[METRICS[name].name] = _mean(counts)
            results[f"{METRICS[name].name}_stderr"] = _standard_error(counts)
        return results


def _mean(counts: Counter[float]) -> float:
    if len(counts) == 1:
        return next(iter(counts))
    return math.fsum(value * count for value, count in counts.items()) / counts.total()


def _standard_error(counts: Counter[float]) -> float | None:
    total, mean = counts.total(), _mean(counts)
    if total < 2:
        return None
    if len(counts) == 1:
        return 0.0
    squares = math.fsum(count * (value - mean) ** 2 for value, count in counts.items())
    return math.sqrt(squares / (total - 1) / total)
