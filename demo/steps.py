"""Running the grid scripts one after the other, with what each has to do on the screen; their results.

Each script has a process of its own, as on the command line. On Linux it is a copy of this one, which imports
torch and transformers where nothing has been run yet: that takes most of the time of a small grid.
"""

import importlib
import multiprocessing
import os
import runpy
import sys
from collections.abc import Iterable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from lm_eval.common import garbage
from lm_eval.common.command import INTERRUPTED
from lm_eval.models.model_list import DEMO
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.result_file import StoredResult
from lm_eval.results.table import sort_results

TOP = DEMO.parent
SCRIPTS = TOP / "scripts"

_COPIES = sys.platform == "linux"  # elsewhere the system's libraries may run threads, which a copy would lack
_PROCESSES: Any = multiprocessing.get_context("fork" if _COPIES else "spawn")


class Step(NamedTuple):
    """A grid script to run."""

    title: str
    script: str
    folder: str
    """The name of its results folder."""
    flags: tuple[str, ...] = ()
    """Flags of its own."""


def run_steps(steps: Iterable[Step], results: Path, flags: Sequence[str]) -> int:
    """Run grid scripts with the same flags; return the exit status of the first that failed, else 0.

    Args:
        steps: what to run.
        results: the folder of the results folders.
        flags: of each script, beside its own.
    """
    for step in steps:
        all_flags = [*step.flags, *flags, "--results_dir", str(results / step.folder)]
        shown = [os.path.relpath(flag, TOP) if Path(flag).is_absolute() else flag for flag in all_flags]
        print(f"{step.title}: scripts/{step.script} {' '.join(shown)}", flush=True)
        if _COPIES and not any(results.glob("*/*.json")):  # else there may be nothing to run
            _import_libraries()
        if status := _run_script(step.script, all_flags):
            return status
    return 0


def _import_libraries() -> None:
    try:
        with garbage.importing():
            importlib.import_module("torch")
            importlib.import_module("transformers.modeling_utils")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise


def _run_script(name: str, flags: Sequence[str]) -> int:
    """Run a grid script, report what it has to do, and return its exit status."""
    reading, writing = _PROCESSES.Pipe(duplex=False)
    script_run = _PROCESSES.Process(target=_be_script, args=(reading, writing, str(SCRIPTS / name), flags))
    script_run.start()
    writing.close()
    try:
        with open(reading.fileno(), encoding="utf-8", closefd=False) as lines:
            _report(lines)
        script_run.join()
    except KeyboardInterrupt:  # which the script got too; it stops its workers and says so
        script_run.join()
        raise
    return int(script_run.exitcode or 0)


def _be_script(other_end: Connection, output: Connection, script: str, flags: Sequence[str]) -> None:
    """Be the process of a script; its exit status ends the process."""
    try:
        other_end.close()  # or what is printed would go nowhere once nobody reads it
        os.dup2(output.fileno(), 1)
        sys.stdout = open(1, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115  (for good)
        sys.argv = [script, *flags]
        runpy.run_path(script, run_name="__main__")
    except KeyboardInterrupt:  # before it could say so
        sys.exit(INTERRUPTED)


def _report(lines: Iterable[str]) -> None:
    """Print what a script has to do and, where no progress bar shows it, each finished run."""
    for line in lines:
        if line.rstrip().endswith(" done"):
            print(f"  {line.rstrip().rpartition(': ')[2]} before", flush=True)
        elif line.startswith(("done (", "failed (")) and not sys.stderr.isatty():
            print(f"  {line.rstrip()}", flush=True)


def collect(steps: Iterable[Step], results: Path, limit: int) -> list[StoredResult]:
    """Return the results of scripts on so many documents; those of others are left out."""
    folders = dict.fromkeys(results / step.folder for step in steps)
    stored = [result for folder in folders for result in ResultsFolder(folder)]
    return sort_results(result for result in stored if str(result.config.limit) == str(limit))
