"""Runs in parallel on a Ray cluster: a worker for every few GPUs, or for a few CPU cores where there is no GPU.

The driver hands out one unit at a time and waits for whichever worker is ready first. A worker keeps its model; it is
replaced when no unit of its model is left, since only the end of a process frees all of a GPU's memory. Files are
written by the driver alone, so the machines need not share a disk; models and data in folders must be on each of them.
"""

import contextlib
import itertools
import platform
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lm_eval.cluster import connect, find_missing, probe_machines
from lm_eval.errors import ConfigurationError
from lm_eval.execution import Execution
from lm_eval.failures import Failure
from lm_eval.guard import children_guarded
from lm_eval.hardware import Gpu, Machine, local_machine
from lm_eval.placement import Place, Room
from lm_eval.ray_worker import RayWorker, read_tail
from lm_eval.scheduler import Ended, Event, Started, Unit, Waiting, WorkQueue
from lm_eval.worker import ModelKey
from lm_eval.workforce import Workforce

_TICK_S = 1.0
"""Time after which the driver looks up though no worker is ready."""
_GIVE_UP_S = 120.0
"""Time for which the loss of all suitable machines is borne."""
_ANSWER_S = 5.0
"""Time for a dead worker's machine to show its log."""


@dataclass(kw_only=True)
class RayExecutor:
    """Runs units of work on a Ray cluster."""

    cluster: str = "local"
    """`local` starts a cluster of this machine, `auto` joins the one that runs here, an address joins another."""
    batch_size: int | None = None
    """Rows a batch; None leaves it to a budget of tokens."""
    log_samples: bool = False
    """Whether the scores of every document are stored."""
    _nodes: list[str] = field(default_factory=list, init=False)

    def machines(self) -> list[Machine]:
        """Return the machines of the cluster.

        Raises:
            ConfigurationError: no cluster can be joined.
        """
        if self.cluster == "local":  # ray is started once there is something to run
            return [local_machine()]
        self._connect()
        self._nodes, machines = probe_machines()
        return machines

    def check_paths(self, paths: Sequence[str]) -> None:
        """See that every machine of the cluster has the folders of models and data.

        Raises:
            ConfigurationError: some are missing somewhere.
        """
        if self.cluster != "local" and paths:
            missing = find_missing(self._nodes, paths)
            if missing:
                told = "; ".join(f"{host} lacks {', '.join(lacking)}" for host, lacking in missing.items())
                raise ConfigurationError(
                    f"--cluster {self.cluster}: models and data in folders must be on every machine, with the same "
                    f"content at the same place: {told}; copy them there, or use names of the hub"
                )

    def _execution(self) -> Execution:
        return Execution(batch_size=self.batch_size, log_samples=self.log_samples)

    def _connect(self) -> None:
        if not ray.is_initialized():
            connect(self.cluster)

    def close(self) -> None:
        """Leave the cluster, and stop one that was started for this."""
        ray.shutdown()

    def run(self, queue: WorkQueue, workforce: Workforce) -> Iterator[Event]:
        """Yield the outcome of every configuration, and what workers do meanwhile."""
        try:
            self._connect()
            if not self._nodes:
                self._nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
            with children_guarded() if self.cluster == "local" else contextlib.nullcontext():
                yield from _Dispatch(queue, workforce, self._nodes, self._execution()).run()
        finally:
            self.close()


@dataclass(eq=False)
class _Slot:
    """A worker, what it has loaded, and the room that it takes."""

    name: str
    actor: Any
    key: ModelKey
    share: float | None
    place: Place
    log_place: Any
    """Promise of where it writes its log."""
    log_end: int = 0
    """Bytes of it that are known."""


