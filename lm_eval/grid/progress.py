"""How far a grid is, by what its driver tells: passes that have ended or run, documents of passes in pieces.

Knows nothing of terminals; `lm_eval.grid.display` draws it.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lm_eval.config.run_config import RunConfig, describe
from lm_eval.grid.estimate import Estimate
from lm_eval.scheduling.heartbeat import Progress
from lm_eval.scheduling.units import WorkUnit

_ALMOST = 0.95
"""The most that counts as done of a pass that runs, however long it has."""


@dataclass(frozen=True, kw_only=True)
class Documents:
    """How many documents have been scored, of all that the runs have."""

    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class RunningPass:
    """What a worker computes."""

    worker: str
    config: RunConfig | None
    """The first of its runs; None where it isn't of this grid."""
    num_runs: int
    seconds: float
    """Since it began."""


@dataclass
class GridProgress:
    """Follows a grid's passes; estimates how much of them is done, and how long the rest takes."""

    units: Sequence[WorkUnit]
    seconds: Sequence[float | None]
    """How long each pass should take, by past results; None where none is like it."""
    _progress: Progress = field(default_factory=lambda: Progress(planned=0, skipped=0), init=False)
    _running: dict[str, tuple[int, float]] = field(default_factory=dict, init=False)
    """Which pass each worker computes, and since when."""
    _took: dict[int, float] = field(default_factory=dict, init=False)
    """Seconds of the passes that have ended."""

    def __post_init__(self) -> None:
        known = [seconds for seconds in self.seconds if seconds]
        usual = sum(known) / len(known) if known else 1.0
        self._weights = [seconds or usual for seconds in self.seconds]
        self._is_estimated = bool(known)
        self._has_pieces = any(unit.blocks for unit in self.units)
        self._units_by_text = {
            describe(run.config): index for index, unit in enumerate(self.units) for run in unit.runs
        }

    @classmethod
    def of(cls, estimate: Estimate) -> "GridProgress":
        """Return the progress of a plan that is about to begin."""
        sizes, timings, units = estimate.workforce.sizes, estimate.timings, estimate.remaining.units
        return cls(units, [timings.seconds(unit, sizes.get(unit.key)) for unit in units])

    def update(self, progress: Progress, now: float | None = None) -> None:
        """Take what the driver tells.

        Args:
            progress: what has ended and what runs.
            now: the time; None takes the clock's.
        """
        now = time.time() if now is None else now
        told = replace(progress, running=dict(progress.running))  # a terminal is drawn from another thread
        known = {worker: self._units_by_text.get(unit["first"]) for worker, unit in told.running.items()}
        running = {
            worker: (index, told.running[worker]["since"]) for worker, index in known.items() if index is not None
        }
        ended = {index: max(0.0, now - since) for index, since in self._running.values()}
        again = {index for index, _ in running.values()}  # or still
        self._took = {index: took for index, took in {**self._took, **ended}.items() if index not in again}
        self._progress, self._running = told, running

    @property
    def runs(self) -> Progress:
        """The counts of runs."""
        return self._progress

    @property
    def num_ended(self) -> int:
        """Passes that have ended."""
        return len(self.units) if self._is_over else len(self._took)

    @property
    def documents(self) -> Documents | None:
        """Those that the driver has counted; None where no pass is computed in pieces.

        Such a pass is begun again and again, by several workers, so that its time says nothing of what is left.
        """
        told = self._progress
        return Documents(done=told.documents_done, total=told.documents) if self._has_pieces else None

    @property
    def _is_over(self) -> bool:
        return self._progress.planned > 0 and self._progress.left == 0

    def running(self, now: float) -> list[RunningPass]:
        """Return what each worker computes, the one that has run longest first."""
        found = [self._describe(worker, unit, now) for worker, unit in self._progress.running.items()]
        return sorted(found, key=lambda one: -one.seconds)

    def _describe(self, worker: str, unit: Mapping[str, object], now: float) -> RunningPass:
        index = self._units_by_text.get(str(unit["first"]))
        return RunningPass(
            worker=worker,
            config=None if index is None else self.units[index].runs[0].config,
            num_runs=int(str(unit["num_runs"])),
            seconds=max(0.0, now - float(str(unit["since"]))),
        )

    def share(self, now: float) -> float | None:
        """Return the share of the work that is done: of the documents, or of the passes by their time.

        None where nothing has ended and no past result tells how long it takes.
        """
        if self._is_over:
            return 1.0
        if (documents := self.documents) is not None:
            return min(1.0, documents.done / max(1, documents.total))
        pace = self._pace
        if pace is None:
            return None
        done = sum(self._weights[index] for index in self._took)
        for index, since in self._running.values():
            done += self._weights[index] * min(_ALMOST, max(0.0, now - since) / (pace * self._weights[index]))
        return done / sum(self._weights)

    def left_s(self, now: float) -> float | None:
        """Estimate the seconds to the end; None where that isn't known, or what runs takes longer than expected."""
        if self._has_pieces:
            return None if self._is_over else self._progress.remaining_s or None
        pace, left = self._pace, 0.0
        if pace is None or self._is_over:
            return None
        overdue = 0.0
        for index, since in self._running.values():
            expected = pace * self._weights[index] - (now - since)
            overdue, left = max(overdue, expected), left + max(0.0, expected)
        begun = {*self._took, *(index for index, _ in self._running.values())}
        left += sum(pace * weight for index, weight in enumerate(self._weights) if index not in begun)
        seconds = max(overdue, left / max(1, len(self._running)))
        return seconds if seconds > 0 else None

    @property
    def _pace(self) -> float | None:
        """Seconds that a pass takes for each that it was expected to; None where nothing is known yet."""
        if took := sum(self._took.values()):
            return took / sum(self._weights[index] for index in self._took)
        return 1.0 if self._is_estimated else None
