"""Workers of simulated speed: they sleep for each document instead of computing it, and score it by its place.

All else is real: the driver, its queue, leases, pieces and results. Needs no model and no torch.
"""

import itertools
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lm_eval.config.run_config import RunConfig
from lm_eval.grid.plan import Wanted, make_plan
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.identity import Run
from lm_eval.results.pieces import Part, Span
from lm_eval.results.provenance import PassRecord, code_digest, code_version
from lm_eval.scheduling.allocation import Workforce
from lm_eval.scheduling.driver import Driver
from lm_eval.scheduling.executors.in_process import InProcessExecutor
from lm_eval.scheduling.hardware import Machine
from lm_eval.scheduling.queue import WorkQueue
from lm_eval.scheduling.summary import Summary
from lm_eval.scheduling.timing import RemainingTime, Timings
from lm_eval.scheduling.units import Ended, Event, Started, UnitReport, Waiting, WorkUnit, make_units
from lm_eval.scoring.blocks import Block

_TICK_S = 0.05


def score_of(config: RunConfig, place: int, choice: int) -> float:
    """Return a made-up score that depends on nothing but the configuration, the document and the choice."""
    return ((len(str(config.vectors)) * 31 + place * 17 + choice * 7) % 101) / 101


def make_part(run: Run, span: Span, seconds: float, worker: str) -> Part:
    """Return a piece's part of a run."""
    places = range(*span)
    batches = {"num_batches": len(places), "most_rows": 1, "most_tokens": 1, "num_tokens": len(places), "num_halved": 0}
    record = PassRecord(num_configurations=1, seconds=seconds, num_documents=len(places), batches={**batches})
    record.phases["score"] = seconds
    return Part(
        start=span[0],
        end=span[1],
        identity=dict(run.identity),
        documents={"scores": [[score_of(run.config, place, choice) for choice in range(4)] for place in places]},
        blocks=(),
        shared=asdict(record),
        made_on={
            "host": "simulated",
            "load_s": 0.0,
            "device": "cpu",
            "gpus": [],
            "code": code_version(),
        },
        asked={"batch_size": None, "device": None},
        worker=worker,
        code=code_digest(),
    )


@dataclass(frozen=True, kw_only=True)
class SimulatedExecutor(InProcessExecutor):
    """Some workers that sleep instead of computing; each begins with loading its model."""

    num_workers: int
    document_s: float
    """Seconds that a document takes."""
    load_s: float = 0.0
    log: Path | None = None
    """A file that a line is added to for each piece that is begun."""
    began: list[tuple[str, Span]] = field(default_factory=list)
    """Which worker began which documents."""

    def run(self, queue: WorkQueue, workforce: Workforce) -> Iterator[Event]:  # noqa: ARG002
        """Compute all work units; yield the outcome of every configuration, and events of the workers."""
        free_at = {f"worker-{number}": time.monotonic() + self.load_s for number in range(self.num_workers)}
        busy: dict[str, WorkUnit] = {}
        while queue or busy:
            queue.look_again()
            for worker, at in free_at.items():
                keys = queue.by_urgency({})
                unit = queue.take(keys[0]) if keys and worker not in busy else None
                if unit is not None:
                    busy[worker] = unit
                    self._note(worker, unit)
                    free_at[worker] = max(time.monotonic(), at) + unit.num_left * self.document_s
                    yield Started(unit=unit, worker=worker)
                yield from queue.settled()
            next_one = min(busy, key=free_at.__getitem__, default=None)
            wait_s = _TICK_S if next_one is None else min(_TICK_S, free_at[next_one] - time.monotonic())
            time.sleep(max(0.0, wait_s))
            for worker in [worker for worker in busy if free_at[worker] <= time.monotonic()]:
                unit = busy.pop(worker)
                queue.report(unit, self._report(unit, worker))
                yield Ended(worker=worker, log="")
                yield from queue.settled()
            yield Waiting()

    def _note(self, worker: str, unit: WorkUnit) -> None:
        span = unit.blocks[0][0], unit.blocks[-1][1]
        self.began.append((worker, span))
        if self.log is not None:
            with self.log.open("a", encoding="utf-8") as stream:
                stream.write(f"{span[0]} {span[1]} {os.getpid()} {worker} {time.time():.2f}\n")

    def _report(self, unit: WorkUnit, worker: str) -> UnitReport:
        span, seconds = (unit.blocks[0][0], unit.blocks[-1][1]), unit.num_left * self.document_s
        name = f"{os.getpid()}-{worker}"
        parts = {run.config: make_part(run, span, seconds, name) for run in unit.runs}
        return UnitReport(outcomes=[], parts=parts, seconds=seconds)


def even_blocks(num_documents: int, number: int) -> tuple[Block, ...]:
    """Return so many blocks of about equal lengths."""
    ends = [num_documents * place // number for place in range(number + 1)]
    return tuple(itertools.pairwise(ends))


def carry_out(
    runs: Sequence[Run], folder: Path, executor: SimulatedExecutor, *, num_blocks: int, overwrite: bool = False
) -> tuple[Summary, float]:
    """Carry out runs that share a pass, cut into so many blocks; return how it ended, and the seconds it took.

    Args:
        runs: the runs.
        folder: the results folder.
        executor: the workers.
        num_blocks: blocks of the pass.
        overwrite: whether results that are there are computed again.
    """
    results = ResultsFolder(folder)
    plan = make_plan(runs, results, Wanted(overwrite=overwrite))
    number = len(runs[0].documents())
    units = [
        WorkUnit(runs=unit.runs, blocks=even_blocks(number, num_blocks), num_documents=number)
        for unit in make_units(plan.to_run)
    ]
    machine = Machine(host="simulated", num_cpus=executor.num_workers, memory_gib=8.0, gpus=())
    workforce = Workforce(machines=[machine], num_workers=executor.num_workers, threads=1)
    remaining = RemainingTime(units, Timings(results, on_gpu=False), {}, executor.num_workers)
    driver = Driver(plan.order, results, workforce, remaining, lambda progress, line: None)  # noqa: ARG005
    began = time.monotonic()
    summary = driver.run(executor)
    return summary, time.monotonic() - began
