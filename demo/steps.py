"""Running the grid scripts one after the other, with what each has to do on the screen; their results as a table."""

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from lm_eval.models.model_list import DEMO
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.result_file import StoredResult
from lm_eval.results.table import find_baselines, format_results, say_documents, sort_results

TOP = DEMO.parent
SCRIPTS = TOP / "scripts"
Step = tuple[str, str, str]
"""A title, a grid script, and the name of its results folder."""


def run_steps(steps: Iterable[Step], results: Path, flags: Sequence[str]) -> int:
    """Run grid scripts with the same flags; return the exit status of the first that failed, else 0.

    Args:
        steps: what to run.
        results: the folder of the results folders.
        flags: of each script.
    """
    for title, script, name in steps:
        if status := _run_script(title, script, [*flags, "--results_dir", str(results / name)]):
            return status
    return 0


def _run_script(title: str, script: str, flags: Sequence[str]) -> int:
    """Run a grid script, report what it has to do, and return its exit status."""
    shown = [os.path.relpath(flag, TOP) if Path(flag).is_absolute() else flag for flag in flags]
    print(f"{title}: scripts/{script} {' '.join(shown)}", flush=True)
    command = [sys.executable, str(SCRIPTS / script), *flags]
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


def print_table(folders: Iterable[Path], limit: int) -> list[StoredResult]:
    """Print the table of results folders and which documents they are of; return the results.

    Args:
        folders: the results folders.
        limit: the number of documents; results of others are left out.
    """
    stored = [result for folder in dict.fromkeys(folders) for result in ResultsFolder(folder)]
    results = sort_results(result for result in stored if str(result.config.limit) == str(limit))
    print(f"\n{format_results(results, find_baselines(results))}\n")
    print(say_documents(results))
    return results
