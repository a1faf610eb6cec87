"""A study of one 7 B model on 8 GPUs, by simulation: hours with passes whole, and with passes in pieces.

Who gets what is decided by the scheduler's own functions (the queue, the assigner, sizes of pieces, blocks); only the
clock is made up: a worker takes the seconds of its documents, and those of loading the model before the first.
"""

import functools
import heapq
import itertools
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.command_line import make_parser, positive, write_figures
from lm_eval.config.run_config import RunConfig
from lm_eval.results.identity import Run
from lm_eval.results.pieces import Part
from lm_eval.scheduling.allocation import Workforce, plan_workforce
from lm_eval.scheduling.assignment import Assigner
from lm_eval.scheduling.hardware import Gpu, Machine
from lm_eval.scheduling.piece_sizes import PieceSizes
from lm_eval.scheduling.placement import Placement
from lm_eval.scheduling.queue import WorkQueue
from lm_eval.scheduling.units import Outcome, UnitReport, WorkUnit, make_units
from lm_eval.scoring.blocks import blocks_of
from lm_eval.tasks.base import Example
from lm_eval.tasks.documents import Document
from lm_eval.tasks.registry import find_task

MODEL, PARAMETERS = "some/model-7b", 7e9
DOCUMENTS = 10_042
"""Of HellaSwag's validation split."""
TRAINING = 39_905
"""Rows of its training split."""
TOKENS_A_SECOND = 25_000
"""Of a 7 B model on an H100 at 350 TFLOP/s."""
LOAD_S = 90.0
_EXAMPLE_TOKENS, _CHOICE_TOKENS = 60, 100
SCHEMES = ("concat_all_examples", "concat_each_example", "segment_each_example", "sentence_level_segmentation")
AGGREGATIONS = ("mean", "w1mean", "last", "relu|mean", "-relu|mean", "chunk2", "chunk4", "chunk8")
LAYERS = ("0", "middle", "-1")


_NOTHING = Part(
    start=0, end=0, identity={}, documents={}, blocks=(), shared={}, made_on={}, asked={},
    worker="", code="",
)  # fmt: skip
"""What a piece holds: nobody looks at it."""


def study() -> list[Run]:
    """Return the runs of a study of generation: schemes, shots, and settings that share passes."""
    runs = []
    for scheme, shots in itertools.product(SCHEMES, (0, 1, 5)):
        for aggregation, layer in itertools.product(AGGREGATIONS, LAYERS):
            config = RunConfig.parse(
                model="dist_gen",
                model_args=f"pretrained={MODEL},dtype=bfloat16,WORD_AGG_SCHEME={aggregation},ENCODING_LAYER={layer}",
                task="hellaswag_dg",
                task_args=f"encoding_scheme={scheme}",
                num_fewshot=shots,
            )
            identity = {"configuration": repr(config)}
            runs.append(Run(config=config, form=config, task=find_task("dist_gen", "hellaswag_dg"), identity=identity))
    return runs


def tokens_a_document(unit: WorkUnit) -> float:
    """Return the tokens that the model reads for a document: its context once, the choices for each run."""
    shots = unit.runs[0].config.num_fewshot
    return _EXAMPLE_TOKENS * (1 + shots) + 1.3 * _CHOICE_TOKENS * len(unit.runs)


def document_s(unit: WorkUnit) -> float:
    """Return the seconds of a document."""
    return tokens_a_document(unit) / TOKENS_A_SECOND


def units_of(runs: Sequence[Run], *, in_pieces: bool) -> list[WorkUnit]:
    """Return the passes, whole or in blocks."""
    units = [replace(unit, num_documents=DOCUMENTS) for unit in make_units(runs)]
    if not in_pieces:
        return units
    cut = []
    for unit in units:
        blocks = blocks_of(
            unit.runs, documents_like_hellaswags(unit.runs[0].config.num_fewshot), PARAMETERS, on_gpu=True
        )
        cut.append(replace(unit, blocks=tuple(blocks) if len(blocks) > 1 else ()))
    return cut


