"""The pool of Ray workers: starts actors on GPUs or CPU cores, gives them work units, collects their reports.

Which worker gets which unit is decided by `scheduling.assignment`. A worker keeps its model. When no unit of it is
left, a worker on a GPU is replaced, since only the end of a process frees all of a GPU's memory; one on CPU cores goes
on with another model.
"""

import contextlib
import itertools
import platform
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lm_eval.common.console import print_safely
from lm_eval.common.text import first_line
from lm_eval.config.runtime import Execution
from lm_eval.results.failures import Failure
from lm_eval.scheduling.allocation import Workforce, describe_share
from lm_eval.scheduling.assignment import Assigner, Assignment
from lm_eval.scheduling.executors.ray.actor import RayWorker, read_tail
from lm_eval.scheduling.placement import Placement
from lm_eval.scheduling.queue import WorkQueue
from lm_eval.scheduling.units import Ended, Event, ModelKey, Started, Waiting, WorkUnit

_TICK_S = 1.0
"""Longest wait for a worker before the driver looks at the queue again."""
_PATIENCE_S = 60.0
"""Time after which a message says that a worker has not started."""
_ANSWER_S = 5.0
"""Time limit for reading the log of a dead worker."""


@dataclass(eq=False)
class _Slot:
    """A worker, the model that it has loaded, and the GPUs that it takes."""

    name: str
    actor: Any
    key: ModelKey
    share: float
    placement: Placement
    log_place: Any
    """Future of the log's host and path; ready once the worker's process runs."""
    log_end: int = 0
    """Bytes of the log that were read."""
    started: float = field(default_factory=time.monotonic)
    has_reported: bool = False
    """Whether the time that it took to start is known."""
    is_announced: bool = False
    """Whether it runs, or the user has been warned that it doesn't."""


