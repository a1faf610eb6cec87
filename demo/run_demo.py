"""`make demo`: both tests and the baseline on the embedded models, through the grid scripts, and one table."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # lm_eval of this checkout, installed or not

from demo.steps import Step, print_table, run_steps
from lm_eval.models.model_list import DEMO

RESULTS = DEMO / "results"
LIMIT = 200
"""Documents, enough for the schemes to differ by more than their standard errors."""

STEPS: tuple[Step, ...] = (
    ("baseline", "run_parallel_baseline.py", "lmeval_results_baseline"),
    ("Test 1 (generation), decoder-only", "run_parallel_gen_gpt.py", "lmeval_results_gen"),
    ("Test 1 (generation), encoder-decoder", "run_parallel_gen_t5.py", "lmeval_results_t5"),
    ("Test 2 (similarity), decoder-only", "run_parallel_sim_gpt.py", "lmeval_results_sim_latest"),
    ("Test 2 (similarity), encoder-decoder", "run_parallel_sim_t5.py", "lmeval_results_t5"),
)


def main() -> int:
    """Run all steps and print the table; the exit status is that of the first step that failed."""
    try:
        if status := run_steps(STEPS, RESULTS, ["--models", "demo", "--limit", str(LIMIT)]):
            return status
    except KeyboardInterrupt:
        return 130
    print_table([RESULTS / name for _, _, name in STEPS], LIMIT)
    print("acc: share of documents whose right choice scores best; guessing gives 0.250")
    print("normalised: acc divided by the accuracy of the same model's cross_encoding baseline at the same shots;")
    print("  guessing gives 0.250 divided by that, here 0.31 to 0.38: rows near it carry little of the context")
    print("chance-corr.: the share of the way from guessing, 0, to that baseline, 1")
    print("hellaswag_dg: Test 1 (generation) and its baseline; hellaswag_d: Test 2 (similarity)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
