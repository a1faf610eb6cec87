"""What the machinery around the work costs: planning against a full folder, and each run beyond its computation.

The runs are real but for the computation: a queue, leases, a heartbeat, 10,000 result files written and flushed.
"""

import contextlib
import io
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.command_line import make_parser, positive, write_figures
from benchmarks.engine import resolve_all
from lm_eval.config.run_config import RunConfig
from lm_eval.config.token_aggregation import ACTIVATION_PREFIXES, SINGLE_VECTOR_AGGREGATIONS
from lm_eval.grid.estimate import Estimate
from lm_eval.grid.grid import CommonOptions, Grid, expand
from lm_eval.grid.plan import make_plan
from lm_eval.models.model_list import DEMO
from lm_eval.results.canonical_form import canonical_in_grid
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.identity import Run
from lm_eval.results.result_file import config_content
from lm_eval.scheduling.allocation import Workforce
from lm_eval.scheduling.driver import Driver
from lm_eval.scheduling.executors.in_process import InProcessExecutor
from lm_eval.scheduling.hardware import local_machine
from lm_eval.scheduling.queue import WorkQueue
from lm_eval.scheduling.timing import RemainingTime, Timings
from lm_eval.scheduling.units import Ended, Event, Outcome, Started, UnitReport, make_units
from lm_eval.tasks.registry import find_task


def many_configs(number: int) -> list[RunConfig]:
    """Return configurations on the embedded model, all different."""
    aggregations = [prefix + base for prefix in ACTIVATION_PREFIXES for base in SINGLE_VECTOR_AGGREGATIONS]
    grid = Grid(
        model="dist_sim", task="hellaswag_d", models=[str(DEMO / "models" / "demo-gpt")], arch_type="decoder-only",
        num_fewshot=range(1, min(8, 2 + number // 1500)),
        encoding_scheme=["segment_each_example", "sentence_level_segmentation"],
        settings={
            "WORD_AGG_SCHEME": aggregations,
            "SEGMENT_AGG_SCHEME": [None, "mean"], "EXAMPLE_AGG_SCHEME": [None, "mean", "soft_cluster"],
            "NORM": [None, "L2", "varNorm"], "SIMILARITY_FUNC": ["dot_product", "cosine_sim"],
        },
    )  # fmt: skip
    dataset = find_task(grid.model, grid.task).dataset
    expanded = expand(grid, CommonOptions(data_dir=str(DEMO / "data")))
    configs = list(dict.fromkeys(canonical_in_grid(config, dataset) for config in expanded))
    if len(configs) < number:
        raise SystemExit(f"error: --runs: there are only {len(configs)} configurations")
    return configs[:number]


@dataclass(frozen=True, kw_only=True)
class NothingToDo(InProcessExecutor):
    """Hands back a result for every run at once."""

    results: Mapping[RunConfig, dict[str, Any]]

    def run(self, queue: WorkQueue, workforce: Workforce) -> Iterator[Event]:  # noqa: ARG002
        """Yield the outcome of every configuration."""
        while queue:
            unit = queue.take(queue.by_urgency({})[0])
            if unit is not None:
                yield Started(unit=unit, worker="nobody")
                configs = [run.config for run in unit.runs]
                queue.report(unit, UnitReport(outcomes=[Outcome(config=c, result=self.results[c]) for c in configs]))
                yield Ended(worker="nobody", log="")
            yield from queue.settled()


def _result(run: Run) -> dict[str, Any]:
    config, task = run.config, run.config.task
    return {
        "results": {task: {"acc": 0.5, "acc_stderr": 0.01}}, "versions": {task: 0}, "config": config_content(config),
        "identity": {task: dict(run.identity)}, "run": {task: {"num_truncated_segments": 0, "code": {"commit": None}}},
    }  # fmt: skip


def carry_out(runs: Sequence[Run], folder: Path) -> float:
    """Carry runs out that take no time, each a unit of its own, and return the seconds a run."""
    executor = NothingToDo(results={run.config: _result(run) for run in runs})
    results = ResultsFolder(folder)
    plan = make_plan(runs, results)
    workforce = Workforce(machines=[local_machine()], num_workers=1, threads=1)
    units = [unit for run in runs for unit in make_units([run])]
    timings = Timings(results, on_gpu=False)
    estimate = Estimate(workforce, timings, RemainingTime(units, timings, {}, 1))
    driver = Driver(
        plan.order,
        results,
        estimate.workforce,
        estimate.remaining,
        lambda progress, line: None,  # noqa: ARG005
    )
    began = time.perf_counter()
    driver.run(executor)
    return (time.perf_counter() - began) / len(runs)


def plan_again(configs: Sequence[RunConfig], folder: Path) -> tuple[float, int]:
    """Read a folder and plan a grid that it holds, and return the seconds and the number to run."""
    began = time.perf_counter()
    results = ResultsFolder(folder)
    plan = make_plan(resolve_all(configs), results)
    Timings(results, on_gpu=False)
    return time.perf_counter() - began, len(plan.to_run)


def measure(number: int) -> dict[str, float]:
    """Expand a grid, carry it out and plan it again.

    Raises:
        SystemExit: what was carried out is not found again.
    """
    began = time.perf_counter()
    configs = many_configs(number)
    expanding = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "results"
        with contextlib.redirect_stdout(io.StringIO()):
            overhead = carry_out(resolve_all(configs), folder)
        planning, to_run = plan_again(configs, folder)
    if to_run:
        raise SystemExit(f"error: {to_run} runs were not found again")
    return {"runs": number, "expanding, s": expanding, "planning, s": planning, "overhead a run, ms": overhead * 1e3}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure everything and return the exit status."""
    parser = make_parser(__doc__)
    parser.add_argument("--runs", type=positive, default=10_000)
    args = parser.parse_args(arguments)
    figures = measure(args.runs)
    print(", ".join(f"{name}: {value:.3g}" if name != "runs" else f"{value} runs" for name, value in figures.items()))
    write_figures(args.out, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