@functools.cache
def documents_like_hellaswags(num_fewshot: int) -> list[Document]:
    """Return as many documents with as many rows to draw shots from, of even lengths."""
    rnd = random.Random(0)  # noqa: S311
    length, choices = 4 * _EXAMPLE_TOKENS - _CHOICE_TOKENS, ("c" * _CHOICE_TOKENS,) * 4
    rows = [
        Example(question=(str(number).ljust(length, "q"),), choices=choices, gold=(0,)) for number in range(TRAINING)
    ]
    return [
        Document(doc_id=place, example=rows[place], shots=tuple(rnd.sample(rows, num_fewshot)))
        for place in range(DOCUMENTS)
    ]


def _report(unit: WorkUnit) -> UnitReport:
    seconds, configs = unit.num_left * document_s(unit), [run.config for run in unit.runs]
    if unit.blocks:
        parts = dict.fromkeys(configs, _NOTHING)
        return UnitReport(outcomes=[], parts=parts, seconds=seconds)
    return UnitReport(outcomes=[Outcome(config=config, result={}) for config in configs], seconds=seconds)


class Simulation:
    """Workers on a made-up clock."""

    def __init__(self, units: Sequence[WorkUnit], machine: Machine) -> None:
        sizes = {MODEL: int(PARAMETERS)}
        self.workforce: Workforce = plan_workforce(units, sizes, [machine], None)
        self.queue = WorkQueue(units=units, piece_sizes=PieceSizes(num_workers=self.workforce.num_workers))
        self.assigner = Assigner(self.queue, self.workforce)
        self.busy_s = 0.0
        self.num_started = 0
        self._now = 0.0
        self._numbers = itertools.count()
        self._ends: list[tuple[float, int, WorkUnit, Placement, float, float | None]] = []

    def run(self) -> float:
        """Return the seconds until the last unit is done."""
        self._start_workers()
        while self._ends:
            self._now, _, unit, placement, share, start_s = heapq.heappop(self._ends)
            report = _report(unit)
            self.queue.report(unit, report)
            self.assigner.pace.note(unit, report, start_s)
            _exhaust(self.queue.settled())
            following = self.assigner.next_unit(unit.key, share)
            if following is None:
                self.assigner.give_back(placement)
            else:
                self._begin(following, placement, share, None)
            self._start_workers()
        return self._now

    def _start_workers(self) -> None:
        while True:
            workers = Counter(unit.key for _, _, unit, *_ in self._ends)
            assignment = self.assigner.next_worker(workers, len(self._ends), lambda: {0})
            if assignment is None:
                return
            self.num_started += 1
            self._begin(assignment.unit, assignment.placement, assignment.share, LOAD_S)

    def _begin(self, unit: WorkUnit, placement: Placement, share: float, start_s: float | None) -> None:
        seconds = unit.num_left * document_s(unit)
        self.busy_s += seconds
        end = self._now + (start_s or 0.0) + seconds / min(1.0, share)  # workers that share a GPU share its speed
        heapq.heappush(self._ends, (end, next(self._numbers), unit, placement, share, start_s))


def _exhaust(events: Iterator[object]) -> None:
    for _ in events:
        pass


def simulate(runs: Sequence[Run], num_gpus: int, *, in_pieces: bool) -> dict[str, Any]:
    """Return how long some runs take on so many GPUs, and the share of that time in which these compute."""
    gpu = Gpu(name="H100", memory_gib=80.0, capability=(9, 0))
    machine = Machine(host="node", num_cpus=64, memory_gib=512.0, gpus=(gpu,) * num_gpus)
    simulation = Simulation(units_of(runs, in_pieces=in_pieces), machine)
    seconds = simulation.run()
    return {
        "hours": seconds / 3600,
        "computing": simulation.busy_s / seconds / num_gpus,
        "loads": simulation.num_started,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate the study, and its longest pass alone; return the exit status."""
    parser = make_parser(__doc__)
    parser.add_argument("--gpus", type=positive, default=8)
    args = parser.parse_args(arguments)
    runs = study()
    longest = [run for run in runs if run.pass_key == runs[-1].pass_key]
    figures = {
        f"{what}, passes {'in pieces' if in_pieces else 'whole'}": simulate(some, args.gpus, in_pieces=in_pieces)
        for what, some in ((f"{len(make_units(runs))} passes", runs), ("one pass", longest))
        for in_pieces in (False, True)
    }
    for name, row in figures.items():
        print(f"{name}: {row['hours']:.2f} h, GPUs computing {row['computing']:.0%}, {row['loads']} loads")
    write_figures(args.out, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
