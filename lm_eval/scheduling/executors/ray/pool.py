"""The pool of Ray workers: starts actors on GPUs or CPU cores, gives them work units, collects their reports.

Which worker gets which unit is decided by `scheduling.assignment`. A worker keeps its model. When no unit of it is
left, a worker on a GPU is replaced, since only the end of a process frees all of a GPU's memory; one on CPU cores goes
on with another model. One that shows no sign of life is ended by its machine, and counts as dead.
"""

import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from lm_eval.common.console import print_safely
from lm_eval.common.text import describe_seconds
from lm_eval.config.runtime import Execution
from lm_eval.results.failures import Failure
from lm_eval.scheduling.allocation import Workforce, describe_share
from lm_eval.scheduling.assignment import Assigner, Assignment
from lm_eval.scheduling.executors.ray.link import RayLink
from lm_eval.scheduling.executors.ray.messages import (
    Died,
    EndWorker,
    Message,
    RayLostError,
    Reported,
    RunUnit,
    StartWorker,
    Tick,
)
from lm_eval.scheduling.executors.ray.watch import Watch, Watched
from lm_eval.scheduling.executors.signs import Sign
from lm_eval.scheduling.placement import Placement
from lm_eval.scheduling.queue import WorkQueue
from lm_eval.scheduling.units import Ended, Event, ModelKey, Started, UnitReport, Waiting, WorkUnit

_TICK_S = 1.0
"""Longest wait for a worker before the driver looks at the queue again."""
_PATIENCE_S = 60.0
"""Time after which a message says that a worker has not started."""
_ENDING_S = 30.0
"""Time for a worker that was told to end: then its unit is given to another, and its GPUs to none."""


@dataclass(eq=False)
class _Slot:
    """A worker, the model that it has loaded, and the GPUs that it takes."""

    name: str
    key: ModelKey
    share: float
    placement: Placement
    life: Watched
    started: float = field(default_factory=time.monotonic)
    has_reported: bool = False
    """Whether the time that it took to start is known."""
    is_announced: bool = False
    """Whether the user has been warned that it doesn't run."""


