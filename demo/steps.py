"""Running the grid scripts one after the other, with what each has to do on the screen; their results."""

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from lm_eval.models.model_list import DEMO
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.result_file import StoredResult
from lm_eval.results.table import sort_results

TOP = DEMO.parent
SCRIPTS = TOP / "scripts"


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
        if status := _run_script(step, [*step.flags, *flags, "--results_dir", str(results / step.folder)]):
            return status
    return 0


def _run_script(step: Step, flags: Sequence[str]) -> int:
    """Run a grid script, report what it has to do, and return its exit status."""
    shown = [os.path.relpath(flag, TOP) if Path(flag).is_absolute() else flag for flag in flags]
    print(f"{step.title}: scripts/{step.script} {' '.join(shown)}", flush=True)
    command = [sys.executable, str(SCRIPTS / step.script), *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as script_run:  # noqa: S603
        try:
            _report(script_run.stdout or ())
        except KeyboardInterrupt:  # which the script got too; it stops its workers and says so
            script_run.wait()
            raise
    return script_run.returncode


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
