"""The metrics of a task file: `metric_list` and `process_results`, in the form that scores text in the ordinary way."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lm_eval.common.text import say_cause
from lm_eval.errors import ConfigurationError, DataError
from lm_eval.tasks.base import Aggregate, OwnScoring, Row
from lm_eval.tasks.yaml_tasks.parser import Function, TaskFile, say_what_installs
from lm_eval.tasks.yaml_tasks.schema import refuse_unknown

_METRIC_KEYS = (
    "metric", "aggregation", "higher_is_better", "hf_evaluate", "ignore_case", "ignore_punctuation", "ignore_numbers",
    "regexes_to_ignore", "kwargs", "average", "weight_by_size",
)  # fmt: skip
"""Keys of an entry; of these only `metric` and `aggregation` change what is computed of choices, as upstream."""
METRICS = {
    "multiple_choice": {
        "acc": "acc", "acc_norm": "acc_norm_own", "acc_bytes": "acc_bytes_own", "exact_match": "exact_match",
        "f1": "f1", "mcc": "mcc",
    },
    "loglikelihood": {"acc": "acc_em", "perplexity": "perplexity"},
}  # fmt: skip
"""For each output type the supported metrics of `metric_list`, and their names in `lm_eval.scoring.metrics`."""
_USUAL = {"multiple_choice": ("acc", "acc_norm"), "loglikelihood": ("acc", "perplexity")}
"""The metrics of a file without a list."""
_OWN_AGGREGATION = {"f1": "f1", "mcc": "matthews_corrcoef", "perplexity": "perplexity"}
"""The aggregation of each metric that is no mean."""
_OF_PAIRS = ("f1", "mcc")
"""The metrics of these whose values are pairs of right and chosen."""


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """What a task file measures in the standard form."""

    names: tuple[str, ...]
    """In `lm_eval.scoring.metrics`; with `process_results` as its values are called."""
    own: OwnScoring | None
    notes: tuple[str, ...]
    """What is left out, a line each."""

    def names_without_own(self, output_type: str) -> tuple[str, ...]:
        """Return the names for a form in which the task's own functions have no say."""
        return self.names if self.own is None else tuple(METRICS[output_type].values())


@dataclass(frozen=True, kw_only=True)
class _Entry:
    metric: str
    aggregation: str | Function | None

    @property
    def shown(self) -> str:
        if self.aggregation in (None, "mean", self.metric):
            return self.metric
        name = self.aggregation.name if isinstance(self.aggregation, Function) else self.aggregation
        return f"{self.metric} by {name}"

    @property
    def is_usual(self) -> bool:
        """Whether values become one number in the metric's own way."""
        usual = _OWN_AGGREGATION.get(self.metric, "mean")
        return self.aggregation in (None, usual)


def choose_metrics(file: TaskFile, output_type: str) -> Metrics:
    """Return the metrics that a task file asks for, and what is left out.

    Raises:
        ConfigurationError: an entry without a metric's name, a function that can't be used, or no supported metric.
    """
    process = _load_process(file)
    entries = list({entry.metric: entry for entry in _entries(file, output_type)}.values())  # the later one wins
    known = {entry.metric: entry.metric for entry in entries} if process is not None else METRICS[output_type]
    names: dict[str, None] = {}
    aggregations: dict[str, Aggregate] = {}
    left_out: dict[str, str] = {}
    has_known = False
    for entry in entries:
        name = known.get(entry.metric)
        if name is None or not (entry.is_usual or isinstance(entry.aggregation, Function)):
            left_out[entry.shown] = f"there are {', '.join(METRICS[output_type])}"
            continue
        if isinstance(entry.aggregation, Function):
            try:
                aggregations[name] = _load_aggregation(entry.aggregation, entry.metric, process)
            except ConfigurationError as error:  # the other metrics can be had without it
                left_out[entry.shown], has_known = str(error), True
                continue
        names[name] = None
    path = file.origins.get("metric_list", file.path)
    if not names and not has_known:
        reasons = "; ".join(f"{shown}: {reason}" for shown, reason in left_out.items())
        raise ConfigurationError(f"{path}: metric_list: no metric is supported for {output_type} ({reasons})")
    made = () if process is None else tuple(names)
    if process is not None:
        process = replace(process, made=tuple(name for name in made if name not in aggregations))
    if "acc" not in {known_as for known_as, name in known.items() if name in names}:
        names = {METRICS[output_type]["acc"]: None, **names}  # what every result states
    own = OwnScoring(process_results=process, made=made, aggregations=aggregations)
    return Metrics(
        names=tuple(names),
        own=own if process or aggregations else None,
        notes=tuple(f"{path}: metric_list: {shown} is left out: {reason}" for shown, reason in left_out.items()),
    )


