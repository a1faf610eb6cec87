"""`launch`, the main function of grid scripts: read the flags, check the grids, plan, run, report, exit.

Anything wrong with the call ends in one message and exit status 2 before anything runs.
"""

import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import TypeVar

from lm_eval.common.command import FAILED, exit_status
from lm_eval.common.console import line_width, print_safely
from lm_eval.common.text import first_line
from lm_eval.config.run_config import describe
from lm_eval.errors import ConfigurationError
from lm_eval.grid.console import (
    describe_failures,
    describe_unwritten,
    print_counts,
    print_cuts,
    print_failures,
    print_plan,
    print_results,
    send_results,
)
from lm_eval.grid.dry_run import describe_dry_run
from lm_eval.grid.grid import Grid, expand
from lm_eval.grid.grid_file import read_grids, write_grids
from lm_eval.grid.job import Job, prepare
from lm_eval.grid.lists import replace_lists
from lm_eval.grid.next_step import next_steps
from lm_eval.grid.options import Options, read_options
from lm_eval.grid.plan import describe_plan
from lm_eval.grid.preflight import settle
from lm_eval.grid.progress import GridProgress
from lm_eval.grid.shutdown import shut_down, shutdown_command
from lm_eval.grid.slurm.submit import submit_grids
from lm_eval.scheduling.executors.base import Executor, ExecutorLostError
from lm_eval.scheduling.executors.choose import choose_executor
from lm_eval.scheduling.passes import sweep_state
from lm_eval.scheduling.shift import Shift
from lm_eval.scheduling.summary import Summary


def launch(run: Callable[[], Grid], results_dir: str, switches: Sequence[Callable[[], Sequence[Grid]]] = ()) -> None:
    """Read the command line, run the grid, and exit with its status.

    Args:
        run: returns the grid; its docstring is the script's help.
        results_dir: the folder for result files unless `--results_dir` names another.
        switches: functions that return further grids to run; each adds a switch of its name to this script, with its
            docstring's first line as the help.

    The exit status is 0 when all is done or skipped, 1 when a run failed, 2 when the call was wrong and nothing ran.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt_once)

    def work() -> int:
        name, own = Path(sys.argv[0]).name, {switch.__name__: first_line(switch.__doc__ or "") for switch in switches}
        options = read_options(sys.argv[1:], name=name, description=str(run.__doc__), own_switches=own)
        chosen = [switch for switch in switches if switch.__name__ in options.own_switches]
        grids = [*_main_grids(run, options), *(grid for switch in chosen for grid in _make(switch))]
        return carry_out(grids, options, results_dir)

    message = "interrupted; what was finished is in the results folder, call again for the rest"
    status = exit_status(work, interrupted=lambda: message)
    _ignore_interrupts()
    sys.exit(status)


def _interrupt_once(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Interrupt the work; a second Ctrl-C must not interrupt the cleanup."""
    _ignore_interrupts()
    raise KeyboardInterrupt


def _ignore_interrupts() -> None:
    """Ignore further signals by a function: SIG_IGN would make Python complain of one that has just come."""
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, lambda *_: None)


def _main_grids(run: Callable[[], Grid], options: Options) -> list[Grid]:
    """Return the script's grid, or those of `--grid`, with the lists that flags give."""
    if options.grid is None:
        return [replace_lists(_make(run), options.lists)]
    grids = read_grids(options.grid)
    if options.lists and len(grids) > 1:
        raise ConfigurationError(
            f"--{next(iter(options.lists))}: {options.grid} holds {len(grids)} grids; change their lists there"
        )
    return [replace_lists(grid, options.lists) for grid in grids]


_Made = TypeVar("_Made")


def _make(run: Callable[[], _Made]) -> _Made:
    try:
        return run()
    except TypeError as error:  # a misspelt keyword
        raise ConfigurationError(
            f"the grid at the top of {Path(sys.argv[0]).name} cannot be made: {error}; "
            f"its lists are {', '.join(item.name for item in fields(Grid))}"
        ) from error


