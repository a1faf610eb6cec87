"""`make demo`: both tests and the baseline on the embedded models, through the grid scripts, and what they show."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # lm_eval of this checkout, installed or not

from demo.first_screen import draw_first_screen, say_test_2
from demo.steps import TOP, Step, collect, run_steps
from lm_eval.common.command import INTERRUPTED
from lm_eval.models.model_list import DEMO

RESULTS = DEMO / "results"
LIMIT = 200
"""Documents, enough for the schemes to differ by more than their standard errors."""
LAYERS = {"demo-t5": None, "demo-gpt": "E"}
"""The layer that each model's vectors come from on the first screen."""
ORIGINS = "averaged: the last states of demo-t5's encoder, demo-gpt's input embeddings"

_ALONE = ("--cluster", "none")
_AT_ONCE = ("--num_fewshot", "0", *_ALONE)
_BASELINE = Step("baseline and controls", "run_parallel_baseline.py", "lmeval_results_baseline", ("--controls",))
_WHOLE = ("--encoding_scheme", "concat_all_examples", "--compression")
_GEN_T5 = Step("Test 1, encoder-decoder", "run_parallel_gen_t5.py", "lmeval_results_t5")
_GEN_GPT = Step("Test 1, decoder-only", "run_parallel_gen_gpt.py", "lmeval_results_gen")

FIRST = tuple(
    step._replace(flags=(*step.flags, *_AT_ONCE, *flags))
    for step, flags in ((_BASELINE, ()), (_GEN_T5, _WHOLE), (_GEN_GPT, _WHOLE))
)
"""What the first screen shows, and no more, computed without starting Ray: it is there within a minute."""
THEN = (
    _BASELINE._replace(flags=(*_BASELINE.flags, *_ALONE)),
    _GEN_T5._replace(flags=_ALONE),
    _GEN_GPT,
    Step("Test 2, encoder-decoder", "run_parallel_sim_t5.py", "lmeval_results_t5", _ALONE),
    Step("Test 2, decoder-only", "run_parallel_sim_gpt.py", "lmeval_results_sim_latest", _ALONE),
)
"""The scripts' grids: one by workers on Ray, as is usual; starting Ray would take most of the time of the others."""


def main() -> int:
    """Run all steps and print what they show; the exit status is that of the first step that failed."""
    flags = ["--models", "demo", "--limit", str(LIMIT)]
    try:
        if status := run_steps(FIRST, RESULTS, flags):
            return status
        print(_screen(), flush=True)
        num_known = len(collect(THEN, RESULTS, LIMIT))
        if status := run_steps(THEN, RESULTS, flags):
            return status
    except KeyboardInterrupt:
        return INTERRUPTED
    if len(collect(THEN, RESULTS, LIMIT)) > num_known:
        print(_screen().rstrip())  # which has gone up with the lines of these runs
    number = len(collect((*FIRST, *THEN), RESULTS, LIMIT))
    print(f"\nall {number} results as a table, and as figures with notebooks:")
    print(f"  {_python()} -m lm_eval.table {os.path.relpath(RESULTS, TOP)}/lmeval*\n  make charts")
    return 0


def _screen() -> str:
    """Return what the results show so far."""
    first = f"\n{draw_first_screen(collect(FIRST, RESULTS, LIMIT), LAYERS)}\n({ORIGINS})\n"
    of_test_2 = say_test_2(collect(THEN, RESULTS, LIMIT), LAYERS)
    return first + (f"\n{of_test_2}\n" if of_test_2 else "")


def _python() -> str:
    """Return what to type for this Python."""
    try:
        return os.path.relpath(sys.executable, TOP) if sys.prefix != sys.base_prefix else sys.executable
    except ValueError:  # on another drive
        return sys.executable


if __name__ == "__main__":
    sys.exit(main())