_PAIRS, _NUMBERS = ((0, 0), (0, 1), (1, 1), (1, 0)), (0.0, 1.0, 1.0, 0.0)
"""Values for which a function of all documents is tried."""


def _load_aggregation(function: Function, metric: str, process: object) -> Aggregate:
    """Load a function, and see that the modules are there that it imports when it is called.

    Raises:
        ConfigurationError: it can't be used; names what is missing.
    """
    aggregate = function.load("metric_list")
    if process is None:
        try:
            aggregate(list(_PAIRS if metric in ("f1", "mcc") else _NUMBERS))
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"!function {function.reference}: {error}; {say_what_installs(str(error.name))}"
            ) from error
        except Exception:  # noqa: S110  (made-up values may be too few for it)
            pass
    return aggregate


def _entries(file: TaskFile, output_type: str) -> list[_Entry]:
    listed = file.keys.get("metric_list")
    if listed is None:
        return [_Entry(metric=metric, aggregation=None) for metric in _USUAL[output_type]]
    path = file.origins["metric_list"]
    is_own = file.keys.get("process_results") is not None
    return [_entry(entry, f"{path}: metric_list[{number}]", output_type, is_own) for number, entry in enumerate(listed)]


def _entry(entry: object, where: str, output_type: str, is_own: bool) -> _Entry:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("metric"), (str, Function)):
        raise ConfigurationError(f"{where} must have a metric: NAME, got {entry!r:.80}")
    metric, aggregation = entry["metric"], entry.get("aggregation")
    if metric in METRICS[output_type] and not is_own:
        for key in entry:
            refuse_unknown(where, key, _METRIC_KEYS)
    if not isinstance(aggregation, (str, Function, type(None))):
        raise ConfigurationError(f"{where}: aggregation must be a name or !function, got {aggregation!r:.80}")
    return _Entry(metric=metric.name if isinstance(metric, Function) else metric, aggregation=aggregation)


@dataclass(frozen=True, eq=False)
class _Process:
    """`process_results` of a task file."""

    function: Any
    reference: str
    path: Path
    made: tuple[str, ...] = ()
    """The metrics whose values become one number in the usual way."""

    def __call__(self, row: Row, scored: Sequence[tuple[float, bool]], source: str) -> Mapping[str, Any]:
        """Return the values of metrics.

        Raises:
            DataError: the function fails, or returns something else.
        """
        try:
            values = self.function(deepcopy(row), scored)  # it may change it, and the row is kept
        except Exception as error:  # whatever a user's function raises
            problem = say_cause(error)
        else:
            wrong = self._find_fault(values)
            if wrong is None:
                return values  # type: ignore[no-any-return]
            problem = wrong
        raise DataError(
            f"{source}: process_results of {self.path}: {problem}; correct !function {self.reference} or the row"
        )

    def _find_fault(self, values: object) -> str | None:
        """Return what is wrong with what the function returned, or None."""
        if not isinstance(values, Mapping):
            return f"it must return METRIC: VALUE pairs, got {values!r:.80}"
        for name in self.made:
            value = values.get(name, 0.0)
            if name in _OF_PAIRS:
                if name in values and not _is_pair(value):
                    return f"{name} must be a pair of the right label and the chosen one, got {value!r:.80}"
            elif not _is_number(value):
                return f"{name} must be a number, as its aggregation is no function, got {value!r:.80}"
        return None


def _is_pair(value: object) -> bool:
    if not isinstance(value, tuple | list) or len(value) != 2:
        return False
    try:
        hash(tuple(value))
    except TypeError:  # a label that can't be counted, such as a list
        return False
    return True


def _is_number(value: Any) -> bool:  # noqa: ANN401
    if isinstance(value, str | bytes):
        return False
    try:
        float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # an array's or a tensor's may be any of them
        return False
    return True


def _load_process(file: TaskFile) -> _Process | None:
    function = file.keys.get("process_results")
    if function is None:
        return None
    return _Process(function.load("process_results"), function.reference, file.origins["process_results"])
