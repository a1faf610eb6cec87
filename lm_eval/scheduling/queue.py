"""The queue of a grid's work, and the executor within this process. Knows neither files nor Ray.

A unit of work is what shares a pass. An executor takes units from the queue, has workers compute them, and hands back
reports or deaths; the queue says what comes of them: an outcome, or another attempt. `executors.ray` has the
parallel executor.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lm_eval.results.failures import Failure
from lm_eval.results.identity import Run
from lm_eval.scheduling.units import Claim, ModelKey, Outcome, Report, Unit, claim_all

MAX_ATTEMPTS = 3
"""Of a run whose workers die: it is queued again twice."""
HELD_POLL_S = 2.0
"""Time between looks at what another driver holds."""


@dataclass(kw_only=True)
class WorkQueue:
    """The units that wait, by model; what failed, died or is held by another driver comes back here."""

    units: Sequence[Unit]
    claim: Callable[[Sequence[Run]], Claim] = claim_all
    """Asks for runs just before they are computed."""
    sizes: Mapping[ModelKey, float] = field(default_factory=dict)
    """Parameters of each model: the largest go first."""
    larger_share: Callable[[Unit], float | None] = lambda unit: None  # noqa: ARG005
    """What to try after a lack of memory; None gives the run up."""
    _pending: dict[ModelKey, deque[Unit]] = field(default_factory=dict, init=False)
    _held: list[Unit] = field(default_factory=list, init=False)
    _looked: float = field(default=0.0, init=False)
    _settled: deque[Outcome] = field(default_factory=deque, init=False)
    _loaded: set[ModelKey] = field(default_factory=set, init=False)
    """Models that some worker could load."""

    def __post_init__(self) -> None:
        self._put(self.units)

    def __bool__(self) -> bool:
        """Whether anything waits, here or for another driver."""
        return bool(self._pending or self._held)

    def __len__(self) -> int:
        return sum(map(len, self._pending.values())) + len(self._held)

    def _put(self, units: Iterable[Unit]) -> None:
        for unit in units:
            self._pending.setdefault(unit.key, deque()).append(unit)

    def settled(self) -> Iterator[Outcome]:
        """Hand out the outcomes that are due."""
        while self._settled:
            yield self._settled.popleft()

    def look_again(self) -> None:
        """Queue what other drivers held, if the last look at it was long enough ago."""
        if self._held and time.monotonic() - self._looked >= HELD_POLL_S:
            self._looked = time.monotonic()
            held, self._held = self._held, []
            self._put(held)

    def num_units(self, key: ModelKey) -> int:
        """Return how many units of a model wait."""
        return len(self._pending.get(key, ()))

    def next_share(self, key: ModelKey) -> float | None:
        """Return the GPUs that the next unit of a model asks for; None leaves it to the model's size."""
        return self._pending[key][0].share

    def by_urgency(self, workers: Mapping[ModelKey, int]) -> list[ModelKey]:
        """Return the models that wait, the one with the most work a worker first.

        Args:
            workers: how many workers each model has.
        """

        def work(key: ModelKey) -> float:
            return len(self._pending[key]) * self.sizes.get(key, 1.0) / (1 + workers.get(key, 0))

        return sorted(self._pending, key=work, reverse=True)

    def take(self, key: ModelKey) -> Unit | None:
        """Take the next unit of a model, without what another driver has or does; None where that leaves nothing."""
        while key in self._pending:
            unit = self._pending[key].popleft()
            if not self._pending[key]:
                del self._pending[key]
            claim = self._ask_for(unit)
            if claim.held:
                self._held.append(replace(unit, runs=claim.held))
                self._looked = time.monotonic()
            if claim.mine:
                return replace(unit, runs=claim.mine)
        return None

    def _ask_for(self, unit: Unit) -> Claim:
        """Claim a unit; what others have done of it is settled."""
        claim = self.claim(unit.runs)
        self._settled.extend(Outcome(config=run.config, elsewhere=True) for run in claim.done)
        self._settled.extend(Outcome(config=run.config, failure=failure) for run, failure in claim.failed)
        return claim

    def report(self, unit: Unit, report: Report) -> None:
        """Take a worker's report: outcomes, and what is to be tried again, with more memory or somewhere else."""
        failure = report.outcomes[0].failure
        if not report.could_load and unit.key in self._loaded and failure is not None:  # it is that worker's machine
            self.died(unit, failure)
            return
        short = [outcome for outcome in report.outcomes if outcome.failure and outcome.failure.kind == "memory"]
        share = self.larger_share(unit) if short else None
        if share is not None:
            again = {outcome.config for outcome in short}
            self._put([replace(unit, runs=tuple(run for run in unit.runs if run.config in again), share=share)])
            self._settled.extend(outcome for outcome in report.outcomes if outcome not in short)
        else:
            self._settled.extend(report.outcomes)
        if not report.could_load:
            self.give_up(unit.key, report.outcomes[0].failure)
        else:
            self._loaded.add(unit.key)

    def give_up(self, key: ModelKey, failure: Failure | None) -> None:
        """Fail what waits for a model that can't be had, without trying again."""
        for unit in self._pending.pop(key, ()):
            claim = self._ask_for(unit)
            self._settled.extend(Outcome(config=run.config, failure=failure) for run in claim.mine)
            if claim.held:
                self._held.append(replace(unit, runs=claim.held))

    def died(self, unit: Unit, failure: Failure) -> None:
        """Take the death of a worker: its unit is queued again, at last each run on its own, or given up."""
        deaths = unit.deaths + 1
        if deaths >= MAX_ATTEMPTS:
            self._settled.extend(Outcome(config=run.config, failure=failure) for run in unit.runs)
        elif deaths == MAX_ATTEMPTS - 1:  # the one to blame must take no other with it
            self._put(replace(unit, runs=(run,), deaths=deaths) for run in unit.runs)
        else:
            self._put([replace(unit, deaths=deaths)])
