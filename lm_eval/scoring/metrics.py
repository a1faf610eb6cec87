"""Scores of a document → metrics, and metrics of all documents → mean and standard error (experiment §5)."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from lm_eval.tasks.base import Example


@dataclass(frozen=True, kw_only=True)
class DocumentScores:
    """The scores of one document's choices."""

    doc_id: int
    example: Example
    scores: tuple[float, ...]
    """One per choice: a probability (similarity) or a log-probability (generation)."""
    is_exact_match: tuple[bool, ...] | None = None
    """For generation: whether greedy decoding gives this choice, for each choice."""
    similarities: tuple[float, ...] | None = None
    """For similarity: what the scores are the softmax of."""

    @property
    def margin(self) -> float | None:
        """How far the best right choice is above the best wrong one (experiment §10); None where none is wrong."""
        values = self.scores if self.similarities is None else self.similarities
        right = [value for index, value in enumerate(values) if index in self.example.gold]
        wrong = [value for index, value in enumerate(values) if index not in self.example.gold]
        return max(right) - max(wrong) if wrong else None

    def sample(self) -> dict[str, Any]:
        """Return what a result file with samples states of it."""
        sample: dict[str, Any] = {
            "doc_id": self.doc_id,
            "source": self.example.source,
            "gold": list(self.example.gold),
            "scores": list(self.scores),
        }
        if self.margin is not None:
            sample["margin"] = self.margin
        if self.is_exact_match is not None:
            sample["is_exact_match"] = list(self.is_exact_match)
        return sample


_OF_CHOICES = [item.name for item in fields(DocumentScores) if item.name not in ("doc_id", "example")]


def columns_of(documents: Sequence[DocumentScores]) -> dict[str, list[list[float | bool]]]:
    """Return what is known of documents by the names of the fields, for each document a value for each choice."""
    known = [name for name in _OF_CHOICES if getattr(documents[0], name) is not None]
    return {name: [list(getattr(document, name)) for document in documents] for name in known}


def _is_gold(document: DocumentScores, scores: Sequence[float]) -> float:
    best = max(range(len(scores)), key=scores.__getitem__)  # the first one of a tie
    return float(best in document.example.gold)


def _per_character(document: DocumentScores, *, blanks: int) -> list[float]:
    return [
        score / (len(choice) - blanks) for score, choice in zip(document.scores, document.example.choices, strict=True)
    ]


def _per_own_character(document: DocumentScores) -> list[float]:
    return [score / length for score, length in zip(document.scores, document.example.lengths, strict=True)]


def _exact_match(document: DocumentScores) -> float:
    return float(any((document.is_exact_match or ())[index] for index in document.example.gold))


@dataclass(frozen=True)
class Metric:
    """A number computed for each document and averaged, with its name in results."""

    name: str
    of: Callable[[DocumentScores], float]
    finish: Callable[[float], tuple[float, float]] = lambda mean: (mean, 1.0)
    """Turns the mean into the metric, and returns its derivative by the mean, for the standard error."""


def _perplexity(mean: float) -> tuple[float, float]:
    value = math.exp(-mean) if mean > -_MAX_EXPONENT else math.inf
    return value, value


_MAX_EXPONENT = 700.0
"""Beyond this exponent exp overflows a float."""


METRICS: dict[str, Metric] = {
    "acc": Metric("acc", lambda document: _is_gold(document, document.scores)),
    "rand_acc": Metric("rand_acc", lambda document: 1 / len(document.scores)),
    "acc_norm": Metric("acc_norm", lambda document: _is_gold(document, _per_character(document, blanks=0))),
    "acc_norm_unspaced": Metric("acc_norm", lambda document: _is_gold(document, _per_character(document, blanks=1))),
    "acc_norm_own": Metric("acc_norm", lambda document: _is_gold(document, _per_own_character(document))),
    "perplexity": Metric("perplexity", lambda document: document.scores[document.example.gold[0]], _perplexity),
    "em": Metric("em", _exact_match),
    "acc_em": Metric("acc", _exact_match),
}


class Tally:
    """Accumulates the metrics of a run; stores how often each value occurs rather than all values."""

    def __init__(self, metrics: Sequence[str]) -> None:
        self._counts: dict[str, Counter[float]] = {name: Counter() for name in metrics}

    def add(self, document: DocumentScores) -> None:
        """Add the metrics of a document."""
        for name, counts in self._counts.items():
            counts[METRICS[name].of(document)] += 1

    def aggregate(self) -> dict[str, float | None]:
        """Return `{metric: mean, metric_stderr: sample standard deviation / √n}`; the error of one document is None.

        The error of a function of the mean (perplexity) is that of the mean times the derivative.
        """
        results: dict[str, float | None] = {}
        for name, counts in self._counts.items():
            metric, error = METRICS[name], _standard_error(counts)
            results[metric.name], slope = metric.finish(_mean(counts))
            results[f"{metric.name}_stderr"] = None if error is None else error * slope
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
