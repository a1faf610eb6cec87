"""How long work units take, from the times recorded in past results, and how long a grid still takes."""

import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from lm_eval.config.run_config import RunConfig
from lm_eval.results.result_file import StoredResult
from lm_eval.scheduling.units import ModelKey, UnitReport, WorkUnit
from lm_eval.tasks.documents import count_documents

_Work = tuple[object, ...]


@dataclass(frozen=True)
class _Cost:
    """Seconds of a pass."""

    encode: float
    """Per document, shared by all configurations."""
    score: float
    """Per document and configuration."""
    load: float
    parameters: float | None

    def scaled(self, parameters: float | None) -> "_Cost | None":
        """Return the cost for a model of another size, in proportion to its parameters."""
        if not parameters or not self.parameters:
            return None
        factor = parameters / self.parameters
        return _Cost(self.encode * factor, self.score * factor, self.load * factor, parameters)


def _work(config: RunConfig) -> _Work:
    """Return what decides, besides the model, how long a document takes."""
    return config.task, config.encoding_scheme, config.num_fewshot


class Timings:
    """The times of past results, by model and work."""

    def __init__(self, results: Iterable[StoredResult], *, on_gpu: bool) -> None:
        self._exact: dict[tuple[str, _Work], list[_Cost]] = defaultdict(list)
        self._any_model: dict[_Work, list[_Cost]] = defaultdict(list)
        self.num_results = 0
        for stored in results:
            cost = _read(stored, on_gpu=on_gpu)
            if cost is not None:
                work = _work(stored.config)
                self._exact[stored.config.model_name, work].append(cost)
                self._any_model[work].append(cost)
                self.num_results += 1

    def seconds(self, unit: WorkUnit, parameters: float | None) -> float | None:
        """Estimate the seconds of a work unit on one worker; None without a past result of the same work."""
        cost = self._cost(unit, parameters)
        if cost is None:
            return None
        run = unit.runs[0]
        documents = unit.num_left or count_documents(run.task.dataset, run.config.data_dir, run.config.limit)
        return documents * (cost.encode + cost.score * len(unit.runs)) + cost.load

    def seconds_a_document(self, unit: WorkUnit, parameters: float | None) -> float | None:
        """Estimate the seconds of a document of a work unit; None without a past result of the same work."""
        cost = self._cost(unit, parameters)
        return None if cost is None else cost.encode + cost.score * len(unit.runs)

    def _cost(self, unit: WorkUnit, parameters: float | None) -> _Cost | None:
        first = unit.runs[0].config
        costs = self._exact.get((first.model_name, _work(first)))
        if not costs:
            scaled = (cost.scaled(parameters) for cost in self._any_model.get(_work(first), ()))
            costs = [cost for cost in scaled if cost is not None]
        if not costs:
            return None
        encode = statistics.median(cost.encode for cost in costs)
        score = statistics.median(cost.score for cost in costs)
        return _Cost(encode, score, statistics.median(cost.load for cost in costs), parameters)


def _read(stored: StoredResult, *, on_gpu: bool) -> _Cost | None:
    run = stored.record
    timing = run.of_pass
    if timing is None or run.load_s is None or not run.num_documents:
        return None
    if str(run.device).startswith("cuda") is not on_gpu:
        return None
    encode = timing.phases_s.encode / run.num_documents
    score = timing.phases_s.score / run.num_documents / timing.num_configurations
    return _Cost(encode, score, run.load_s, run.parameters)


_Extent = tuple[int, bool]
"""How many runs a unit has, and whether the number of its documents is known."""


class _Took(NamedTuple):
    """What the slowest of some units took."""

    seconds: float
    seconds_a_document: float

    def or_slower(self, other: "_Took") -> "_Took":
        """Return the longer times of two."""
        return _Took(*map(max, self, other))


