"""What several tests of whole programs look at: a grid that nothing disturbs, and the demonstration."""

import contextlib
import io
from pathlib import Path
from typing import NamedTuple

import pytest

from lm_eval.cli.prefetch import grids_of
from lm_eval.grid.script import carry_out
from lm_eval.scheduling.executors.in_process import InProcessExecutor
from tests.support.grid_runs import GRID_LIMIT, DemoRun, results_of, run_demo, write_grid
from tests.support.grids import options
from tests.support.tiny_models import save_tiny


class Undisturbed(NamedTuple):
    """A grid script of many short runs, and their results where nothing disturbs them."""

    script: Path
    expected: dict[str, list[dict]]


@pytest.fixture(scope="session")
def grid_models(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("models")
    return [str(save_tiny(family, folder / f"tiny-{family}")) for family in ("gpt2", "gpt_neox")]


@pytest.fixture(scope="session")
def undisturbed(grid_models, data_dir, tmp_path_factory) -> Undisturbed:
    """A grid script of one model."""
    return _compute(grid_models[:1], data_dir, tmp_path_factory.mktemp("undisturbed"))


def _compute(models: list[str], data_dir: Path, folder: Path) -> Undisturbed:
    """Write a grid script and compute its results in this process."""
    script = write_grid(folder, models, range(7))
    made = grids_of(script)
    chosen = options(data_dir, folder / "results", limit=GRID_LIMIT)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert carry_out(made, chosen, "unused", InProcessExecutor()) == 0
    assert f"{52 * len(models)} to run, 0 done" in printed.getvalue()
    return Undisturbed(script, results_of(folder / "results"))


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory) -> DemoRun:
    """The demonstration on few documents, to be looked at only."""
    results = tmp_path_factory.mktemp("demo")
    return DemoRun(results, run_demo(results))
