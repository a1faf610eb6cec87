"""What a grid prints: its plan, progress, results as a table, failures with causes, results it could not write."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from types import TracebackType

from tqdm import tqdm

from lm_eval.common.text import describe_seconds
from lm_eval.config.run_config import describe
from lm_eval.grid.estimate import Estimate
from lm_eval.grid.plan import Plan, plan_remarks
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.identity import Run
from lm_eval.results.table import format_results, say_documents
from lm_eval.scheduling.heartbeat import Progress
from lm_eval.scheduling.summary import Summary
from lm_eval.scheduling.units import Outcome

_LOG_LINES = 5
"""Lines of a dead worker's log that are shown."""


def print_counts(summary: Summary) -> None:
    """Print how many runs ended in which way."""
    progress = summary.progress
    elsewhere = f", {progress.elsewhere} by another driver" if progress.elsewhere else ""
    print(f"{progress.finished} finished{elsewhere}, {progress.failed} failed, {progress.left} not run", flush=True)


def print_results(runs: Sequence[Run], folder: ResultsFolder) -> None:
    """Print the results of runs as a table."""
    results = [stored for run in runs if (stored := folder.find(run)) is not None]
    if results:
        print(format_results(results))
        print(say_documents(results))


def describe_failures(plan: Plan, summary: Summary, folder: ResultsFolder) -> list[str]:
    """Return, line by line, what failed now or before and why, and what could not be written; empty for none."""
    before = [Outcome(config=run.config, failure=recorded.failure) for run, recorded in plan.failed]
    lines = [*_describe_causes(before, "failed before"), *_describe_causes(summary.failures, "failed")]
    if summary.failures:
        lines.append(
            f"each is recorded in {folder.path}, in a file ending in .error.json; --retry_failed runs them again"
        )
    return lines + describe_unwritten(summary, folder)


def _describe_causes(failures: Sequence[Outcome], state: str) -> Iterator[str]:
    """Yield each cause once, below the runs that it failed; for a dead worker also the end of its log."""
    by_cause: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in failures:
        if (failure := outcome.failure) is not None:
            by_cause.setdefault((failure.message, failure.traceback or ""), []).append(outcome)
    for (message, traceback), outcomes in by_cause.items():
        yield from (f"{state}: {describe(outcome.config)}" for outcome in outcomes)
        yield f"  {traceback or message}"
        first = outcomes[0].failure
        if first is not None and first.kind == "death":
            yield from (f"  | {line}" for line in first.log_tail.strip().splitlines()[-_LOG_LINES:])


def describe_unwritten(summary: Summary, folder: ResultsFolder) -> list[str]:
    """Return, line by line, which results could not be written, and where they are instead."""
    if not summary.unwritten:
        return []
    rescue, rescued = summary.rescued_to, summary.num_rescued
    which = "they are" if rescued == len(summary.unwritten) else f"{rescued} of them are"
    return [
        f"NOT WRITTEN to {folder.path}: {len(summary.unwritten)} results",
        *(f"  {describe(outcome.config)}" for outcome in summary.unwritten),
        "  they are lost" if rescue is None else f"  {which} in {rescue}; move its files there once there is room",
    ]


_GRID_FORMAT = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} runs [{elapsed}{postfix}]"


class GridProgress:
    """Shows the progress of a grid: a line for each run that ends, and in a terminal a bar below them."""

    def __init__(self, num_runs: int) -> None:
        is_terminal = sys.stderr.isatty()
        self._bar = tqdm(total=num_runs, bar_format=_GRID_FORMAT, disable=not is_terminal, dynamic_ncols=True)
        self._bar.set_postfix_str("starting")

    def __enter__(self) -> "GridProgress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the bar."""
        with contextlib.suppress(OSError, ValueError):
            self._bar.close()

    def show(self, progress: Progress, line: str | None) -> None:
        """Update the bar, and print a line about a run that has ended, if any."""
        with contextlib.suppress(OSError, ValueError):  # a log on a full disk, a pipe that nobody reads any more
            self._show(progress, line)

    def _show(self, progress: Progress, line: str | None) -> None:
        if line is not None:
            self._bar.write(line)
            sys.stdout.flush()
        running = sum(unit["num_runs"] for unit in progress.running.values())
        left = "" if progress.remaining_s is None else f", about {describe_seconds(progress.remaining_s)} left"
        self._bar.set_postfix_str(f"{running} running, {progress.failed} failed{left}", refresh=False)
        self._bar.update(progress.ended - self._bar.n)
        self._bar.refresh()


def print_plan(plan: Plan, folder: ResultsFolder, estimate: Estimate | None, notes: Sequence[str] = ()) -> None:
    """Print how many runs are to run and done, remarks on the stored results, and the estimate.

    Args:
        plan: what is to run and why.
        folder: the results folder.
        estimate: workers and time; None where nothing is to run.
        notes: what else is to be said of them.
    """
    for note in notes:
        print(note, file=sys.stderr)
    for path, why in folder.unreadable.items():
        print(f"not a result, kept and ignored: {path} ({why})", file=sys.stderr)
    for remark in plan_remarks(plan):
        print(remark, file=sys.stderr)
    outdated = f" ({plan.num_outdated} of them outdated)" if plan.num_outdated else ""
    failed = f", {len(plan.failed)} failed before (--retry_failed runs them again)" if plan.failed else ""
    print(f"{folder.path}: {len(plan.to_run)} to run{outdated}, {len(plan.done)} done{failed}")
    if estimate is not None:
        print("\n".join(estimate.lines()))
    sys.stdout.flush()
