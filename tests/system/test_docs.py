"""The documentation holds what it says: links, tables, examples, and the sections that docstrings cite."""

import functools
import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown.extensions.toc import slugify

from docs import tables
from lm_eval import table
from lm_eval.cli import evaluate
from lm_eval.grid import Grid
from lm_eval.tasks.yaml_tasks.build import make_tasks
from lm_eval.tasks.yaml_tasks.parser import read_task_file
from tests.support.grids import expand
from tests.support.paths import TOP

DOCS = TOP / "docs"
PAGES = [TOP / "README.md", TOP / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
COMMANDS = {"lm_eval": evaluate.main, "lm_eval.table": table.main}


@functools.cache
def project_files() -> list[str]:
    folders = ("benchmarks", "data", "demo", "docs", "env_files", "lm_eval", "scripts", "tests")
    return [f"/{name_of(path)}" for folder in folders for path in (TOP / folder).rglob("*") if path.is_file()]


def name_of(page: Path) -> str:
    return str(page.relative_to(TOP))


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def headings(page: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", without_code(page.read_text()), re.MULTILINE)


def anchors(page: Path) -> set[str]:
    return {slugify(heading.replace("`", ""), "-") for heading in headings(page)}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Yield the file and the anchor of each link that stays in the project."""
    for target in re.findall(r"\]\(([^)]+)\)", without_code(page.read_text())):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = unquote(target).partition("#")
            yield (page.parent / path if path else page).resolve(), anchor


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page):
    for file, anchor in links(page):
        assert file.is_file(), file
        assert not anchor or anchor in anchors(file), (file.name, anchor)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_that_a_page_names_is_there(page):
    named = re.findall(r"`([\w./-]+\.(?:py|csv|in|md))`", without_code(page.read_text()))
    assert [name for name in named if not any(file.endswith(f"/{name}") for file in project_files())] == []


def test_the_readme_has_at_most_700_words_and_leads_to_all_subpackages():
    text = (TOP / "README.md").read_text()
    assert len(text.split()) <= 700
    assert "{{" not in text
    subpackages = {path.parent.name for path in (TOP / "lm_eval").glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)/` \| [^| ]", text, re.MULTILINE)) == subpackages


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=name_of)
def test_tables_say_what_the_code_says(page):
    text = page.read_text()
    assert tables.renew(text) == text, "run docs/tables.py"


def test_each_table_is_in_some_page():
    written = "".join(page.read_text() for page in DOCS.rglob("*.md"))
    assert set(re.findall(r"<!-- table: (.+?) -->", written)) == set(tables.TABLES)


@pytest.mark.parametrize("name", re.findall(r"^::: (.+)$", (DOCS / "api.md").read_text(), re.MULTILINE))
def test_what_the_api_page_names_can_be_imported_from_there(name):
    module, _, attribute = name.rpartition(".")
    assert getattr(importlib.import_module(module), attribute).__doc__


def cited_sections() -> set[str]:
    files = [path for folder in ("lm_eval", "scripts", "tests") for path in (TOP / folder).rglob("*.py")]
    found = set()
    for file in files:
        for citation in re.findall(r"experiment (§[\d.§, ]+)", file.read_text()):
            found |= {number.rstrip(".") for number in re.findall(r"§([\d.]*\d)", citation)}
    return found


def test_the_sections_of_the_experiment_that_docstrings_cite_are_there():
    numbers = {match[1] for heading in headings(DOCS / "experiment.md") if (match := re.match(r"([\d.]*\d)", heading))}
    assert cited_sections() <= numbers


@dataclass(frozen=True)
class Block:
    language: str
    text: str


def runnable(page: Path) -> list[Block]:
    pattern = r"^<!-- runnable -->\n```(\w+)\n(.*?)^```"
    return [Block(*found) for found in re.findall(pattern, page.read_text(), re.DOTALL | re.MULTILINE)]


def run_commands(text: str) -> None:
    for line in text.replace("\\\n", " ").splitlines():
        program, *arguments = shlex.split(line)
        if program.startswith("scripts/"):
            assert subprocess.run([sys.executable, str(TOP / program), *arguments], check=False).returncode == 0
            continue
        assert program == "python"
        _, module, *arguments = arguments
        assert COMMANDS[module](arguments) == 0


def run_python(text: str) -> None:
    namespace: dict[str, object] = {"__name__": "documentation"}
    exec(compile(text, "documentation", "exec"), namespace)
    if callable(make := namespace.get("run")):
        grid = make()
        assert isinstance(grid, Grid)
        assert expand(grid)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A folder with the demo's models, data and a few results, in which commands can write."""
    folder = tmp_path_factory.mktemp("checkout")
    results = folder / "demo" / "results"
    results.mkdir(parents=True)
    for name in ("models", "data"):
        (folder / "demo" / name).symlink_to(TOP / "demo" / name)
    model = f"pretrained={TOP / 'demo/models/demo-gpt'}"
    runs = {
        "lmeval_results_baseline": ("cross_encoding", model),
        "lmeval_results_gen": ("concat_each_example", f"{model},WORD_AGG_SCHEME=mean,ENCODING_LAYER=0"),
    }
    for name, (scheme, model_args) in runs.items():
        task_args = f"encoding_scheme={scheme},data_dir={TOP / 'demo/data'}"
        call = ["--model", "dist_gen", "--tasks", "hellaswag_dg", "--limit", "5", "--output_dir", str(results / name)]
        assert evaluate.main([*call, "--model_args", model_args, "--task_args", task_args]) == 0
    (sample,) = re.findall(r"^```json\n(.*?)^```", (DOCS / "concept-vectors.md").read_text(), re.DOTALL | re.MULTILINE)
    (folder / "texts.jsonl").write_text(sample)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=name_of)
def test_blocks_that_are_marked_runnable_run(page, checkout, monkeypatch):
    monkeypatch.chdir(checkout)
    for block in runnable(page):
        {"bash": run_commands, "python": run_python}[block.language](block.text)


def test_the_task_file_of_the_example_is_one(tmp_path):
    (text,) = re.findall(r"^```yaml\n(.*?)^```", (DOCS / "adding" / "task.md").read_text(), re.DOTALL | re.MULTILINE)
    path = tmp_path / "colours.yaml"
    path.write_text(text)
    assert {task.name for task in make_tasks(read_task_file(path)).values()} == {"colours", "colours_d", "colours_dg"}
