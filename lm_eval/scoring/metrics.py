"""Scores of a document → metrics, and metrics of all documents → numbers and standard errors (experiment §5)."""

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from lm_eval.common.text import say_cause
from lm_eval.errors import RunError
from lm_eval.scoring.aggregations import Counts, f1, jackknife, mcc, mean, standard_error
from lm_eval.tasks.base import Aggregate, Example, OwnScoring

logger = logging.getLogger(__name__)


def first_best(scores: Sequence[float]) -> int:
    """Return the place of the best score, of equals the first."""
    return max(range(len(scores)), key=scores.__getitem__)


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

    @property
    def best(self) -> int:
        """The choice with the best score."""
        return first_best(self.scores)

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
    return float(first_best(scores) in document.example.gold)


def _per_character(document: DocumentScores, *, blanks: int) -> list[float]:
    return [
        score / (len(choice) - blanks) for score, choice in zip(document.scores, document.example.choices, strict=True)
    ]


def _per_own_character(document: DocumentScores) -> list[float]:
    return [score / length for score, length in zip(document.scores, document.example.lengths, strict=True)]


def _per_own_byte(document: DocumentScores) -> list[float]:
    """Return scores by the bytes of the choices' own texts, delimiter left out."""
    example, texts = document.example, []
    for place, length in enumerate(example.lengths):
        choice = example.choices[place]
        texts.append(example.contexts[place][:length] if example.contexts else choice[len(choice) - length :])
    return [score / len(text.encode()) for score, text in zip(document.scores, texts, strict=True)]


def _right_and_chosen(document: DocumentScores) -> tuple[Any, int]:
    """Return the right choice (the right ones, where there are several) and the one with the best score."""
    gold = document.example.gold
    return gold[0] if len(gold) == 1 else gold, document.best


def _exact_match(document: DocumentScores) -> float:
    return float(any((document.is_exact_match or ())[index] for index in document.example.gold))


@dataclass(frozen=True)
class Metric:
    """A number computed for each document and averaged, with its name in results."""

    name: str
    of: Callable[[DocumentScores], Any]
    finish: Callable[[float], tuple[float, float]] = lambda mean: (mean, 1.0)
    """Turns the mean into the metric, and returns its derivative by the mean, for the standard error."""
    of_all: Callable[[Counts], float | None] | None = None
    """Makes the metric of how often each value occurs, where it is no function of their mean."""

    def summarise(self, counts: Counts) -> tuple[float, float | None] | None:
        """Return metric and standard error; None where it isn't defined for such values.

        The error of a function of the mean (perplexity) is that of the mean times the derivative.
        """
        if self.of_all is None:
            error = standard_error(counts)
            value, slope = self.finish(mean(counts))
            return value, None if error is None else error * slope
        whole = self.of_all(counts)
        return None if whole is None else (whole, jackknife(counts, self.of_all))


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
    "acc_bytes_own": Metric("acc_bytes", lambda document: _is_gold(document, _per_own_byte(document))),
    "perplexity": Metric("perplexity", lambda document: document.scores[document.example.gold[0]], _perplexity),
    "em": Metric("em", _exact_match),
    "acc_em": Metric("acc", _exact_match),
    "exact_match": Metric("exact_match", _exact_match),
    "f1": Metric("f1", _right_and_chosen, of_all=f1),
    "mcc": Metric("mcc", _right_and_chosen, of_all=mcc),
}


def _made(name: str) -> Metric:
    """Return the metric of values that a task makes itself: they become one number as those of its name do."""
    usual = Metric(name, lambda document: None)  # noqa: ARG005
    return replace(usual, finish=METRICS[name].finish, of_all=METRICS[name].of_all) if name in METRICS else usual


@dataclass(kw_only=True)
class _Column:
    """The values of one metric, counted; listed where a function of the task wants them all."""

    metric: Metric
    is_made: bool
    """Whether the task's own `process_results` makes the values."""
    aggregate: Aggregate | None
    counts: Counts = field(default_factory=Counter)
    values: list[Any] = field(default_factory=list)
    failure: str = ""
    """Why the function of the task gives no number."""

    def add(self, document: DocumentScores, made: Mapping[str, Any]) -> None:
        if self.is_made and self.metric.name not in made:
            return
        value = made[self.metric.name] if self.is_made else self.metric.of(document)
        if self.aggregate is not None:
            self.values.append(value)
        elif not self.is_made:
            self.counts[value] += 1
        elif self.metric.of_all is None:
            self.counts[float(value)] += 1
        else:  # labels, which may be NumPy's
            self.counts[tuple(label.item() if hasattr(label, "item") else label for label in value)] += 1

    def summarise(self) -> tuple[float, float | None] | None:
        """Return metric and standard error, the error None where it isn't known; None where there is no metric."""
        if not self.counts and not self.values:
            return None
        if self.is_made and self.metric.of_all is None and not all(map(math.isfinite, self.counts)):
            return None
        if self.aggregate is None:
            return self.metric.summarise(self.counts)
        try:
            value = float(self.aggregate(self.values))
        except Exception as error:  # whatever a user's function raises; hours of scoring must not be lost by it
            self.failure = f"failed ({say_cause(error)})"
            logger.warning("the function of the metric %s %s", self.metric.name, self.failure)
            return None
        self.failure = "" if math.isfinite(value) else f"gave {value}"
        return None if self.failure else (value, None)


class Tally:
    """Accumulates the metrics of a run; stores how often each value occurs rather than all values."""

    def __init__(self, metrics: Sequence[str], own: OwnScoring | None = None) -> None:
        """Begin with no document.

        Args:
            metrics: names of `METRICS`; where the task's `process_results` makes values, the names that it gives them.
            own: what the task brings itself.
        """
        own = own or OwnScoring()
        self._process = own.process_results
        self._columns = [
            _Column(
                metric=_made(name) if name in own.made else METRICS[name],
                is_made=name in own.made,
                aggregate=own.aggregations.get(name),
            )
            for name in metrics
        ]

    def add(self, document: DocumentScores) -> None:
        """Add the metrics of a document.

        Raises:
            DataError: the task's own function fails on it.
        """
        made: Mapping[str, Any] = {}
        if self._process is not None:
            example, matches = document.example, document.is_exact_match or ()
            made = self._process(example.row or {}, list(zip(document.scores, matches, strict=True)), example.source)
        for column in self._columns:
            column.add(document, made)

    def aggregate(self) -> dict[str, float | None]:
        """Return `{metric: value, metric_stderr: its standard error}`; the error of one document is None.

        A metric that isn't defined for these documents is left out.

        Raises:
            RunError: it is the accuracy, which every result states.
        """
        results: dict[str, float | None] = {}
        for column in self._columns:
            found, name = column.summarise(), column.metric.name
            if found is None and name == "acc":
                if column.failure:
                    function = getattr(column.aggregate, "__qualname__", repr(column.aggregate))
                    raise RunError(f"acc: its aggregation, the function {function}, {column.failure}; correct it")
                raise RunError(
                    "acc is no number for some documents: see what process_results of the task file makes of them"
                )
            if found is None:
                logger.warning("%s is left out: it isn't defined for these documents", name)
            else:
                results[name], results[f"{name}_stderr"] = found
        return results
