"""Grids, from their lists to finished runs: checked, planned, computed. Prints nothing and ends nothing.

`lm_eval.grid.script` does it for a command line, `lm_eval.grid.notebook` for Python.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lm_eval.common import garbage
from lm_eval.common.atomic import check_writable
from lm_eval.common.regular_files import is_folder
from lm_eval.errors import ConfigurationError
from lm_eval.grid.estimate import Estimate, make_estimate
from lm_eval.grid.grid import Grid
from lm_eval.grid.options import Options
from lm_eval.grid.plan import Plan, Wanted, make_plan
from lm_eval.grid.preflight import CheckedGrids, check_available, preflight
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.pieces import state_folder
from lm_eval.scheduling.driver import Driver, OnChange
from lm_eval.scheduling.executors.base import Executor
from lm_eval.scheduling.heartbeat import Progress
from lm_eval.scheduling.shift import Shift
from lm_eval.scheduling.summary import Summary


@dataclass(frozen=True, kw_only=True)
class Job:
    """Grids that are checked and planned for a results folder."""

    checked: CheckedGrids
    folder: ResultsFolder
    plan: Plan
    estimate: Estimate | None
    """Workers and time; None where nothing is to run."""
    shift: Shift | None = None
    """Which part of the work this call does; None: all of it."""

    def check_ready(self) -> None:
        """Check what only a run needs: a folder to write to, all models and data.

        Raises:
            ConfigurationError: something is missing; the message names all of it.
        """
        if self.estimate is not None:
            check_writable(self.folder.path)
            state = state_folder(self.folder.path)
            for folder in (state, state / "drivers", state / "leases"):
                if folder.is_dir() or not folder.exists():  # without leases a grid runs and says so
                    check_writable(folder)
            check_available(self.plan.to_run)

    def driver(self, on_change: OnChange, *, fail_fast: bool) -> Driver:
        """Return the driver that carries the plan out, where something is to run.

        Args:
            on_change: called with the progress.
            fail_fast: whether the first failure ends it.
        """
        assert self.estimate is not None  # noqa: S101
        workforce, remaining = self.estimate.workforce, self.estimate.remaining
        return Driver(self.plan.order, self.folder, workforce, remaining, on_change, fail_fast=fail_fast)

    @property
    def nothing_run(self) -> Summary:
        """The summary where nothing is to run."""
        return Summary(Progress(planned=0, skipped=len(self.plan.done)))


@garbage.left_alone()
def prepare(
    grids: Sequence[Grid], options: Options, results_dir: Path, executor: Executor, shift: Shift | None = None
) -> Job:
    """Check and plan grids.

    Args:
        grids: the grids to run. A model that several of them name is run in those for its architecture.
        options: the flags.
        results_dir: the folder for result files.
        executor: what will compute the runs.
        shift: which part of the work this call does; None: all of it.

    Raises:
        ConfigurationError: something is wrong with the call.
    """
    checked = preflight(grids, options, executor.machines)
    if not is_folder(results_dir) and results_dir.exists():
        raise ConfigurationError(f"results folder {results_dir}: this is a file; give a folder")
    folder = ResultsFolder(results_dir)
    wanted = Wanted(
        overwrite=options.overwrite_results,
        retry_failed=options.retry_failed,
        log_samples=options.log_samples,
        log_texts=options.log_texts,
        since=shift.since if shift else None,
    )
    plan = make_plan(checked.runs, folder, wanted)
    num_gpus = options.NUM_GPUS_PER_RUN if options.has_num_gpus else None
    estimate = make_estimate(plan, folder, checked.sizes, checked.machines, num_gpus)
    if estimate is not None:
        executor.check_paths(sorted({path for run in plan.to_run for path in run.paths}))
    return Job(checked=checked, folder=folder, plan=plan, estimate=estimate, shift=shift)
