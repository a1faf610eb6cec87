"""The fixed points that users and their scripts rely on, each by its documented name."""

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lm_eval
from lm_eval.config.settings import SETTING_NAMES
from tests.support.clusters import call
from tests.support.paths import TOP

HEAVY = ("torch", "ray", "transformers", "pandas")
SCRIPTS = sorted(path.name for path in (TOP / "scripts").glob("run_parallel_*.py"))
FLAGS = (
    *("--shutdown_at_exit", "--overwrite_results", "--NUM_GPUS_PER_RUN", "--cluster", "--models", "--limit"),
    *("--data_dir", "--results_dir", "--dry_run", "--retry_failed", "--fail_fast", "--dtype", "--log_samples"),
    *("--list", "--log_texts", "--tasks", "--include_path", "--grid", "--write_grid", "--loading"),
    *("--stall_timeout", "--num_fewshot", "--encoding_scheme", "--seed", "--wandb"),
    *SETTING_NAMES,
)


def python(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Call Python in the top folder."""
    return subprocess.run([sys.executable, *arguments], cwd=TOP, capture_output=True, text=True, check=False)


def test_one_run_from_python_takes_the_flags_of_the_command_line():
    from lm_eval.evaluator import simple_evaluate  # noqa: PLC0415  (each name as users import it)

    parameters = inspect.signature(simple_evaluate).parameters
    assert list(parameters) == [
        *("model", "model_args", "tasks", "task_args", "num_fewshot", "batch_size", "device", "limit", "seed"),
        *("log_samples", "log_texts", "verify", "description_dict", "include_path", "show_progress", "on_result"),
        "results_dir",
    ]
    needed = [name for name, parameter in parameters.items() if parameter.default is inspect.Parameter.empty]
    assert needed == ["model", "model_args", "tasks"]
    assert {parameter.kind for parameter in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize(
    ("arguments", "flags"),
    [
        (
            ["lm_eval"],
            [
                *("--model", "--model_args", "--tasks", "--task_args", "--include_path", "--num_fewshot"),
                *(
                    "--batch_size",
                    "--device",
                    "--limit",
                    "--seed",
                    "--wandb",
                    "--output_path",
                    "--output_dir",
                    "--log_samples",
                ),
                *("--log_texts", "--verify", "--description_dict_path"),
            ],
        ),
        (
            ["lm_eval", "encode"],
            [
                *("FILE.jsonl", "--model_args", "--output", "--encoding_scheme", "--field", "--id_field"),
                *("--batch_size", "--device", "--overwrite"),
            ],
        ),
        (
            ["lm_eval", "show"],
            [
                *("--task", "--doc", "--num_fewshot", "--encoding_scheme", "--model_args", "--tokens", "--data_dir"),
                *("--include_path", "--seed"),
            ],
        ),
        (["lm_eval", "ls"], ["WHAT", "--include_path"]),
        (["lm_eval.table"], ["RESULTS_DIR", "--sort", "--best", "--columns", "--csv"]),
    ],
)
def test_the_programs_of_the_package_name_their_flags(arguments, flags):
    shown = python("-m", *arguments, "--help")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith(f"usage: python -m {' '.join(arguments)} ")
    assert [flag for flag in flags if not re.search(rf"{re.escape(flag)}\b", shown.stdout)] == []


def test_texts_are_encoded_by_a_function_at_the_top():
    from lm_eval.encoding.text_encoder import encode  # noqa: PLC0415  (each name as users import it)

    assert lm_eval.encode is encode
    assert {"encode", "__version__"} <= set(lm_eval.__all__)
    with pytest.raises(AttributeError, match="module 'lm_eval' has no attribute 'decode'"):
        lm_eval.decode  # noqa: B018


def test_what_a_grid_script_imports_stands_in_one_place_and_in_the_older_ones():
    from lm_eval.grid import Grid, launch, list_models  # noqa: PLC0415  (each name as users import it)
    from lm_eval.launch import launch as older_launch  # noqa: PLC0415
    from lm_eval.model_list import list_models as older_list_models  # noqa: PLC0415

    assert (launch, list_models) == (older_launch, older_list_models)
    assert {"model", "task", "models", "num_fewshot", "encoding_scheme", "settings"} <= set(Grid.__dataclass_fields__)
    assert {"run", "results_dir"} <= set(inspect.signature(launch).parameters)
    assert {"arch_type", "max_size"} <= set(inspect.signature(list_models).parameters)


def test_a_grid_is_run_from_python_by_a_function_beside_it():
    from lm_eval.grid import FailedRunsError, run_grid  # noqa: PLC0415  (each name as users import it)

    parameters = inspect.signature(run_grid).parameters
    assert list(parameters)[:4] == ["grid", "results_dir", "limit", "data_dir"]
    assert issubclass(FailedRunsError, RuntimeError)


def test_a_model_is_loaded_by_name():
    from lm_eval.inference.loading import load_model  # noqa: PLC0415  (each name as users import it)

    assert next(iter(inspect.signature(load_model).parameters)) == "pretrained"


def test_errors_say_whose_fault_they_are():
    from lm_eval import errors  # noqa: PLC0415  (each name as users import it)

    assert issubclass(errors.DataError, errors.ConfigurationError)
    assert issubclass(errors.ConfigurationError, ValueError)
    assert issubclass(errors.MemoryShortageError, errors.RunError)
    assert issubclass(errors.RunError, RuntimeError)


def cells_of(notebook: Path) -> list[str]:
    """The code of a notebook."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def blocks_of(page: Path) -> list[str]:
    """The Python of a page."""
    return re.findall(r"(?ms)^```python\n(.*?)^```", page.read_text(encoding="utf-8"))


PAGES = [TOP / "README.md", *sorted((TOP / "docs").rglob("*.md"))]
NOTEBOOKS = sorted((TOP / "notebooks").glob("*.ipynb"))


def names_used(code: str) -> set[str]:
    """The names of the package that a piece of code imports, and what it asks of modules it imports."""
    tree = ast.parse(code)
    imported: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "lm_eval":
            imported.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
        elif isinstance(node, ast.Import):
            imported.update({a.name: a.name for a in node.names if a.name.partition(".")[0] == "lm_eval"})
    names = set(imported.values())
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (owner := imported.get(ast.unparse(node.value))):
            names.add(f"{owner}.{node.attr}")
    return names


def find(name: str) -> object:
    """Import what a dotted name stands for."""
    parts = name.split(".")
    for number in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:number]))
        except ModuleNotFoundError as error:
            if not f"{name}.".startswith(f"{error.name}."):
                raise
            continue
        for part in parts[number:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=lambda path: path.name)
