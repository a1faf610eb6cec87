"""Who gets what: which unit a worker that is free takes, and for which model a new worker is started, and where.

Knows nothing of how workers are started or reached, so that any executor can go by it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from lm_eval.config.runtime import Execution
from lm_eval.results.failures import Failure
from lm_eval.scheduling.allocation import Workforce
from lm_eval.scheduling.hardware import Gpu, Machine
from lm_eval.scheduling.placement import Place, Room
from lm_eval.scheduling.queue import WorkQueue
from lm_eval.scheduling.units import ModelKey, Unit

GIVE_UP_S = 120.0
"""Time for which the loss of all machines that could run a model is borne."""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """A worker to be started, and the unit that it begins with."""

    unit: Unit
    key: ModelKey
    share: float
    """Number of GPUs; where there is none, 1 stands for a worker's CPU cores."""
    place: Place

    def execution(self, base: Execution, *, has_gpus: bool) -> Execution:
        """Return how the worker computes."""
        device = None if has_gpus else "cpu"
        return replace(base, device=device, spread=self.share > 1, gpu_share=min(1.0, self.share))


class Assigner:
    """Assigns the units of a queue to workers: whichever is ready first gets the next."""

    def __init__(self, queue: WorkQueue, workforce: Workforce) -> None:
        self._queue = queue
        self._workforce = workforce
        self._room = Room(_as_slots(workforce))
        self._nowhere: dict[ModelKey, float] = {}
        """Models that no machine could run any more, and since when."""

    def next_unit(self, key: ModelKey, share: float) -> Unit | None:
        """Take a unit that suits a worker of this model and share; None where there is none, so that it can end."""
        if not self._queue.num_units(key) or self._queue.next_share(key) not in (None, share):
            return None
        return self._queue.take(key)

    def next_worker(
        self, workers: Mapping[ModelKey, int], num_busy: int, find_alive: Callable[[], set[int]]
    ) -> Assignment | None:
        """Decide on a worker to start: for the most urgent model that there is room for; None where there is none.

        For a model that waits for GPUs and has no worker yet, a machine is kept free of others.

        Args:
            workers: how many workers each model has.
            num_busy: how many workers compute.
            find_alive: returns the machines, by their indices, that are there now.
        """
        if num_busy >= self._workforce.num_workers and not self._workforce.has_gpus:
            return None
        kept_free = set[int]()
        for key in self._queue.by_urgency(workers):
            share = self._queue.next_share(key) or self._workforce.shares.get(key, 1.0)
            suitable = self._suitable(key, share, find_alive())
            if not suitable:
                continue
            place = self._room.take(share, self._needs(key, share), among=suitable - kept_free)
            if place is None:
                if not workers.get(key):
                    kept_free.add(max(suitable - kept_free or suitable, key=self._room.num_free))
                continue
            unit = self._queue.take(key)
            if unit is not None:
                return Assignment(unit=unit, key=key, share=share, place=place)
            self._room.give_back(place)
        return None

    def give_back(self, place: Place) -> None:
        """Free the room of a worker that has ended."""
        self._room.give_back(place)

    def give_up_lost_models(self) -> None:
        """Fail what waits for models that no machine could run for a while."""
        for key, since in list(self._nowhere.items()):
            if time.monotonic() - since > GIVE_UP_S:
                message = f"no machine of the cluster that could run it has been there for {GIVE_UP_S:.0f} s"
                self._queue.give_up(key, Failure(message=message, kind="death"))
                del self._nowhere[key]

    def _suitable(self, key: ModelKey, share: float, alive: set[int]) -> set[int]:
        """Return the machines that are there and could run a model, were they free; note where there is none."""
        suitable = alive & set(self._room.suitable(share, self._needs(key, share)))
        if suitable:
            self._nowhere.pop(key, None)
        else:
            self._nowhere.setdefault(key, time.monotonic())
        return suitable

    def _needs(self, key: ModelKey, share: float) -> float:
        """Return what the GPUs of a share must hold, in GiB."""
        holds_anywhere = not self._workforce.has_gpus or self._workforce.is_forced or share > 1
        return 0.0 if holds_anywhere else self._workforce.needs_gib.get(key, 0.0)


def _as_slots(workforce: Workforce) -> Sequence[Machine]:
    """Return machines whose GPUs are room for a worker each; CPU cores, where there is no GPU, are counted as such."""
    if workforce.has_gpus:
        return workforce.machines
    slot = Gpu(name="CPU cores", memory_gib=None, capability=None)
    return [replace(m, gpus=(slot,) * (m.num_cpus // workforce.threads)) for m in workforce.machines]
