"""A checkout whose package isn't installed: the state after `pip-sync env_files/lme.txt`, which knows no lm_eval."""

import json
import os
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.support.clusters import one_core
from tests.support.paths import TOP

SCRIPTS = sorted(path.relative_to(TOP).as_posix() for path in (TOP / "scripts").glob("*.py"))
NOTEBOOKS = sorted(path.name for path in (TOP / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """A Python with every package of this environment, but without lm_eval.

    Python reads the .pth files of its own site-packages alone, and an editable installation is one of them.
    """
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    scheme = sysconfig.get_preferred_scheme("prefix")
    places = sysconfig.get_paths(scheme, vars={"base": str(folder), "platbase": str(folder)})
    (Path(places["purelib"]) / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"])
    return Path(places["scripts"]) / "python"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of what a checkout holds."""
    folder = tmp_path_factory.mktemp("home") / "checkout"
    made = shutil.ignore_patterns("__pycache__", "results", "charts")
    for name in ("lm_eval", "scripts", "notebooks", "data", "demo"):
        shutil.copytree(TOP / name, folder / name, ignore=None if name == "lm_eval" else made)
    return folder


def call(python: Path, *arguments: str | Path, cwd: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(python), *map(str, arguments)]
    with one_core():
        return subprocess.run(
            command, cwd=cwd, env={**kept, **changes}, capture_output=True, text=True, timeout=600, check=False
        )


def test_the_package_is_found_nowhere_else(python, tmp_path):
    assert "No module named 'lm_eval'" in call(python, "-c", "import lm_eval", cwd=tmp_path).stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_finds_the_package_beside_it(script, python, checkout, tmp_path):
    shown = call(python, checkout / script, "--help", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr


def test_a_script_runs_the_code_beside_it_whatever_else_is_installed(python, checkout, tmp_path):
    other = tmp_path / "site" / "lm_eval"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("raise RuntimeError('of another checkout')\n")
    shown = call(python, checkout / "scripts/status.py", "--help", cwd=tmp_path, PYTHONPATH=str(other.parent))
    assert shown.returncode == 0, shown.stderr


@pytest.mark.parametrize("module", ["lm_eval", "lm_eval.table"])
def test_the_commands_run_from_the_top_folder(module, python, checkout):
    shown = call(python, "-m", module, "--help", cwd=checkout)
    assert shown.returncode == 0, shown.stderr


@pytest.mark.parametrize("started_in", [".", "notebooks"])
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_notebook_finds_the_package_wherever_its_kernel_was_started(name, started_in, python, checkout):
    cells = json.loads((checkout / "notebooks" / name).read_text())["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    before_imports = "\n".join(sources[:2]).partition("from lm_eval")[0]
    code = f"{before_imports}\nimport lm_eval\nprint(Path(lm_eval.__file__).parent, Path.cwd())"
    shown = call(python, "-c", code, cwd=checkout / started_in)
    assert shown.stdout.split() == [str(checkout / "lm_eval"), str(checkout / "notebooks")], shown.stderr


@pytest.mark.slow
@pytest.mark.ray
def test_a_grid_with_its_workers_and_a_notebook_run(python, checkout, tmp_path):
    results = checkout / "lmeval_results_gen"
    grid = ("scripts/run_parallel_gen_gpt.py", "--models", "demo", "--limit", "2", "--results_dir", results)
    ran = call(python, checkout / grid[0], *grid[1:], cwd=tmp_path)  # from elsewhere, so that workers get no help
    assert ran.returncode == 0, ran.stderr
    assert "14 results, 0 failed" in call(python, "scripts/status.py", results, cwd=checkout).stdout
    arguments = ("--to", "notebook", "--execute", "--output-dir", tmp_path, "notebooks/dist_gen_charts_gpt.ipynb")
    executed = call(python, "-m", "nbconvert", *arguments, cwd=checkout, PLOTLY_RENDERER="plotly_mimetype")
    assert executed.returncode == 0, executed.stderr
    assert (checkout / "notebooks" / "charts" / "dist_gen_gpt_main.png").is_file()