def test_pages_and_notebooks_ask_only_for_what_is_there(path):
    codes = cells_of(path) if path.suffix == ".ipynb" else blocks_of(path)
    names = names_used("\n".join(codes))
    assert names or path.suffix == ".md"
    for name in names:
        assert find(name) is not None


def test_notebooks_ask_for_figures_and_the_tables_they_show():
    names = set[str]().union(*(names_used("\n".join(cells_of(path))) for path in NOTEBOOKS))
    assert {"lm_eval.analysis.figures.main_bars", "lm_eval.analysis.charts.prepare"} <= names


def test_importing_the_package_and_its_grids_loads_nothing_heavy():
    code = (
        "import sys, lm_eval, lm_eval.errors, lm_eval.grid, lm_eval.launch, lm_eval.model_list;"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    shown = python("-c", code)
    assert (shown.stdout.strip(), shown.stderr) == ("[]", "")


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_of_a_grid_script_names_every_flag_and_says_what_it_does(script):
    shown = call(script, "--help")
    assert shown.returncode == 0
    page = shown.stdout + shown.stderr
    assert [flag for flag in FLAGS if flag not in page] == []
    assert "Run configurations again whose result is already in the folder." in " ".join(page.split())
    assert "GROUP" not in page
    assert ("--controls" in page) is (script == "run_parallel_baseline.py")
    assert ("--compression" in page) is script.startswith("run_parallel_gen_")
