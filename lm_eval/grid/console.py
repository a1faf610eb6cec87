"""What a grid prints: its plan, results as a table, failures with causes, results it could not write."""

import os
import sys
from collections.abc import Iterator, Sequence

from lm_eval.common.console import fit, is_terminal, line_width, print_safely
from lm_eval.common.text import count_of, say_cut
from lm_eval.config.run_config import describe
from lm_eval.errors import RunError
from lm_eval.grid.estimate import Estimate
from lm_eval.grid.plan import Plan, plan_remarks
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.identity import Run
from lm_eval.results.table import format_results, say_documents
from lm_eval.results.weights_and_biases import LoggedResult, log_results
from lm_eval.scheduling.summary import Summary
from lm_eval.scheduling.units import Outcome

_RUNS_OF_A_CAUSE = 4
"""Failed runs that are named above a cause that they share; all are in the folder."""
_LOG_LINES = 5
"""Lines of a dead worker's log that are shown."""


def print_counts(summary: Summary) -> None:
    """Print how many runs ended in which way."""
    progress = summary.progress
    elsewhere = f", {progress.elsewhere} by another driver" if progress.elsewhere else ""
    print(f"{progress.finished} finished{elsewhere}, {progress.failed} failed, {progress.left} not run", flush=True)


def print_results(plan: Plan, runs: Sequence[Run], folder: ResultsFolder) -> None:
    """Print the results of runs as a table; in a file or a pipe, only if lines haven't told all of them already."""
    results = [stored for run in runs if (stored := folder.find(run)) is not None]
    if results and (sys.stdout.isatty() or not plan.to_run or plan.done):
        print(format_results(results, width=line_width()))
        print(say_documents(results))


def print_cuts(runs: Sequence[Run], folder: ResultsFolder) -> None:
    """Print on standard error, for each model, in how many runs segments were cut, and how many at the most."""
    for line in describe_cuts(runs, folder):
        print(fit(line, sys.stderr), file=sys.stderr)


def describe_cuts(runs: Sequence[Run], folder: ResultsFolder) -> list[str]:
    """Return a line for each model of whose results some state that segments were cut."""
    numbers: dict[str, list[int]] = {}
    for run in runs:
        if (stored := folder.find(run)) is not None:
            numbers.setdefault(run.config.model_name, []).append(stored.record.num_truncated_segments or 0)
    return [
        f"warning: {name}: in {sum(map(bool, cut))} of {count_of(len(cut), 'run')}, up to "
        f"{say_cut(max(cut), 'the model takes')}"
        for name, cut in numbers.items()
        if any(cut)
    ]


def print_failures(lines: Sequence[str]) -> None:
    """Print what failed on standard error; in a terminal in red."""
    if not lines:
        return
    begin, end = ("\x1b[31m", "\x1b[0m") if is_terminal(sys.stderr) and "NO_COLOR" not in os.environ else ("", "")
    text = "\n".join(fit(line, sys.stderr) if "\n" not in line else line for line in lines)
    print(f"{begin}{text}{end}", file=sys.stderr)


def send_results(runs: Sequence[Run], folder: ResultsFolder, project: str | None) -> list[str]:
    """Send the results of runs to a project of Weights & Biases, where one is named, say so, and return what failed."""
    if project is None:
        return []
    found = [stored for run in runs if (stored := folder.find(run)) is not None]
    try:
        print_safely(log_results(project, map(LoggedResult.of, found)))
    except RunError as error:
        return [str(error)]
    return []


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
        yield from (f"{state}: {describe(outcome.config)}" for outcome in outcomes[:_RUNS_OF_A_CAUSE])
        if (more := len(outcomes) - _RUNS_OF_A_CAUSE) > 0:
            yield f"{state}: {more} more {'run' if more == 1 else 'runs'}, of the same cause"
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
        f"NOT WRITTEN to {folder.path}: {count_of(len(summary.unwritten), 'result')}",
        *(f"  {describe(outcome.config)}" for outcome in summary.unwritten),
        "  they are lost" if rescue is None else f"  {which} in {rescue}; move its files there once there is room",
    ]


def print_plan(plan: Plan, folder: ResultsFolder, estimate: Estimate | None, notes: Sequence[str] = ()) -> None:
    """Print how many runs are to run and done, remarks on the stored results, and the estimate.

    Args:
        plan: what is to run and why.
        folder: the results folder.
        estimate: workers and time; None where nothing is to run.
        notes: what else is to be said of them.
    """
    unreadable = [f"not a result, kept and ignored: {path} ({why})" for path, why in folder.unreadable.items()]
    for remark in (*notes, *unreadable, *plan_remarks(plan)):
        print(fit(remark, sys.stderr), file=sys.stderr)
    outdated = f" ({plan.num_outdated} of them outdated)" if plan.num_outdated else ""
    failed = f", {len(plan.failed)} failed before (--retry_failed runs them again)" if plan.failed else ""
    counts = f"{folder.path}: {len(plan.to_run)} to run{outdated}, {len(plan.done)} done{failed}"
    for line in (counts, *([] if estimate is None else estimate.lines())):
        print(fit(line))
    sys.stdout.flush()
