"""What is printed when a grid has ended: the results as a table, what failed and why, what could not be written."""

import sys
from collections.abc import Sequence

from lm_eval.config import RunConfig
from lm_eval.driver import Summary
from lm_eval.errors import ConfigurationError
from lm_eval.identity import Identifier
from lm_eval.plan import Plan
from lm_eval.result_files import StoredResult
from lm_eval.results import ResultsFolder
from lm_eval.table import describe, format_results, say_documents
from lm_eval.worker import Outcome

_LOG_LINES = 5
"""Of a dead worker's log, that are shown."""


def print_counts(summary: Summary, left: int) -> None:
    """Print how many runs ended in which way.

    Args:
        summary: how the grid ended.
        left: runs that were not begun or not finished.
    """
    elsewhere = f", {summary.elsewhere} by another driver" if summary.elsewhere else ""
    print(f"{summary.finished} finished{elsewhere}, {len(summary.failures)} failed, {left} not run", flush=True)


def print_results(configs: Sequence[RunConfig], folder: ResultsFolder) -> None:
    """Print the results of configurations as a table."""
    identify = Identifier()
    stored: list[StoredResult] = []
    for config in configs:
        try:
            found = folder.find(config, identify)
        except ConfigurationError:  # its data or model went away meanwhile
            continue
        if found is not None:
            stored.append(found)
    if stored:
        print(format_results(stored))
        print(say_documents(stored))


def print_summary(plan: Plan, summary: Summary, folder: ResultsFolder) -> int:
    """Print what failed, and return the exit status."""
    if summary.stopped:
        ended = summary.finished + summary.elsewhere + len(summary.failures)
        print_counts(summary, len(plan.to_run) - ended)
    _print_failures([Outcome(config=config, failure=recorded.failure) for config, recorded in plan.failed], "before")
    _print_failures(summary.failures)
    if summary.failures:
        print(
            f"each is recorded in {folder.path}, in a file ending in .error.json; --retry_failed runs them again",
            file=sys.stderr,
        )
    print_unwritten(summary, folder)
    return 1 if summary.failures or summary.unwritten or plan.failed else 0


def _print_failures(failures: Sequence[Outcome], when: str = "") -> None:
    """Print every cause once, under the runs that it ended; of a worker that died, also the end of its log."""
    by_cause: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in failures:
        if (failure := outcome.failure) is not None:
            by_cause.setdefault((failure.message, failure.traceback or ""), []).append(outcome)
    for (message, traceback), outcomes in by_cause.items():
        for outcome in outcomes:
            print(f"failed{when and f' {when}'}: {describe(outcome.config)}", file=sys.stderr)
        first = outcomes[0].failure
        log = first.log_tail.strip().splitlines()[-_LOG_LINES:] if first is not None and first.kind == "death" else []
        print("\n".join([f"  {traceback or message}", *(f"  | {line}" for line in log)]), file=sys.stderr)


def print_unwritten(summary: Summary, folder: ResultsFolder) -> None:
    """Print which results could not be written, and where they are instead."""
    if not summary.unwritten:
        return
    print(f"NOT WRITTEN to {folder.path}: {len(summary.unwritten)} results", file=sys.stderr)
    for outcome in summary.unwritten:
        print(f"  {describe(outcome.config)}", file=sys.stderr)
    where, rescued = summary.rescued_to, summary.num_rescued
    which = "they are" if rescued == len(summary.unwritten) else f"{rescued} of them are"
    told = "they are lost" if where is None else f"{which} in {where}; move its files there once there is room"
    print(f"  {told}", file=sys.stderr)