class Pace:
    """What workers of this grid have taken so far, by model: to start, and for each unit."""

    def __init__(self) -> None:
        self._start_s: dict[ModelKey, list[float]] = defaultdict(list)
        self._slowest: dict[ModelKey, dict[_Work, dict[_Extent, _Took]]] = defaultdict(lambda: defaultdict(dict))

    def note(self, unit: WorkUnit, report: UnitReport, start_s: float | None) -> None:
        """Take what a worker reports; a failure may have ended its unit early, so that it says nothing of the time.

        Args:
            unit: what it has computed.
            report: its report.
            start_s: the seconds from its start to this report, without the unit's own; None if it isn't its first.
        """
        if any(outcome.failure is not None for outcome in report.outcomes):
            return
        alike, extent = self._slowest[unit.key][_work(unit.runs[0].config)], (len(unit.runs), bool(unit.num_left))
        took = _Took(report.seconds, report.seconds / (unit.num_left or 1))
        alike[extent] = took.or_slower(alike.get(extent, took))
        if start_s is not None:
            self._start_s[unit.key].append(start_s)

    def is_worth_a_start(self, waiting: Sequence[WorkUnit], num_workers: int) -> bool:
        """Whether a worker that starts now begins before the others have taken all that waits for their model.

        Where nothing was measured yet it is taken to.

        Args:
            waiting: the units of a model that wait.
            num_workers: workers that the model has.
        """
        key = waiting[0].key
        if not self._start_s[key]:
            return True
        limit_s, expected_s = num_workers * statistics.median(self._start_s[key]), 0.0
        for unit in waiting:
            expected_s += self._expected_s(unit)
            if expected_s > limit_s:
                return True
        return False

    def _expected_s(self, unit: WorkUnit) -> float:
        """Return the longest time that its like would have taken: a worker too many costs less than one too few."""
        measured = self._slowest[unit.key]
        alike = [measured[work]] if (work := _work(unit.runs[0].config)) in measured else list(measured.values())
        return max(
            max(1.0, len(unit.runs) / num_runs)
            * (took.seconds_a_document * unit.num_left if has_documents and unit.num_left else took.seconds)
            for extents in alike
            for (num_runs, has_documents), took in extents.items()
        )


@dataclass
class RemainingTime:
    """The remaining time of a grid: estimated from past timings at first, from its own pace once runs have ended."""

    units: Sequence[WorkUnit]
    timings: Timings
    sizes: Mapping[ModelKey, float]
    num_workers: int
    num_unknown: int = 0
    """Units without an estimate."""
    _total: float = 0.0
    _done: float = 0.0
    _weights: dict[RunConfig, float] = field(default_factory=dict)
    """The seconds that each run's share of its pass takes."""
    _parts: dict[RunConfig, float] = field(default_factory=dict)
    """The part of each run that has been counted as done."""
    _began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        known = [self.timings.seconds(unit, self.sizes.get(unit.key)) for unit in self.units]
        stated = [seconds for seconds in known if seconds is not None]
        usual = statistics.mean(stated) if stated else 1.0
        self.num_unknown = known.count(None)
        for unit, seconds in zip(self.units, known, strict=True):
            weight = usual if seconds is None else seconds
            self._total += weight
            self._weights.update(dict.fromkeys((run.config for run in unit.runs), weight / len(unit.runs)))

    def planned_s(self) -> float | None:
        """Estimate the seconds of the whole grid; None without past results of the same work."""
        if not self.units or self.num_unknown == len(self.units):
            return None
        return self._total / max(1, min(self.num_workers, sum(unit.size for unit in self.units)))

    def seconds_a_document(self, unit: WorkUnit) -> float | None:
        """Estimate the seconds of a document of a unit by past results; None without one of the same work."""
        return self.timings.seconds_a_document(unit, self.sizes.get(unit.key))

    def skip(self, config: RunConfig, part: float) -> None:
        """Leave out the part of a run that was done before this grid began."""
        self._total -= self._weights.get(config, 0.0) * part
        self._parts[config] = part

    def advance(self, config: RunConfig, part: float) -> None:
        """Count a part of a run as done, from its first document on."""
        self._done += self._weights.get(config, 0.0) * max(0.0, part - self._parts.get(config, 0.0))
        self._parts[config] = max(part, self._parts.get(config, 0.0))

    def finish(self, config: RunConfig) -> None:
        """Count a run as ended."""
        self.advance(config, 1.0)

    def remaining_s(self) -> float | None:
        """Estimate the seconds to the end; None without past results and before a run has ended."""
        elapsed, left = time.monotonic() - self._began, max(0.0, self._total - self._done)
        if self._done > 0:
            return elapsed * left / self._done
        planned = self.planned_s()
        return None if planned is None else max(0.0, planned - elapsed)
