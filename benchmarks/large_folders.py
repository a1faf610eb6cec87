"""What large results folders cost: `status`, `table` and a grid's plan, each as a whole process.

The folder is made up, in the form of the results of a grid on the embedded model: every field of a real result, one
failure in a hundred runs, and the files of some drivers. Times are those of a new process; memory is its peak.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.command_line import TOP, make_parser, positive, print_rows
from lm_eval.config.token_aggregation import ACTIVATION_PREFIXES, SINGLE_VECTOR_AGGREGATIONS
from lm_eval.grid.grid import Grid
from lm_eval.grid.grid_file import write_grids
from lm_eval.grid.options import Options
from lm_eval.grid.preflight import preflight
from lm_eval.models.model_list import DEMO
from lm_eval.results.failures import Failure, write_failure
from lm_eval.results.identity import Run
from lm_eval.results.result_file import config_content, result_name
from lm_eval.scheduling.hardware import local_machine

_LIMIT, _DATA = "200", str(DEMO / "data")
_ONE_FAILED_IN = 100


def make_grid(number: int) -> Grid:
    """Return a grid of at least so many configurations, and not many more."""
    aggregations = [prefix + base for prefix in ACTIVATION_PREFIXES for base in SINGLE_VECTOR_AGGREGATIONS]
    if number <= 1000:
        aggregations = aggregations[:2]
    grid = Grid(
        model="dist_sim", task="hellaswag_d", models=[str(DEMO / "models" / "demo-gpt")], arch_type="decoder-only",
        num_fewshot=[1],
        encoding_scheme=["segment_each_example", "sentence_level_segmentation"],
        settings={
            "WORD_AGG_SCHEME": aggregations,
            "SEGMENT_AGG_SCHEME": [None, "mean"], "EXAMPLE_AGG_SCHEME": [None, "mean", "soft_cluster"],
            "NORM": [None, "L2", "varNorm"], "SIMILARITY_FUNC": ["dot_product", "cosine_sim"],
            "ENCODING_LAYER": [None, "E", "middle", 0, 1, 2, 3][: 1 + number // 12_500],
        },
    )  # fmt: skip
    return replace(grid, num_fewshot=range(1, 1 + -(-number // len(_runs_of(grid)))))


def _runs_of(grid: Grid) -> Sequence[Run]:
    return preflight([grid], Options(limit=_LIMIT, data_dir=_DATA), lambda: [local_machine()]).runs


def _result(run: Run, accuracies: random.Random) -> dict[str, Any]:
    """Return a made-up result with every field of a real one."""
    task, acc = run.config.task, accuracies.randrange(40, 160) / 200
    return {
        "results": {task: {
            "acc": acc, "acc_stderr": (acc * (1 - acc) / 199) ** 0.5, "rand_acc": 0.25, "rand_acc_stderr": 0.0,
        }},
        "versions": {task: 0},
        "config": config_content(run.config, device="cpu"),
        "identity": {task: dict(run.identity)},
        "run": {task: {
            "num_documents": 200, "num_truncated_segments": 0, "seconds": 0.103,
            "vectors_per_context": 21.4, "tokens_per_vector": 8.3,
            "pass": {
                "num_configurations": 480, "seconds": 49.44, "documents_per_s": 4.05, "tokens_per_s": 41989.1,
                "phases_s": {"tokenise": 0.101, "encode": 1.71, "score": 47.992}, "peak_memory_gib": 0.562,
            },
            "batches": {
                "max_tokens": 1024, "max_attention": 7354396, "max_rows": None, "num_batches": 130, "most_rows": 4,
                "most_tokens": 1024, "num_tokens": 113460, "num_halved": 0,
            },
            "started": "2026-07-01T10:00:00+00:00", "finished": "2026-07-01T10:00:50+00:00",
            "load_s": 0.507, "host": "node7", "device": "cpu", "gpus": [], "dtype": "float32", "parameters": 1313152,
            "num_layers": 4, "command_line": "python scripts/run_parallel_sim_gpt.py --grid grid.yaml --limit 200",
            "code": {"version": "0.1.0", "commit": "c95f71e6b2fb9cf03ba13c6dd201b6d4ce84d7e4", "changed": False},
            "packages": {
                "python": "3.11.7", "torch": "2.13.0", "transformers": "5.23.0", "accelerate": "1.15.0",
                "datasets": "5.2.0", "ray": "2.60.0", "numpy": "2.4.6", "tokenizers": "0.23.3",
            },
        }},
    }  # fmt: skip


def fill_folder(folder: Path, grid: Grid, number: int) -> int:
    """Fill a folder with the results of a grid's runs, so many, and return how many runs the grid has."""
    runs = _runs_of(grid)
    folder.mkdir(parents=True)
    accuracies = random.Random(0)  # noqa: S311  (no secret)
    for place, run in enumerate(runs[:number]):
        if place % _ONE_FAILED_IN == _ONE_FAILED_IN - 1:
            write_failure(folder, run, Failure(message=f"no memory for batches of {place % 7} rows"))
        text = json.dumps(_result(run, accuracies), indent=2) + "\n"
        (folder / result_name(run.config, run.identity)).write_text(text, encoding="utf-8")
    return len(runs)


def commands(folder: Path, grid_file: Path) -> dict[str, Sequence[str]]:
    """Return what is measured: the arguments of Python, by the command's name."""
    script = str(TOP / "scripts" / "run_parallel_sim_gpt.py")
    grid = ["--grid", str(grid_file), "--limit", _LIMIT, "--data_dir", _DATA]
    plan = [script, *grid, "--results_dir", str(folder), "--dry_run"]
    return {
        "status": [str(TOP / "scripts" / "status.py"), str(folder)],
        "table": ["-m", "lm_eval.table", str(folder)],
        "plan": plan,
    }


def measure_process(arguments: Sequence[str]) -> tuple[float, float, float]:
    """Run Python with arguments and return the seconds that it took, those of a processor, and its peak memory in MB.

    Raises:
        SystemExit: it failed.
    """
    began = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, *arguments], cwd=TOP, stdout=subprocess.DEVNULL, stderr=errors
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
        if process.returncode:
            errors.seek(0)
            raise SystemExit(f"error: {' '.join(arguments)} ended with {process.returncode}: {errors.read()[-2000:]!r}")
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000


def measure(number: int, scratch: Path) -> Iterator[dict[str, object]]:
    """Fill a folder and measure each command on it, twice: the second call may know what the first has read."""
    folder, grid_file, grid = scratch / "results", scratch / "grid.yaml", make_grid(number)
    write_grids(str(grid_file), [grid])
    of_grid = fill_folder(folder, grid, number)
    for name, arguments in commands(folder, grid_file).items():
        for call in ("first", "again"):
            seconds, cpu_s, memory_mb = measure_process(arguments)
            yield {
                "results": number, "runs of the grid": of_grid, "command": name, "call": call,
                "seconds": round(seconds, 2), "of a processor": round(cpu_s, 2), "memory, MB": round(memory_mb),
            }  # fmt: skip


def _measure_all(numbers: Sequence[int]) -> Iterator[dict[str, object]]:
    for number in numbers:
        with tempfile.TemporaryDirectory() as scratch:
            yield from measure(number, Path(scratch))


def _read(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--results", type=positive, nargs="+", default=[100, 10_000, 50_000], help="%(default)s")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure everything and return the exit status."""
    args = _read(arguments)
    print_rows(args.out, _measure_all(args.results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
