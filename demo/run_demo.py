"""`make demo`: both tests and the baseline on the embedded models, through the grid scripts, and one table."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # lm_eval of this checkout, installed or not

from lm_eval.models.model_list import DEMO
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.result_file import StoredResult
from lm_eval.results.table import find_baselines, format_results, say_documents, sort_results

SCRIPTS = DEMO.parent / "scripts"
RESULTS = DEMO / "results"
LIMIT = 200
"""Documents, enough for the schemes to differ by more than their standard errors."""

STEPS = (
    ("baseline", "run_parallel_baseline.py", "lmeval_results_baseline"),
    ("Test 1 (generation), decoder-only", "run_parallel_gen_gpt.py", "lmeval_results_gen"),
    ("Test 1 (generation), encoder-decoder", "run_parallel_gen_t5.py", "lmeval_results_t5"),
    ("Test 2 (similarity), decoder-only", "run_parallel_sim_gpt.py", "lmeval_results_sim_latest"),
    ("Test 2 (similarity), encoder-decoder", "run_parallel_sim_t5.py", "lmeval_results_t5"),
)


def _run_script(title: str, script: str, folder: Path) -> int:
    """Run a grid script on the embedded models, report what it has to do, and return its exit status."""
    shown = os.path.relpath(folder, DEMO.parent)
    print(f"{title}: scripts/{script} --models demo --limit {LIMIT} --results_dir {shown}", flush=True)
    flags = ["--models", "demo", "--limit", str(LIMIT), "--results_dir", str(folder)]
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


def _collect() -> list[StoredResult]:
    folders = dict.fromkeys(RESULTS / name for _, _, name in STEPS)
    stored = [result for folder in folders for result in ResultsFolder(folder)]
    return sort_results(result for result in stored if str(result.config.limit) == str(LIMIT))


def main() -> int:
    """Run all steps and print the table; the exit status is that of the first step that failed."""
    try:
        for title, script, name in STEPS:
            if status := _run_script(title, script, RESULTS / name):
                return status
    except KeyboardInterrupt:
        return 130
    results = _collect()
    print(f"\n{format_results(results, find_baselines(results))}\n")
    print(say_documents(results))
    print("acc: share of documents whose right choice scores best; guessing gives 0.250")
    print("normalised: acc divided by the accuracy of the same model's cross_encoding baseline at the same shots;")
    print("  guessing gives 0.250 divided by that, here 0.31 to 0.38: rows near it carry little of the context")
    print("chance-corr.: the share of the way from guessing, 0, to that baseline, 1")
    print("hellaswag_dg: Test 1 (generation) and its baseline; hellaswag_d: Test 2 (similarity)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
