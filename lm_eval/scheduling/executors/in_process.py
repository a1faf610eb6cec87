"""The executor that computes one work unit after another in this process."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from lm_eval.config.runtime import Execution
from lm_eval.scheduling.allocation import Workforce
from lm_eval.scheduling.executors.worker import Worker
from lm_eval.scheduling.hardware import Machine, local_machine
from lm_eval.scheduling.queue import HELD_POLL_S, WorkQueue
from lm_eval.scheduling.units import Ended, Event, Started, Waiting


@dataclass(frozen=True, kw_only=True)
class InProcessExecutor:
    """Computes one work unit after another in this process."""

    execution: Execution = field(default_factory=Execution)

    def machines(self) -> list[Machine]:
        """Return this machine, with one worker and one GPU, which are all that this process is."""
        machine = local_machine()
        return [replace(machine, gpus=machine.gpus[:1], max_workers=1)]

    def check_paths(self, paths: Sequence[str]) -> None:
        """The files are this process's own."""

    def close(self) -> None:
        """There is nothing to release."""

    def run(self, queue: WorkQueue, workforce: "Workforce") -> Iterator[Event]:  # noqa: ARG002
        """Compute all work units; yield the outcome of every configuration, and an event for each start and end."""
        worker = Worker(self.execution, None)
        while queue:
            queue.look_again()
            keys = queue.by_urgency({})
            unit = queue.take(keys[0]) if keys else None
            yield from queue.settled()
            if unit is not None:
                yield Started(unit=unit, worker="here")
                known = {run.config: run for run in unit.runs}
                queue.report(unit, worker.run(list(known), known.__getitem__, unit.blocks))
                yield Ended(worker="here", log="")
                yield from queue.settled()
            elif not keys:
                time.sleep(HELD_POLL_S / 4)
                yield Waiting()
