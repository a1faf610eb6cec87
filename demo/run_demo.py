"""`make demo`: both tests and the baseline on the embedded models, through the grid scripts, and what they show."""

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # lm_eval of this checkout, installed or not

from demo.first_screen import draw_first_screen
from lm_eval.models.model_list import DEMO
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.result_file import StoredResult

SCRIPTS = DEMO.parent / "scripts"
RESULTS = DEMO / "results"
LIMIT = 200
"""Documents, enough for the schemes to differ by more than their standard errors."""
LAYERS = {"demo-t5": None, "demo-gpt": "E"}
"""The layer that each model's vectors come from on the first screen: the encoder's last, or the input embeddings."""


class Step(NamedTuple):
    """A grid script of the demonstration."""

    title: str
    script: str
    folder: str
    flags: tuple[str, ...] = ()

    def run(self) -> int:
        """Run the script on the embedded models, report what it has to do, and return its exit status."""
        flags = [*self.flags, "--models", "demo", "--limit", str(LIMIT), "--results_dir"]
        shown = os.path.relpath(RESULTS / self.folder, DEMO.parent)
        print(f"{self.title}: scripts/{' '.join([self.script, *flags, shown])}", flush=True)
        return _run([sys.executable, str(SCRIPTS / self.script), *flags, str(RESULTS / self.folder)])


FIRST = (
    Step("baseline", "run_parallel_baseline.py", "lmeval_results_baseline", ("--controls",)),
    Step("Test 1, encoder-decoder", "run_parallel_gen_t5.py", "lmeval_results_t5", ("--compression",)),
    Step("Test 1, decoder-only", "run_parallel_gen_gpt.py", "lmeval_results_gen", ("--compression",)),
)
"""What the first screen shows."""
THEN = (
    Step("Test 2, encoder-decoder", "run_parallel_sim_t5.py", "lmeval_results_t5"),
    Step("Test 2, decoder-only", "run_parallel_sim_gpt.py", "lmeval_results_sim_latest"),
)


def _run(command: Sequence[str]) -> int:
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


def _collect() -> list[StoredResult]:
    folders = dict.fromkeys(RESULTS / step.folder for step in (*FIRST, *THEN))
    stored = [result for folder in folders for result in ResultsFolder(folder)]
    return [result for result in stored if str(result.config.limit) == str(LIMIT)]


def _python() -> str:
    """Return what to type for this Python."""
    try:
        return os.path.relpath(sys.executable, DEMO.parent) if sys.prefix != sys.base_prefix else sys.executable
    except ValueError:  # on another drive
        return sys.executable


def main() -> int:
    """Run all steps and print what they show; the exit status is that of the first step that failed."""
    try:
        if status := next(filter(None, (step.run() for step in FIRST)), 0):
            return status
        print(f"\n{draw_first_screen(_collect(), LAYERS)}\n", flush=True)
        if status := next(filter(None, (step.run() for step in THEN)), 0):
            return status
    except KeyboardInterrupt:
        return 130
    print(f"\nall {len(_collect())} results as a table, and as figures with six notebooks:")
    print(f"  {_python()} -m lm_eval.table {os.path.relpath(RESULTS, DEMO.parent)}/*\n  make charts")
    return 0


if __name__ == "__main__":
    sys.exit(main())
