"""`run_grid`: a grid from Python, such as a notebook: a table of results, errors as exceptions, nothing ended."""

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from lm_eval.common.console import line_width, print_safely
from lm_eval.common.text import describe_seconds
from lm_eval.config.run_config import SEED
from lm_eval.errors import ConfigurationError, RunError
from lm_eval.grid.console import describe_cuts, describe_failures, describe_unwritten, send_results
from lm_eval.grid.grid import Grid
from lm_eval.grid.job import Job, prepare
from lm_eval.grid.options import Options
from lm_eval.grid.plan import plan_remarks
from lm_eval.scheduling.executors.base import Executor, ExecutorLostError
from lm_eval.scheduling.executors.choose import choose_executor
from lm_eval.scheduling.heartbeat import Progress
from lm_eval.scheduling.summary import Summary

if TYPE_CHECKING:
    import pandas as pd

_WIDEST = 100
"""Characters of the bar; in a notebook, and in terminals that are wider."""


class FailedRunsError(RunError):
    """Runs of a grid failed; the message has each with its cause."""

    results: "pd.DataFrame"
    """The table of the others."""

    def __init__(self, message: str, results: "pd.DataFrame") -> None:
        super().__init__(message)
        self.results = results


def run_grid(  # noqa: PLR0913  (the flags of a grid script)
    grid: Grid | Sequence[Grid],
    *,
    results_dir: str | Path,
    limit: str | int | None = None,
    data_dir: str | Path | None = None,
    include_path: str | Path | None = None,
    dtype: str | None = None,
    loading: str | None = None,
    cluster: str = "local",
    num_gpus_per_run: int | None = None,
    overwrite_results: bool = False,
    retry_failed: bool = False,
    fail_fast: bool = False,
    log_samples: bool = False,
    stall_timeout: int = 900,
    seed: int = SEED,
    wandb: str | None = None,
    show_progress: bool = True,
    executor: Executor | None = None,
) -> "pd.DataFrame":
    """Run a grid, skip what the results folder already holds, and return all of its results.

    Args:
        grid: one grid, or several that are run as one.
        results_dir: folder for the result files, which `lm_eval.analysis` and the grid scripts read too.
        limit: documents to score: N for the first N, or `START:END`.
        data_dir: folder that holds the data in place of the hub; for the demo models the demo data by default.
        include_path: folder with task files.
        dtype: float32, bfloat16 or float16; None takes what the hardware computes natively.
        loading: how every model is loaded, `KEY=value,KEY=value`.
        cluster: local, none (this process alone), auto, or the address of a Ray cluster.
        num_gpus_per_run: GPUs of a run; None takes what its model needs.
        overwrite_results: whether results in the folder are computed again.
        retry_failed: whether what failed in an earlier call is tried again.
        fail_fast: whether the first failure stops the rest.
        log_samples: whether the scores of every document are stored.
        stall_timeout: seconds without a sign of life after which a worker is replaced.
        seed: decides the order of the documents and their shots.
        wandb: a project of Weights & Biases that gets the results too.
        show_progress: whether notes, and a bar while runs are computed, appear on standard error.
        executor: what computes the runs; None takes the one of `cluster`.

    Returns:
        A row a run, in the grid's order; `lm_eval.analysis.runs.describe_columns` says what the columns mean.

    Raises:
        ConfigurationError: something is wrong with the call; nothing ran.
        FailedRunsError: runs failed, now or in an earlier call; the others' results are in the folder, and in its
            `results`.
        ExecutorLostError: Ray was lost for good; what was finished is in the folder.
        KeyboardInterrupt: the user interrupted it; what was finished is in the folder.
    """
    options = Options(
        results_dir=str(results_dir),
        limit=None if limit is None else str(limit),
        seed=seed,
        data_dir=_as_text(data_dir),
        include_path=_as_text(include_path),
        dtype=dtype,
        loading=loading,
        cluster=cluster,
        NUM_GPUS_PER_RUN=1 if num_gpus_per_run is None else num_gpus_per_run,
        has_num_gpus=num_gpus_per_run is not None,
        overwrite_results=overwrite_results,
        retry_failed=retry_failed,
        fail_fast=fail_fast,
        log_samples=log_samples,
        stall_timeout=stall_timeout,
        wandb=wandb,
    )
    grids = [grid] if isinstance(grid, Grid) else list(grid)
    if not grids or not all(isinstance(one, Grid) for one in grids):
        raise ConfigurationError(f"run_grid: give a Grid or a list of them, got {grid!r:.80}")
    chosen = executor or choose_executor(
        options.cluster, log_samples=options.log_samples, stall_timeout_s=options.stall_timeout
    )
    try:
        job = prepare(grids, options, Path(results_dir).expanduser(), chosen)
        job.check_ready()
        summary = _compute(job, chosen, fail_fast=fail_fast, show_progress=show_progress)
    finally:
        chosen.close()
    for line in describe_cuts(job.checked.runs, job.folder) if show_progress else []:
        print_safely(line)
    failures = describe_failures(job.plan, summary, job.folder)
    failures += send_results(job.checked.runs, job.folder, options.wandb)
    results = _table(job)
    if failures:
        raise FailedRunsError("\n".join(failures), results)
    return results


def _as_text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)


def _compute(job: Job, executor: Executor, *, fail_fast: bool, show_progress: bool) -> Summary:
    for note in [*job.checked.notes, *plan_remarks(job.plan)] if show_progress else []:
        print_safely(note)
    if job.estimate is None:
        return job.nothing_run
    with _Bar(len(job.plan.to_run), len(job.plan.done), shown=show_progress) as bar:
        driver = job.driver(bar.show, fail_fast=fail_fast)
        try:
            return driver.run(executor)
        except (KeyboardInterrupt, ExecutorLostError):
            for line in describe_unwritten(driver.summary, job.folder):
                print_safely(line)
            raise


def say_progress(progress: Progress) -> str:
    """Return what runs and what failed, and the time that is left as long as there is something to do."""
    if progress.left <= 0:
        return f"{progress.failed} failed"
    running = sum(unit["num_runs"] for unit in progress.running.values())
    left = "" if progress.remaining_s is None else f", about {describe_seconds(progress.remaining_s)} left"
    return f"{running} running, {progress.failed} failed{left}"


class _Bar(contextlib.AbstractContextManager["_Bar"]):
    """A bar of the runs of a grid, which a notebook shows too; it stays when it is complete."""

    def __init__(self, num_runs: int, num_done: int, *, shown: bool) -> None:
        form = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} runs [{elapsed}{postfix}]"
        width = min(_WIDEST, line_width(sys.stderr) or _WIDEST)
        self._bar = tqdm(total=num_runs, bar_format=form, disable=not shown, file=sys.stderr, ncols=width)
        self._skipped = f", {num_done} done before" if num_done else ""
        self._bar.set_postfix_str(f"starting{self._skipped}")

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._bar.close()

    def show(self, progress: Progress, line: str | None) -> None:  # noqa: ARG002  (a notebook would fill with lines)
        """Update the bar."""
        with contextlib.suppress(OSError, ValueError):
            self._bar.set_postfix_str(say_progress(progress) + self._skipped, refresh=False)
            self._bar.update(progress.ended - self._bar.n)
            self._bar.refresh()


def _table(job: Job) -> "pd.DataFrame":
    """Return the results of the grid's runs, in its order."""
    from lm_eval.analysis.runs import table_of  # noqa: PLC0415  (pandas takes its time)

    found = [job.folder.find(run) for run in job.checked.runs]
    return table_of([stored for stored in found if stored is not None])
