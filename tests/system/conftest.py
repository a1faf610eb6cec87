"""What several tests of whole programs look at: a grid that nothing disturbs, and the demonstration."""

import contextlib
import io
from pathlib import Path
from typing import NamedTuple

import pytest

from demo import run_demo as demo
from tests.support.clusters import one_core
from tests.support.grid_runs import DEMO_LIMIT, DemoRun, Grid, results_of, write_grid
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
    script = write_grid(tmp_path_factory.mktemp("undisturbed"), grid_models[:1], range(7))
    return Undisturbed(script, _results_of(script, data_dir, script.parent / "results", "52 to run, 0 done"))


@pytest.fixture(scope="session")
def undisturbed_two_models(undisturbed, grid_models, data_dir, tmp_path_factory) -> Undisturbed:
    """A grid script of two models; those results that are there already are not computed anew."""
    script = write_grid(tmp_path_factory.mktemp("undisturbed"), grid_models, range(7))
    results = undisturbed.script.parent / "results"
    return Undisturbed(script, _results_of(script, data_dir, results, "52 to run, 52 done"))


def _results_of(script: Path, data_dir: Path, folder: Path, planned: str) -> dict[str, list[dict]]:
    ended = Grid(script, data_dir, folder).run()
    assert ended.returncode == 0, ended.stderr
    assert planned in ended.stdout
    return results_of(folder)


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory) -> DemoRun:
    """The demonstration on few documents, to be looked at only."""
    results, printed = tmp_path_factory.mktemp("demo"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(demo, "RESULTS", results)
        patch.setattr(demo, "LIMIT", DEMO_LIMIT)
        with one_core():
            assert demo.main() == 0
    return DemoRun(results, printed.getvalue())
