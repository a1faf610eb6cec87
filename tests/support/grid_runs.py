"""A grid script of many short runs, run as a user runs it, and what it leaves in its folder; the demonstration."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lm_eval.results.result_file import read_results
from tests.support.clusters import environment, one_core
from tests.support.paths import TOP
from tests.support.waiting import PATIENCE_S, wait_for

GRID = '''
from lm_eval.grid.grid import Grid
from lm_eval.grid.script import launch


def run() -> Grid:
    """Many short runs."""
    return Grid(
        model="dist_sim",
        task="hellaswag_d",
        models={models},
        arch_type="decoder-only",
        num_fewshot={shots},
        encoding_scheme={schemes},
        settings={{"WORD_AGG_SCHEME": ["mean", "w1mean"], "SIMILARITY_FUNC": ["dot_product"]}},
    )


if __name__ == "__main__":
    launch(run, results_dir="unused")
'''
GRID_LIMIT = "3"
"""Documents of its runs."""
SCHEMES = ("concat_all_examples", "concat_each_example", "segment_each_example", "sentence_level_segmentation")


def write_grid(folder: Path, models: list[str], shots: range, schemes: Sequence[str] = SCHEMES) -> Path:
    path = folder / "many_runs.py"
    path.write_text(GRID.format(models=models, shots=list(shots), schemes=list(schemes)))
    return path


DEMO_LIMIT = 12
"""Documents of the demonstration in tests."""


class DemoRun(NamedTuple):
    """The results folder of the demonstration, and what it printed."""

    results: Path
    printed: str


def run_demo(results: Path) -> str:
    """Run the demonstration on few documents in a process of its own; return what it prints."""
    changes = f"demo.RESULTS, demo.LIMIT = pathlib.Path({str(results)!r}), {DEMO_LIMIT}"
    code = f"import pathlib, sys; from demo import run_demo as demo; {changes}; sys.exit(demo.main())"
    with one_core():
        ended = subprocess.run(
            [sys.executable, "-c", code], cwd=TOP, env=environment(), capture_output=True, text=True,
            timeout=3 * PATIENCE_S, check=False,
        )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


class Grid:
    """A grid script with its flags, to be run as often as a test likes."""

    def __init__(self, script: Path, data_dir: Path, results: Path, *flags: str) -> None:
        self.results = results
        self.command = [
            *(sys.executable, str(script), "--data_dir", str(data_dir), "--limit", GRID_LIMIT),
            *("--results_dir", str(results), *flags),
        ]

    def start(self, **changes: str) -> "subprocess.Popen[str]":
        with one_core():
            return subprocess.Popen(
                self.command,
                cwd=TOP,
                env=environment(**changes),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )

    def run(self, *flags: str, timeout_s: float = 2 * PATIENCE_S) -> subprocess.CompletedProcess[str]:
        with one_core():
            return subprocess.run(
                [*self.command, *flags], cwd=TOP, env=environment(), capture_output=True, text=True, timeout=timeout_s,
                check=False,
            )  # fmt: skip


def results_of(folder: Path) -> dict[str, list[dict]]:
    """The metrics of all valid results, by what they are of."""
    found: dict[str, list[dict]] = {}
    for path in folder.glob("*.json"):
        try:
            stored = read_results(path)[0]
        except (ValueError, OSError):
            continue
        found.setdefault(json.dumps(stored.identity, sort_keys=True), []).append(dict(stored.metrics))
    return found


def begun(*folders: Path) -> Counter[str]:
    """How often each pass was begun, by the logs of workers that lived and of those that were killed."""
    lines = {  # with the time; a line that a worker had reported before it was killed is there twice
        line
        for folder in folders
        for log in folder.rglob("*.log")
        for line in log.read_text(errors="replace").splitlines()
        if " started: " in line
    }
    return Counter(line.partition(" started: ")[2] for line in lines)


def wait_for_results(driver: "subprocess.Popen[str]", folder: Path, number: int) -> None:
    """Wait until a folder has so many results, or the grid has ended."""
    wait_for(lambda: len(list(folder.glob("*.json"))) >= number or driver.poll() is not None, f"{number} results")
