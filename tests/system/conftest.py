"""What several tests of whole programs look at: a grid that nothing disturbs, and the demonstration."""

import contextlib
import io
from pathlib import Path

import pytest

from demo import run_demo as demo
from tests.support.grid_runs import DEMO_LIMIT, DemoRun, Grid, results_of, write_grid
from tests.support.tiny_models import save_tiny


@pytest.fixture(scope="session")
def grid_models(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("models")
    return [str(save_tiny(family, folder / f"tiny-{family}")) for family in ("gpt2", "gpt_neox", "bloom")]


@pytest.fixture(scope="session")
def undisturbed(grid_models, data_dir, tmp_path_factory) -> tuple[Path, dict[str, list[dict]]]:
    """A grid script of over 200 runs, and their results where nothing disturbs them."""
    folder = tmp_path_factory.mktemp("undisturbed")
    script = write_grid(folder, grid_models, range(10))
    ended = Grid(script, data_dir, folder / "results").run()
    assert ended.returncode == 0, ended.stderr
    found = results_of(folder / "results")
    assert len(found) > 200
    return script, found


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory) -> DemoRun:
    """The demonstration on few documents, to be looked at only."""
    results, printed = tmp_path_factory.mktemp("demo"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(demo, "RESULTS", results)
        patch.setattr(demo, "LIMIT", DEMO_LIMIT)
        assert demo.main() == 0
    return DemoRun(results, printed.getvalue())