class WorkerPool:
    """Ray actors that compute the work units of a queue."""

    def __init__(self, queue: WorkQueue, workforce: Workforce, nodes: Sequence[str], execution: Execution) -> None:
        self._queue = queue
        self._workforce = workforce
        self._nodes = nodes
        self._execution = execution
        self._assigner = Assigner(queue, workforce)
        self._idle: list[_Slot] = []
        self._busy: dict[Any, tuple[_Slot, WorkUnit]] = {}
        self._numbers = itertools.count(1)

    def run(self) -> Iterator[Event]:
        """Yield events until the queue is empty; end all workers then, or when the iteration is interrupted."""
        try:
            yield from self._run()
        finally:
            self._take_ready_reports()
            for slot in [*self._idle, *(slot for slot, _ in self._busy.values())]:
                self._release(slot)

    def _run(self) -> Iterator[Event]:
        while self._queue or self._busy:
            self._queue.look_again()
            yield from self._hand_out()
            self._assigner.give_up_lost_models()
            yield from self._queue.settled()
            if not self._busy:
                if self._queue:  # another driver computes the rest, or no machine is up
                    time.sleep(_TICK_S)
                    yield Waiting()
                continue
            ready, _ = ray.wait(list(self._busy), num_returns=1, timeout=_TICK_S)
            if not ready:
                self._warn_of_late_workers()
                yield Waiting()
            for future in ready:
                yield from self._collect(future)
                yield from self._queue.settled()

    def _take_ready_reports(self) -> None:
        """Take the reports of workers that have finished, so that their results are kept."""
        if self._busy:
            with contextlib.suppress(RayError):
                ready, _ = ray.wait(list(self._busy), num_returns=len(self._busy), timeout=0)
                for future in ready:
                    slot, unit = self._busy[future]
                    self._queue.report(unit, ray.get(future))
                    del self._busy[future]
                    self._idle.append(slot)

    def _warn_of_late_workers(self) -> None:
        """Warn of workers that Ray hasn't started yet, as when another job holds the GPUs."""
        for slot, _ in self._busy.values():
            if not slot.is_announced and time.monotonic() - slot.started > _PATIENCE_S:
                slot.is_announced = True
                if not ray.wait([slot.log_place], timeout=0)[0]:
                    share = describe_share(slot.share) if self._workforce.has_gpus else "CPU cores"
                    host = self._workforce.machines[slot.placement.machine].host
                    print_safely(
                        f"{slot.name} has been waiting for {share} of {host}; another job may hold what it needs"
                    )

    def _workers(self) -> Counter[ModelKey]:
        return Counter(slot.key for slot in [*self._idle, *(slot for slot, _ in self._busy.values())])

    def _hand_out(self) -> Iterator[Event]:
        """Give every idle worker a unit, of its model where one is left, and start workers on free GPUs."""
        for slot in list(self._idle):
            unit = self._assigner.next_unit(slot.key, slot.share)
            self._idle.remove(slot)
            unit = unit or self._assigner.unit_of_another_model(self._workers())
            if unit is None:
                self._release(slot)
            else:
                yield self._begin(slot, unit)
        while assignment := self._assigner.next_worker(self._workers(), len(self._busy), self._find_alive):
            yield self._begin(self._start(assignment), assignment.unit)

    def _find_alive(self) -> set[int]:
        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        return {index for index, node in enumerate(self._nodes) if node in alive}

    def _start(self, assignment: Assignment) -> _Slot:
        threads, has_gpus, share = self._workforce.threads, self._workforce.has_gpus, assignment.share
        # an actor with GPUs would otherwise also hold a CPU for life, and there may be more GPUs than CPUs
        resources = {"num_gpus": share, "num_cpus": 0} if has_gpus else {"num_cpus": threads}
        options = {"max_restarts": 0, "scheduling_strategy": self._on(assignment.placement), **resources}
        execution = assignment.execution(self._execution, has_gpus=has_gpus)
        actor: Any = ray.remote(RayWorker).options(**options).remote(execution, threads)
        return _Slot(
            name=f"worker-{next(self._numbers)}",
            actor=actor,
            key=assignment.key,
            share=share,
            placement=assignment.placement,
            log_place=actor.log_place.remote(),
        )

    def _on(self, placement: Placement) -> NodeAffinitySchedulingStrategy:
        return NodeAffinitySchedulingStrategy(self._nodes[placement.machine], soft=False)

    def _begin(self, slot: _Slot, unit: WorkUnit) -> Started:
        slot.key = unit.key
        self._busy[slot.actor.run.remote([run.config for run in unit.runs], unit.blocks)] = slot, unit
        return Started(unit=unit, worker=slot.name)

    def _collect(self, future: Any) -> Iterator[Event]:  # noqa: ANN401
        slot, unit = self._busy.pop(future)
        try:
            report = ray.get(future)
        except RayError as error:
            host, log = self._read_dead_workers_log(slot)
            self._release(slot)
            cause = first_line(error)
            message = f"its worker died ({cause or type(error).__name__}) {unit.deaths + 1} times"
            self._queue.died(unit, Failure(message=message, kind="death", host=host, log_tail=log))
            yield Ended(worker=slot.name, log=f"{log}\n{message}\n")
        else:
            slot.log_end = report.log_end
            self._queue.report(unit, report)
            start_s = None if slot.has_reported else time.monotonic() - slot.started - report.seconds
            self._assigner.pace.note(unit, report, start_s)
            slot.has_reported = True
            if report.could_load:
                self._idle.append(slot)
            else:
                self._release(slot)  # the next may be on another machine
            yield Ended(worker=slot.name, log=report.log)

    def _release(self, slot: _Slot) -> None:
        """End the worker's process and free its GPUs."""
        ray.kill(slot.actor)
        _remove_log(slot)
        self._assigner.give_back(slot.placement)

    def _read_dead_workers_log(self, slot: _Slot) -> tuple[str | None, str]:
        """Return a dead worker's host and the end of its log; None and "" if its machine doesn't answer."""
        with contextlib.suppress(RayError):
            host, path = ray.get(slot.log_place, timeout=_ANSWER_S)
            if host == platform.node() and Path(path).exists():
                return host, read_tail(path, slot.log_end)
            read = ray.remote(read_tail).options(num_cpus=0, scheduling_strategy=self._on(slot.placement))
            return host, ray.get(read.remote(path, slot.log_end), timeout=_ANSWER_S)
        return None, ""


def _remove_log(slot: _Slot) -> None:
    """Remove a worker's log file, which has been read; one on another machine stays."""
    with contextlib.suppress(RayError, OSError):
        host, path = ray.get(slot.log_place, timeout=0)
        if host == platform.node():
            Path(path).unlink(missing_ok=True)