class WorkerPool:
    """Ray actors that compute the work units of a queue."""

    def __init__(
        self,
        queue: WorkQueue,
        workforce: Workforce,
        link: RayLink,
        nodes: Sequence[str],
        execution: Execution,
        watch: Watch,
    ) -> None:
        self._queue = queue
        self._workforce = workforce
        self._link = link
        self._nodes = nodes
        self._execution = execution
        self._watch = watch
        self._assigner = Assigner(queue, workforce)
        self._idle: list[_Slot] = []
        self._busy: dict[str, tuple[_Slot, WorkUnit]] = {}
        self._unending: dict[str, _Slot] = {}
        self._numbers = itertools.count(1)
        self._alive = set(range(len(nodes)))
        self._signs: dict[str, Sign] = {}
        self._begun = set[str]()
        """The workers whose processes run."""

    def run(self) -> Iterator[Event]:
        """Yield events until the queue is empty; end all workers then, or when the iteration is interrupted.

        Raises:
            RayLostError: Ray has died, or doesn't answer; what was being computed waits in the queue again.
        """
        try:
            yield from self._run()
        except RayLostError:
            yield from self._take_ready_reports()
            yield from self._queue.settled()
            lost, self._busy = self._busy, {}
            for slot, unit in lost.values():
                self._queue.add([unit])
                yield Ended(worker=slot.name, log="")
            raise
        finally:
            self._take_ready_reports()
            for slot in [*self._idle, *(slot for slot, _ in self._busy.values())]:
                self._link.send(EndWorker(worker=slot.name))

    def _take_ready_reports(self) -> list[Ended]:
        """Take the reports of workers that have finished, so that their results are kept."""
        ended = []
        with contextlib.suppress(RayLostError):
            for message in self._link.receive(0):
                if isinstance(message, Reported) and message.worker in self._busy:
                    slot, unit = self._busy.pop(message.worker)
                    self._queue.report(unit, message.report)
                    self._idle.append(slot)
                    ended.append(Ended(worker=slot.name, log=message.report.log))
        return ended

    def _run(self) -> Iterator[Event]:
        while self._queue or self._busy:
            self._queue.look_again()
            yield from self._hand_out()
            self._assigner.give_up_lost_models()
            yield from self._queue.settled()
            if not self._queue and not self._busy:
                break
            for message in sorted(self._link.receive(_TICK_S), key=lambda told: isinstance(told, Tick)):
                yield from self._take(message)
                yield from self._queue.settled()
                if isinstance(message, Tick):  # or it is Ray that is silent
                    self._end_stalled()
            self._warn_of_late_workers()
            yield from self._give_up_unending()
            yield Waiting()

    def _take(self, message: Message) -> Iterator[Event]:
        if isinstance(message, Tick):
            self._alive = {index for index, node in enumerate(self._nodes) if node in message.nodes}
            self._signs.update(message.signs)
            self._begun |= message.begun | message.signs.keys()
            if self._link.is_local and not self._alive:
                raise RayLostError("Ray on this machine has lost its own node")
        elif isinstance(message, Reported) and message.worker in self._busy:
            yield self._collect(*self._busy.pop(message.worker), message.report)
        elif isinstance(message, Died) and message.worker in self._busy:
            yield self._bury(*self._busy.pop(message.worker), message)
        elif isinstance(message, Died) and message.worker in self._unending:
            self._release(self._unending.pop(message.worker))

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
        while assignment := self._assigner.next_worker(self._workers(), len(self._busy), self._usable):
            yield self._begin(self._start(assignment), assignment.unit)

    def _usable(self) -> set[int]:
        """Return the machines that are up, but those where a process stays that cannot be ended.

        Ray, which says which of a machine's GPUs a worker gets, may count that process's as free.
        """
        return self._alive - {slot.placement.machine for slot in self._unending.values()}

    def _start(self, assignment: Assignment) -> _Slot:
        threads, has_gpus, share = self._workforce.threads, self._workforce.has_gpus, assignment.share
        # an actor with GPUs would otherwise also hold a CPU for life, and there may be more GPUs than CPUs
        resources = {"num_gpus": share, "num_cpus": 0} if has_gpus else {"num_cpus": threads}
        name = f"worker-{next(self._numbers)}"
        start = StartWorker(
            worker=name,
            node=self._nodes[assignment.placement.machine],
            resources=resources,
            execution=assignment.execution(self._execution, has_gpus=has_gpus),
            threads=threads,
            folder=self._link.worker_folder,
        )
        self._link.send(start)
        return _Slot(name=name, key=assignment.key, share=share, placement=assignment.placement, life=Watched(name))

    def _begin(self, slot: _Slot, unit: WorkUnit) -> Started:
        slot.key = unit.key
        self._watch.begin(slot.life)
        self._busy[slot.name] = slot, unit
        self._link.send(RunUnit(worker=slot.name, configs=[run.config for run in unit.runs], blocks=unit.blocks))
        return Started(unit=unit, worker=slot.name)

    def _collect(self, slot: _Slot, unit: WorkUnit, report: UnitReport) -> Ended:
        self._queue.report(unit, report)
        start_s = None if slot.has_reported else time.monotonic() - slot.started - report.seconds
        self._assigner.pace.note(unit, report, start_s)
        slot.has_reported = True
        if report.could_load and not slot.life.is_ended:
            self._idle.append(slot)
        else:
            self._release(slot)  # the next may be on another machine
        return Ended(worker=slot.name, log=report.log)

    def _bury(self, slot: _Slot, unit: WorkUnit, death: Died) -> Ended:
        self._release(slot)
        silence = f"it showed no sign of life for {describe_seconds(slot.life.silent_s)}" if slot.life.is_ended else ""
        message = f"its worker died ({silence or death.cause}) {unit.deaths + 1} times"
        self._queue.died(unit, Failure(message=message, kind="death", host=death.host, log_tail=death.log))
        return Ended(worker=slot.name, log=f"{death.log}\n{message}\n")

    def _release(self, slot: _Slot) -> None:
        """End the worker's process and free its GPUs."""
        self._link.send(EndWorker(worker=slot.name))
        self._assigner.give_back(slot.placement)

    def _end_stalled(self) -> None:
        """End workers that show no sign of life; once one is gone, its death is told."""
        alike: dict[ModelKey, list[Watched]] = {}
        for slot, _ in self._busy.values():
            alike.setdefault(slot.key, []).append(slot.life)
        for life in self._watch.look(alike, self._signs, time.monotonic()):
            print_safely(f"{life.name} is replaced: no sign of life for {describe_seconds(life.silent_s)}")
            self._link.send(EndWorker(worker=life.name, keeps_log=True))

    def _give_up_unending(self) -> Iterator[Event]:
        """Give the unit of a worker whose process cannot be ended to another, on another machine until it is gone."""
        for slot, unit in list(self._busy.values()):
            if slot.life.is_ended and slot.life.silent_s > self._watch.stall_timeout_s + _ENDING_S:
                del self._busy[slot.name]
                self._unending[slot.name] = slot
                why = "its device or its files don't answer; no other is started on its machine"
                print_safely(f"{slot.name} cannot be ended: {why}")
                message = f"its worker stood still and could not be ended, {unit.deaths + 1} times"
                self._queue.died(unit, Failure(message=message, kind="death"))
                yield Ended(worker=slot.name, log=f"{message}\n")

    def _warn_of_late_workers(self) -> None:
        """Warn of workers that Ray hasn't started yet, as when another job holds the GPUs.

        Raises:
            RayLostError: it is Ray on this machine, which nobody else uses, and the time is over.
        """
        for slot, _ in self._busy.values():
            waited_s = time.monotonic() - slot.started
            if slot.has_reported or slot.name in self._begun or waited_s <= _PATIENCE_S:
                continue
            if self._link.is_local and waited_s > self._watch.stall_timeout_s:
                raise RayLostError(f"Ray on this machine has started no process for {slot.name}")
            if not slot.is_announced:
                slot.is_announced = True
                share = describe_share(slot.share) if self._workforce.has_gpus else "CPU cores"
                host = self._workforce.machines[slot.placement.machine].host
                print_safely(f"{slot.name} has been waiting for {share} of {host}; another job may hold what it needs")