def carry_out(
    grids: Sequence[Grid],
    options: Options,
    results_dir: str,
    executor: Executor | None = None,
    shift: Shift | None = None,
) -> int:
    """Run grids as one, or submit them to a queue, and return the exit status.

    Args:
        grids: the grids to run. A model that several of them name is run in those for its architecture.
        options: the flags.
        results_dir: the folder for result files unless the options name another.
        executor: what computes the runs; None takes the one that the options name.
        shift: which part of the work this call does; None: all of it.

    Raises:
        ConfigurationError: something is wrong with the call; nothing ran.
    """
    if options.slurm is not None:
        return submit_grids(grids, options, Path(options.results_dir or results_dir))
    executor = executor or choose_executor(
        options.cluster,
        log_samples=options.log_samples,
        stall_timeout_s=options.stall_timeout,
        is_dry=options.dry_run,
    )
    try:
        if options.write_grid is not None:
            return _write(grids, options, options.write_grid)
        job = prepare(grids, options, Path(options.results_dir or results_dir), executor, shift)
        return _carry_out(job, options, executor)
    except ExecutorLostError as error:
        print_safely(f"error: {error}")
        return FAILED
    finally:
        executor.close()


def _carry_out(job: Job, options: Options, executor: Executor) -> int:
    plan, folder = job.plan, job.folder
    print_plan(plan, folder, job.estimate, job.checked.notes)
    if options.dry_run:
        print("\n".join(describe_plan(plan, describe) if options.list else describe_dry_run(plan, line_width())))
        if options.shutdown_at_exit:
            print(f"at the end this machine would be shut down with: {' '.join(shutdown_command())}")
        return 0
    job.check_ready()
    with _shutting_down(asked=options.shutdown_at_exit):
        summary = _run(job, executor, fail_fast=options.fail_fast)
        failures = describe_failures(plan, summary, folder)
        if summary.stopped or (job.shift is not None and job.shift.ending):
            print_counts(summary)
        print_results(plan, job.checked.runs, folder)
        print_cuts(job.checked.runs, folder)
        failures += send_results(job.checked.runs, folder, options.wandb)
        print_failures(failures)
        print("".join(f"{line}\n" for line in next_steps(job.checked.runs, folder, options)), end="")
        return 1 if failures else 0


def _write(grids: Sequence[Grid], options: Options, path: str) -> int:
    """Write grids, with the models and tasks of the flags, once their combinations are checked; run nothing."""
    common, pairs = settle(grids, options)
    for grid, _ in pairs:
        expand(grid, common)
    write_grids(path, [grid for grid, _ in pairs])
    print(f"written to {path}, nothing was run; --grid {path} runs it")
    return 0


@contextlib.contextmanager
def _shutting_down(*, asked: bool) -> Iterator[None]:
    """Shut the machine down after the `with` block, if asked to, also after a failure."""
    try:
        yield
    except KeyboardInterrupt:  # the user is at the terminal
        raise
    except BaseException:
        if asked:
            shut_down()
        raise
    if asked:
        shut_down()


def _run(job: Job, executor: Executor, *, fail_fast: bool) -> Summary:
    if job.estimate is None:
        sweep_state(job.folder)
        summary = job.nothing_run
        if job.shift is not None:
            job.shift.summary = summary
        return summary
    from lm_eval.grid.display import GridDisplay  # noqa: PLC0415  (a plan needs no display)

    with GridDisplay(GridProgress.of(job.estimate), job.folder) as bar:
        driver = job.driver(bar.show, fail_fast=fail_fast)
        try:
            return driver.run(executor, job.shift)
        except (KeyboardInterrupt, ExecutorLostError):
            bar.close()
            print_counts(driver.summary)
            print_failures(describe_unwritten(driver.summary, job.folder))
            raise
