"""Scores of a document → metrics, and metrics of all documents → mean and standard error (SPEC §5)."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lm_eval.tasks.base import Example


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


def standard_error(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation over √n; None for one value."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None


def aggregate(documents: Sequence[DocumentScores], metrics: Sequence[str]) -> Mapping[str, float | None]:
    """Return `{metric: mean, metric_stderr: standard error}` over documents."""
    results: dict[str, float | None] = {}
    for metric in (METRICS[name] for name in metrics):
        values = [metric.of(document) for document in documents]
        results[metric.name] = statistics.fmean(values)
        results[f"{metric.name}_stderr"] = standard_error(values)
    return results
