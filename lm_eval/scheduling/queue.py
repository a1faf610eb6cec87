"""The work queue of a grid: which units wait, which are retried, which have failed. Knows neither files nor Ray.

A work unit is the runs that share a pass; of a long pass, a piece of it is handed out at a time. An executor takes
units from the queue, has workers compute them, and hands back reports or deaths of workers; the queue turns each into
outcomes or another attempt.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lm_eval.config.run_config import RunConfig
from lm_eval.results.failures import Failure
from lm_eval.results.identity import Run
from lm_eval.scheduling.piece_sizes import PieceSizes
from lm_eval.scheduling.units import (
    Claim,
    ModelKey,
    Outcome,
    PieceClaim,
    PieceDone,
    Settled,
    UnitReport,
    WorkUnit,
    claim_all,
    claim_all_blocks,
)

MAX_ATTEMPTS = 3
"""Attempts at a run whose workers die: it is queued again twice."""
HELD_POLL_S = 2.0
"""Time between checks of the runs that another driver holds."""


@dataclass(kw_only=True)
class WorkQueue:
    """The waiting work units, by model, including those to retry and those that another driver holds."""

    units: Sequence[WorkUnit]
    claim: Callable[[Sequence[Run]], Claim] = claim_all
    """Claims runs just before they are computed."""
    claim_piece: Callable[[WorkUnit, int], PieceClaim] = claim_all_blocks
    """Claims so many of the blocks of a long pass just before they are computed."""
    piece_sizes: PieceSizes = field(default_factory=PieceSizes)
    sizes: Mapping[ModelKey, float] = field(default_factory=dict)
    """Parameters of each model: the largest go first."""
    larger_share: Callable[[WorkUnit], float | None] = lambda unit: None  # noqa: ARG005
    """Returns the GPUs to try after a unit ran out of memory; None makes it fail."""
    _pending: dict[ModelKey, deque[WorkUnit]] = field(default_factory=dict, init=False)
    _held: list[WorkUnit] = field(default_factory=list, init=False)
    _checked_held: float = field(default=0.0, init=False)
    _settled: deque[Settled] = field(default_factory=deque, init=False)
    _ended: set[RunConfig] = field(default_factory=set, init=False)
    """Runs that have an outcome: two pieces of one may fail."""
    _loaded: set[ModelKey] = field(default_factory=set, init=False)
    """Models that a worker has loaded successfully."""
    _is_draining: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._put(self.units)

    def __bool__(self) -> bool:
        """Whether any unit waits, for a worker here or for another driver."""
        return bool(self._pending or self._held)

    def __len__(self) -> int:
        return sum(map(len, self._pending.values())) + len(self._held)

    @property
    def only_waits(self) -> bool:
        """Whether other drivers hold all that is left."""
        return bool(self._held) and not self._pending

    def drain(self) -> None:
        """Hand out nothing more; what workers compute now is taken when they report it."""
        self._is_draining = True
        self._pending.clear()
        self._held.clear()

    def _put(self, units: Iterable[WorkUnit]) -> None:
        for unit in () if self._is_draining else units:
            self._pending.setdefault(unit.key, deque()).append(unit)

    def _put_first(self, unit: WorkUnit) -> None:
        """Let what is left of a long pass wait in front, so that it is finished before the next is begun."""
        self._pending.setdefault(unit.key, deque()).appendleft(unit)

    def _settle(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.config not in self._ended:
                self._ended.add(outcome.config)
                self._settled.append(outcome)

    def add(self, units: Iterable[WorkUnit]) -> None:
        """Let units wait that are to be computed again."""
        self._put(units)

    def forget(self, config: RunConfig) -> None:
        """Hand out nothing more of a run: it has an outcome."""
        self._ended.add(config)

    def settled(self) -> Iterator[Settled]:
        """Yield the outcomes that have been decided since the last call, and the pieces that were computed."""
        while self._settled:
            yield self._settled.popleft()

    def look_again(self) -> None:
        """Queue the units that other drivers held, if the last check was `HELD_POLL_S` ago."""
        if self._held and time.monotonic() - self._checked_held >= HELD_POLL_S:
            self._checked_held = time.monotonic()
            held, self._held = self._held, []
            self._put(held)

    def num_units(self, key: ModelKey) -> int:
        """Return how many units of a model wait."""
        return len(self._pending.get(key, ()))

    def waiting(self, key: ModelKey) -> Sequence[WorkUnit]:
        """Return the units of a model that wait for a worker here."""
        return tuple(self._pending.get(key, ()))

    def next_share(self, key: ModelKey) -> float | None:
        """Return the GPUs that the next unit of a model asks for; None leaves it to the model's size."""
        return self._pending[key][0].share

    def by_urgency(self, workers: Mapping[ModelKey, int]) -> list[ModelKey]:
        """Return the models with waiting units, the one with the most work per worker first.

        Args:
            workers: how many workers each model has.
        """

        def work(key: ModelKey) -> float:
            return sum(unit.size for unit in self._pending[key]) * self.sizes.get(key, 1.0) / (1 + workers.get(key, 0))

        return sorted(self._pending, key=work, reverse=True)

    def take(self, key: ModelKey) -> WorkUnit | None:
        """Take the next unit of a model, without runs that another driver has or has done; None if nothing is left."""
        while key in self._pending:
            unit = self._pending[key].popleft()
            if not self._pending[key]:
                del self._pending[key]
            taken = self._take_piece(unit) if unit.blocks else self._take_whole(unit)
            if taken is not None:
                return taken
        return None

    def _take_whole(self, unit: WorkUnit) -> WorkUnit | None:
        claim = self._claim(unit)
        if claim.held:
            self._hold(replace(unit, runs=claim.held))
        return replace(unit, runs=claim.mine) if claim.mine else None

    def _take_piece(self, unit: WorkUnit) -> WorkUnit | None:
        """Take some blocks of a long pass; what is left of it waits again."""
        unit = self._without_ended(unit)
        if not unit.runs:
            return None
        claim = self.claim_piece(unit, self.piece_sizes.choose(unit))
        self._settle(Outcome(config=run.config, elsewhere=True) for run in claim.done)
        self._settle(Outcome(config=run.config, failure=failure) for run, failure in claim.failed)
        unit = self._without_ended(unit)
        if claim.held:
            self._hold(replace(unit, blocks=claim.held))
        if claim.rest:
            self._put_first(replace(unit, blocks=claim.rest))
        return replace(unit, runs=claim.runs, blocks=claim.blocks) if claim.blocks else None

    def _without_ended(self, unit: WorkUnit) -> WorkUnit:
        return replace(unit, runs=tuple(run for run in unit.runs if run.config not in self._ended))

    def _hold(self, unit: WorkUnit) -> None:
        if unit.runs and not self._is_draining:
            self._held.append(unit)
            self._checked_held = time.monotonic()

    def _claim(self, unit: WorkUnit) -> Claim:
        """Claim the runs of a unit; those that another driver has done or failed become outcomes."""
        claim = self.claim(unit.runs)
        self._settle(Outcome(config=run.config, elsewhere=True) for run in claim.done)
        self._settle(Outcome(config=run.config, failure=failure) for run, failure in claim.failed)
        return claim

    def report(self, unit: WorkUnit, report: UnitReport) -> None:
        """Take a worker's report: keep its outcomes, and queue again what lacked memory or a working machine."""
        failure = next((outcome.failure for outcome in report.outcomes if outcome.failure), None)
        if (
            not report.could_load and unit.key in self._loaded and failure is not None
        ):  # the cause is that worker's machine
            self.died(unit, failure)
            return
        short = [outcome for outcome in report.outcomes if outcome.failure and outcome.failure.kind == "memory"]
        share = self.larger_share(unit) if short else None
        if unit.blocks:
            self._settled.append(PieceDone(unit=unit, parts=report.parts))
            self.piece_sizes.note(unit, report.seconds if report.parts else 0.0)
        if share is not None:
            self._raise_share(unit, share)
            again = {outcome.config for outcome in short}
            self._put([replace(unit, runs=tuple(run for run in unit.runs if run.config in again), share=share)])
            self._settle(outcome for outcome in report.outcomes if outcome not in short)
        else:
            self._settle(report.outcomes)
        if not report.could_load:
            self.give_up(unit.key, failure)
        else:
            self._loaded.add(unit.key)

    def _raise_share(self, unit: WorkUnit, share: float) -> None:
        """Let the rest of a long pass, of which a piece lacked memory, begin with the GPUs that this is tried with."""
        key = unit.runs[0].pass_key
        if unit.blocks and unit.key in self._pending:
            waiting = self._pending[unit.key]
            self._pending[unit.key] = deque(
                replace(one, share=share) if one.runs[0].pass_key == key else one for one in waiting
            )

    def give_up(self, key: ModelKey, failure: Failure | None) -> None:
        """Fail all waiting runs of a model that cannot be loaded, without trying again."""
        for unit in self._pending.pop(key, ()):
            claim = Claim(mine=unit.runs) if unit.blocks else self._claim(unit)
            self._settle(Outcome(config=run.config, failure=failure) for run in claim.mine)
            if claim.held:
                self._hold(replace(unit, runs=claim.held))

    def died(self, unit: WorkUnit, failure: Failure) -> None:
        """Handle the death of a worker: queue its unit again, in the last attempt each run separately, or fail it."""
        deaths = unit.deaths + 1
        if deaths >= MAX_ATTEMPTS:
            self._settle(Outcome(config=run.config, failure=failure) for run in unit.runs)
            if unit.blocks:
                self._settled.append(PieceDone(unit=unit, parts={}))
        elif deaths == MAX_ATTEMPTS - 1:  # the run that is the cause must not fail the rest
            self._put(replace(unit, runs=(run,), deaths=deaths) for run in unit.runs)
        else:
            self._put([replace(unit, deaths=deaths)])
