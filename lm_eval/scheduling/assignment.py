"""Assigning work units to workers: which unit an idle worker gets, for which model a new worker starts, and where.

Knows nothing of how workers are started or reached, so that any executor can use it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from lm_eval.config.runtime import Execution
from lm_eval.results.failures import Failure
from lm_eval.scheduling.allocation import Workforce
from lm_eval.scheduling.hardware import Gpu, Machine
from lm_eval.scheduling.placement import FreeGpus, Placement
from lm_eval.scheduling.queue import WorkQueue
from lm_eval.scheduling.timing import Pace
from lm_eval.scheduling.units import ModelKey, WorkUnit

GIVE_UP_S = 120.0
"""Time without any machine that could run a model, after which its runs fail."""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """A worker to start, and its first work unit."""

    unit: WorkUnit
    key: ModelKey
    share: float
    """Number of GPUs; without GPUs, 1 stands for a worker's CPU cores."""
    placement: Placement

    def execution(self, base: Execution, *, has_gpus: bool) -> Execution:
        """Return the worker's execution settings."""
        device = None if has_gpus else "cpu"
        return replace(base, device=device, spread=self.share > 1, gpu_share=min(1.0, self.share))


class Assigner:
    """Assigns the work units of a queue to workers; the first worker that is ready gets the next one."""

    def __init__(self, queue: WorkQueue, workforce: Workforce) -> None:
        self._queue = queue
        self._workforce = workforce
        self._free_gpus = FreeGpus(_as_slots(workforce))
        self.pace = Pace()
        """What this grid's workers have taken so far; who collects their reports tells it."""
        self._unplaceable_since: dict[ModelKey, float] = {}
        """Since when no machine could run a model, by model."""

    def next_unit(self, key: ModelKey, share: float) -> WorkUnit | None:
        """Take a work unit for a worker of this model and share; None if none is left, so that the worker can end."""
        if not self._queue.num_units(key) or self._queue.next_share(key) not in (None, share):
            return None
        return self._queue.take(key)

    def unit_of_another_model(self, workers: Mapping[ModelKey, int]) -> WorkUnit | None:
        """Take a work unit for a worker whose own model has none left; None if it should end.

        Where there are GPUs, it always ends: nothing else frees all of a GPU's memory. Without, a new process would
        only import again, in seconds, what this one has.

        Args:
            workers: how many workers each model has.
        """
        keys = [] if self._workforce.has_gpus else self._queue.by_urgency(workers)
        return next((unit for key in keys if (unit := self._queue.take(key)) is not None), None)

    def next_worker(
        self, workers: Mapping[ModelKey, int], num_busy: int, find_alive: Callable[[], set[int]]
    ) -> Assignment | None:
        """Choose a worker to start: for the most urgent model that fits on free GPUs; None where none fits.

        For a model that waits for GPUs and has no worker yet, one machine is kept free of other models. One that has
        workers gets a further one only where it would begin before those have taken all that waits.

        Args:
            workers: how many workers each model has.
            num_busy: how many workers are computing.
            find_alive: returns the indices of the machines on which workers can be started now.
        """
        if num_busy >= self._workforce.num_workers and not self._workforce.has_gpus:
            return None
        kept_free = set[int]()
        for key in self._queue.by_urgency(workers):
            if not self._needs_worker(key, workers.get(key, 0)):
                continue
            share = self._queue.next_share(key) or self._workforce.shares.get(key, 1.0)
            suitable = self._suitable(key, share, find_alive(), has_workers=bool(workers.get(key)))
            if not suitable:
                continue
            placement = self._free_gpus.take(share, self._needs(key, share), among=suitable - kept_free)
            if placement is None:
                if not workers.get(key):
                    kept_free.add(max(suitable - kept_free or suitable, key=self._free_gpus.num_free))
                continue
            unit = self._queue.take(key)
            if unit is not None:
                return Assignment(unit=unit, key=key, share=share, placement=placement)
            self._free_gpus.give_back(placement)
        return None

    def _needs_worker(self, key: ModelKey, num_workers: int) -> bool:
        """Whether a model should get a worker beside those it has."""
        if not num_workers or self._queue.next_share(key) is not None:  # a unit that wants more GPUs than theirs
            return True
        return self.pace.is_worth_a_start(self._queue.waiting(key), num_workers)

    def give_back(self, placement: Placement) -> None:
        """Free the GPUs of a worker that has ended."""
        self._free_gpus.give_back(placement)

    def give_up_lost_models(self) -> None:
        """Fail the runs of models that no machine could run for `GIVE_UP_S`."""
        for key, since in list(self._unplaceable_since.items()):
            if time.monotonic() - since > GIVE_UP_S:
                message = f"for {GIVE_UP_S:.0f} s no machine has been up on which a worker for it could be started"
                self._queue.give_up(key, Failure(message=message, kind="death"))
                del self._unplaceable_since[key]

    def _suitable(self, key: ModelKey, share: float, alive: set[int], *, has_workers: bool) -> set[int]:
        """Return the usable machines that could run a model if they were free; note since when nothing can run it."""
        suitable = alive & set(self._free_gpus.suitable(share, self._needs(key, share)))
        if suitable or has_workers:
            self._unplaceable_since.pop(key, None)
        else:
            self._unplaceable_since.setdefault(key, time.monotonic())
        return suitable

    def _needs(self, key: ModelKey, share: float) -> float:
        """Return the memory that the GPUs of a share must have, in GiB."""
        fits_anywhere = not self._workforce.has_gpus or self._workforce.is_forced or share > 1
        return 0.0 if fits_anywhere else self._workforce.needs_gib.get(key, 0.0)


def _as_slots(workforce: Workforce) -> Sequence[Machine]:
    """Return machines with a slot (a GPU) for each worker; without GPUs, `threads` CPU cores count as one GPU."""
    if workforce.has_gpus:
        return workforce.machines
    slot = Gpu(name="CPU cores", memory_gib=None, capability=None)
    return [replace(m, gpus=(slot,) * (m.num_cpus // workforce.threads)) for m in workforce.machines]