class _Dispatch:
    """Hands the units of a queue to workers."""

    def __init__(self, queue: WorkQueue, workforce: Workforce, nodes: Sequence[str], execution: Execution) -> None:
        self._queue = queue
        self._workforce = workforce
        self._nodes = nodes
        self._execution = execution
        self._room = Room(_as_slots(workforce))
        self._idle: list[_Slot] = []
        self._busy: dict[Any, tuple[_Slot, Unit]] = {}
        self._numbers = itertools.count(1)
        self._idle_since: float | None = None

    def run(self) -> Iterator[Event]:
        """Yield what happens until the queue is empty, and end all workers then, or when that is broken off."""
        try:
            yield from self._run()
        finally:
            for slot in [*self._idle, *(slot for slot, _ in self._busy.values())]:
                self._release(slot)

    def _run(self) -> Iterator[Event]:
        while self._queue or self._busy:
            self._queue.look_again()
            yield from self._hand_out()
            yield from self._queue.settled()
            if not self._busy:
                yield from self._wait_idly()
                continue
            self._idle_since = None
            ready, _ = ray.wait(list(self._busy), num_returns=1, timeout=_TICK_S)
            if not ready:
                yield Waiting()
            for promise in ready:
                yield from self._collect(promise)
                yield from self._queue.settled()

    def _wait_idly(self) -> Iterator[Event]:
        """Wait for another driver to finish or lose what it holds; or for a machine, but not for ever."""
        waiting = self._queue.by_urgency({})
        if not waiting:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = time.monotonic()
        elif time.monotonic() - self._idle_since > _GIVE_UP_S:
            for key in waiting:
                message = f"no machine of the cluster that could run it has been there for {_GIVE_UP_S:.0f} s"
                self._queue.give_up(key, Failure(message=message, kind="death"))
            yield from self._queue.settled()
        if self._queue:
            time.sleep(_TICK_S)
            yield Waiting()

    def _workers(self) -> Counter[ModelKey]:
        return Counter(slot.key for slot in [*self._idle, *(slot for slot, _ in self._busy.values())])

    def _hand_out(self) -> Iterator[Event]:
        """Give every idle worker a unit of its model, and start workers where there is room."""
        for slot in list(self._idle):
            unit = self._take(slot.key, slot.share)
            self._idle.remove(slot)
            if unit is None:
                self._release(slot)
            else:
                yield self._begin(slot, unit)
        while (started := self._start_worker()) is not None:
            yield started

    def _take(self, key: ModelKey, share: float | None) -> Unit | None:
        """Take a unit that suits a worker of this model and share."""
        if not self._queue.num_units(key) or self._queue.next_share(key) not in (None, share):
            return None
        return self._queue.take(key)

    def _start_worker(self) -> Started | None:
        if len(self._busy) >= self._workforce.num_workers and not self._workforce.has_gpus:
            return None
        for key in self._queue.by_urgency(self._workers()):
            share = self._queue.next_share(key) or self._workforce.shares.get(key, 1.0)
            place = self._find_place(key, share)
            if place is None:
                if share >= 1 and self._busy:  # it waits for GPUs to come free; smaller ones must not take them
                    return None
                continue
            unit = self._queue.take(key)
            if unit is None:
                self._room.give_back(place)
                continue
            return self._begin(self._start(key, share, place), unit)
        return None

    def _find_place(self, key: ModelKey, share: float) -> Place | None:
        """Return room on a machine that is still there."""
        fits_anywhere = not self._workforce.has_gpus or self._workforce.is_forced or share > 1
        needs = 0.0 if fits_anywhere else self._workforce.needs_gib.get(key, 0.0)
        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        while (place := self._room.take(share, needs)) is not None:
            if self._nodes[place.machine] in alive:
                return place
        return None

    def _start(self, key: ModelKey, share: float, place: Place) -> _Slot:
        threads, has_gpus = self._workforce.threads, self._workforce.has_gpus
        execution = replace(
            self._execution,
            device=None if has_gpus else "cpu",
            spread=share > 1,
            gpu_share=min(1.0, share),
        )
        # an actor with GPUs would otherwise also hold a CPU for life, and there may be more GPUs than CPUs
        resources = {"num_gpus": share, "num_cpus": 0} if has_gpus else {"num_cpus": threads}
        where = NodeAffinitySchedulingStrategy(self._nodes[place.machine], soft=False)
        actor: Any = ray.remote(RayWorker).options(max_restarts=0, scheduling_strategy=where, **resources).remote(
            execution, threads
        )  # fmt: skip
        name = f"worker-{next(self._numbers)}"
        return _Slot(name=name, actor=actor, key=key, share=share, place=place, log_place=actor.log_place.remote())

    def _begin(self, slot: _Slot, unit: Unit) -> Started:
        self._busy[slot.actor.run.remote(unit.configs)] = slot, unit
        return Started(unit=unit, worker=slot.name)

    def _collect(self, promise: Any) -> Iterator[Event]:  # noqa: ANN401
        slot, unit = self._busy.pop(promise)
        try:
            report = ray.get(promise)
        except RayError as error:
            host, log = self._last_words(slot)
            self._release(slot)
            cause = str(error).strip().partition("\n")[0]
            message = f"its worker died ({cause or type(error).__name__}) {unit.deaths + 1} times"
            self._queue.died(unit, Failure(message=message, kind="death", host=host, log_tail=log))
            yield Ended(worker=slot.name, log=f"{log}\n{message}\n")
        else:
            slot.log_end = report.log_end
            self._queue.report(unit, report)
            self._idle.append(slot)
            yield Ended(worker=slot.name, log=report.log)

    def _release(self, slot: _Slot) -> None:
        """End the worker's process and free its room."""
        ray.kill(slot.actor)
        _remove_log(slot)
        self._room.give_back(slot.place)

    def _last_words(self, slot: _Slot) -> tuple[str | None, str]:
        """Return a dead worker's host and the end of its log, as far as they are to be had."""
        with contextlib.suppress(RayError):
            host, path = ray.get(slot.log_place, timeout=_ANSWER_S)
            if host == platform.node() and Path(path).exists():
                return host, read_tail(path, slot.log_end)
            where = NodeAffinitySchedulingStrategy(self._nodes[slot.place.machine], soft=False)
            tail = ray.remote(read_tail).options(num_cpus=0, scheduling_strategy=where).remote(path, slot.log_end)
            return host, ray.get(tail, timeout=_ANSWER_S)
        return None, ""


def _remove_log(slot: _Slot) -> None:
    """Remove a worker's file, which was read; one on another machine stays there."""
    with contextlib.suppress(RayError, OSError):
        host, path = ray.get(slot.log_place, timeout=0)
        if host == platform.node():
            Path(path).unlink(missing_ok=True)


def _as_slots(workforce: Workforce) -> Sequence[Machine]:
    """Return machines whose GPUs are room for a worker each; CPU cores, where there is no GPU, are counted as such."""
    if workforce.has_gpus:
        return workforce.machines
    slot = Gpu(name="CPU cores", memory_gib=None, capability=None)
    return [replace(m, gpus=(slot,) * (m.num_cpus // workforce.threads)) for m in workforce.machines]
