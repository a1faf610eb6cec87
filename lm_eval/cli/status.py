"""The status of a grid, read from its results folder: running and ended drivers, results, failures."""

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lm_eval.common import garbage
from lm_eval.common.console import fit, is_terminal, line_width
from lm_eval.common.regular_files import is_folder
from lm_eval.common.text import count_of, describe_seconds
from lm_eval.config.run_config import describe
from lm_eval.errors import ConfigurationError
from lm_eval.grid.slurm.overview import read_arrays
from lm_eval.results.failures import RecordedFailure, is_current, read_failures
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.table import format_results, say_documents, sort_results
from lm_eval.scheduling.driver_file import DriverRecord
from lm_eval.scheduling.heartbeat import DriverState, read_drivers

if TYPE_CHECKING:
    from rich.console import RenderableType

_EVERY_S = 2.0
"""Time between two looks of `--watch`."""
_OLD_SHOWN = 3
"""How many ended drivers are shown."""


@garbage.left_alone()
def describe_status(path: Path, *, table: bool, width: int | None = None) -> list[str]:
    """Describe a results folder, line by line.

    Args:
        path: the folder.
        table: whether the results are shown too.
        width: characters that a line of the table may have; None takes as many as are needed.

    Raises:
        ConfigurationError: there is no such folder.
    """
    if not is_folder(path):
        raise ConfigurationError(f"{path}: no such folder; give the results folder of a grid")
    folder, failures = ResultsFolder(path), read_failures(path)
    results = list(folder)
    failed = {
        name: recorded
        for name, recorded in failures.items()
        if folder.find(recorded.as_run()) is None and is_current(recorded)
    }
    unreadable = count_of(len(folder.unreadable), "unreadable file")
    lines = [f"{path}: {count_of(len(results), 'result')}, {len(failed)} failed, {unreadable}"]
    lines += [line for array in read_arrays(path) for line in array.lines()]
    lines += _describe_drivers(read_drivers(path))
    lines += _describe_failures(list(failed.values()))
    lines += [f"not a result: {file.name} ({why})" for file, why in folder.unreadable.items()]
    if table and results:
        lines += ["", f"{format_results(sort_results(results), width=width)}\n{say_documents(results)}"]
    return lines


def fit_lines(lines: Sequence[str]) -> list[str]:
    """Return lines that are no longer than a terminal is wide."""
    return [fitted for line in lines for fitted in (line if "\n" in line else fit(line)).split("\n")]


def watch_status(paths: Sequence[Path], *, table: bool) -> None:
    """Show folders in the terminal, again and again, until nothing runs or waits in any of them or Ctrl-C.

    Raises:
        ConfigurationError: there is no such folder, or no terminal.
    """
    if not is_terminal(sys.stdout):
        raise ConfigurationError("--watch draws in a terminal, and the output is none; leave it out")
    from rich.live import Live  # noqa: PLC0415  (only where something is drawn)

    with Live(auto_refresh=False, vertical_overflow="crop") as live, contextlib.suppress(KeyboardInterrupt):
        while True:
            began, width = time.monotonic(), line_width()
            live.update(_draw(paths, table=table, width=width), refresh=True)
            if not any(map(_is_going_on, paths)):
                return
            time.sleep(max(_EVERY_S, 10 * (time.monotonic() - began)))  # reading large folders takes time itself


def _is_going_on(path: Path) -> bool:
    """Whether drivers run in a folder, or jobs of Slurm that are to run wait."""
    if any(driver.is_alive for driver in read_drivers(path)):
        return True
    return any(not array.is_over for array in read_arrays(path))


def _draw(paths: Sequence[Path], *, table: bool, width: int | None) -> "RenderableType":
    """Return what `--watch` shows now: a bar for each driver that runs, above the lines of its folder."""
    from rich.console import Group  # noqa: PLC0415
    from rich.progress_bar import ProgressBar  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    shown: list[RenderableType] = []
    for path in paths:
        for driver in read_drivers(path):
            if driver.is_alive and driver.record is not None and driver.record.planned:
                record = driver.record
                ended = record.finished + record.elsewhere + record.failed
                done, total = (record.documents_done, record.documents) if record.documents else (ended, record.planned)
                bar = Table.grid(expand=True)  # a bar by itself ends no line
                bar.add_row(ProgressBar(total=total, completed=done))
                shown.append(bar)
        lines = fit_lines(describe_status(path, table=table, width=width))
        shown += [Text(line, style="red" if line.startswith("failed: ") else "", no_wrap=True) for line in lines]
    return Group(*shown, Text(f"{datetime.now().astimezone():%H:%M:%S}", style="dim"))


def _describe_drivers(drivers: Sequence[DriverState]) -> Iterator[str]:
    alive = [driver for driver in drivers if driver.is_alive]
    ended = [driver for driver in drivers if not driver.is_alive]
    if not drivers:
        yield "no grid has been run here"
    for driver in [*alive, *ended[:_OLD_SHOWN]]:
        if driver.record is None:  # damaged, or of another version of this code
            yield f"a driver whose file is not valid: {driver.name}"
        else:
            yield from _describe_driver(driver, driver.record)
    if len(ended) > _OLD_SHOWN:
        yield f"{len(ended) - _OLD_SHOWN} earlier drivers"


def _describe_driver(driver: DriverState, record: DriverRecord) -> Iterator[str]:
    done = record.finished + record.elsewhere
    left = record.planned - done - record.failed
    state = "running" if driver.is_alive else record.ended or "exited without a final record (killed?)"
    yield (
        f"{state}: {record.host}, process {record.pid}, since {_format_time(record.started)}: "
        f"{done} of {record.planned} done, {record.failed} failed, {left} left, {record.skipped} done before"
    )
    yield f"    {record.command_line}"
    if not driver.is_alive:
        return
    if record.documents:
        yield f"    {record.documents_done:,} of {record.documents:,} documents"
    if record.remaining_s is not None:
        passed = max(0.0, time.time() - driver.updated)
        yield f"    about {describe_seconds(max(0.0, record.remaining_s - passed))} left"
    for worker, unit in sorted(record.running.items()):
        more = f" and {unit.num_runs - 1} more" if unit.num_runs > 1 else ""
        yield f"    {worker}, for {describe_seconds(max(0.0, time.time() - unit.since))}: {unit.first}{more}"


def _format_time(moment: str) -> str:
    """Format a time in the local time zone; "?" if empty."""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else "?"


def _describe_failures(failures: Sequence[RecordedFailure]) -> Iterator[str]:
    """Yield each cause once, below the runs that it failed."""
    causes = Counter(recorded.failure.message for recorded in failures)
    for cause, _ in causes.most_common():
        for recorded in failures:
            if recorded.failure.message == cause:
                yield f"failed: {describe(recorded.config)} ({recorded.path.name})"
        yield f"    {cause}"
