"""The house rules that a machine can hold: sizes, modules that import alone, tests that assert and stand alone.

Where data may go is held by the contracts of import-linter in pyproject.toml.
"""

import ast
import graphlib
import importlib
import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.paths import TOP

MAX_FILE_LINES = 300
MAX_MEDIAN_LINES = 150
MAX_FUNCTION_LINES = 40
MAX_PARAMETERS = 6
MAX_NAMES_AT_THE_TOP = 24
MAX_TEST_FILE_LINES = 400
MAX_TEST_NAME = 80

ENTRY_POINTS = {
    "evaluator.simple_evaluate": "a flag of the command line is a parameter, and each is described",
    "encoding/text_encoder.encode": "`lm_eval.encode`; each of its keywords is described",
    "grid/notebook.run_grid": "a flag of a grid script is a parameter, and each is described",
    "config/run_config.RunConfig.parse": "takes the flags of the command line as they are",
    "results/request.Request.parse": "takes what `simple_evaluate` takes",
}
"""What users call, or what takes their flags: held to neither lines nor parameters."""

# What is still too long. Strike off what is mended; nothing comes on.
LONG_FILES: set[str] = set()
LONG_FUNCTIONS: set[str] = set()
MANY_PARAMETERS: set[str] = set()
LONG_TEST_FILES = {
    *("grid/test_script.py", "results/test_folder.py", "support/plain.py"),
    *("results/test_identity.py", "tasks/test_yaml_tasks.py"),
}
"""`plain.py` is the judge: it stands in one file, to be read beside the experiment's description."""
LONG_TEST_NAMES: set[str] = set()

SOURCES = sorted((TOP / "lm_eval").rglob("*.py"))
TESTS = sorted((TOP / "tests").rglob("*.py"))


def num_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def name_of(path: Path) -> str:
    """The name of a file of the package: its path without the ending."""
    return path.relative_to(TOP / "lm_eval").with_suffix("").as_posix()


class Function(NamedTuple):
    """A function of a file, with the class it stands in."""

    name: str
    node: ast.FunctionDef | ast.AsyncFunctionDef
    is_method: bool


def functions_of(path: Path) -> Iterator[Function]:
    """Yield all functions of a file, also those inside others."""

    def walk(node: ast.AST, prefix: str, *, in_class: bool) -> Iterator[Function]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield Function(prefix + child.name, child, in_class)
                yield from walk(child, f"{prefix}{child.name}.", in_class=False)
            elif isinstance(child, ast.ClassDef):
                yield from walk(child, f"{prefix}{child.name}.", in_class=True)
            else:
                yield from walk(child, prefix, in_class=False)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), "", in_class=False)


def num_parameters(function: Function) -> int:
    named = function.node.args
    own = function.is_method and not any(getattr(d, "id", "") == "staticmethod" for d in function.node.decorator_list)
    return len(named.posonlyargs) + len(named.args) + len(named.kwonlyargs) - own


def test_files_are_short():
    long = {name_of(path): num_lines(path) for path in SOURCES if num_lines(path) > MAX_FILE_LINES}
    assert {name: lines for name, lines in long.items() if name not in LONG_FILES} == {}
    assert statistics.median(num_lines(path) for path in SOURCES if path.stem != "__init__") < MAX_MEDIAN_LINES


def test_functions_are_short_and_take_few_parameters():
    lines: dict[str, int] = {}
    parameters: dict[str, int] = {}
    for path in SOURCES:
        for function in functions_of(path):
            name = f"{name_of(path)}.{function.name}"
            assert function.node.end_lineno is not None
            lines[name] = function.node.end_lineno - function.node.lineno + 1
            parameters[name] = num_parameters(function)
    assert lines.keys() >= ENTRY_POINTS.keys()
    long = {name: number for name, number in lines.items() if number > MAX_FUNCTION_LINES}
    many = {name: number for name, number in parameters.items() if number > MAX_PARAMETERS}
    assert {name: number for name, number in long.items() if name not in {*LONG_FUNCTIONS, *ENTRY_POINTS}} == {}
    assert {name: number for name, number in many.items() if name not in {*MANY_PARAMETERS, *ENTRY_POINTS}} == {}


def test_few_names_stand_at_the_top():
    names = [path.name for path in (TOP / "lm_eval").iterdir() if not path.name.startswith("__pycache")]
    assert len(names) <= MAX_NAMES_AT_THE_TOP


def runs_when_imported(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements that run when a module is imported, apart from what only a type checker reads."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        ):
            continue
        if isinstance(node, ast.stmt):
            yield node
        waiting.extend(ast.iter_child_nodes(node))


def test_every_module_imports_on_its_own():
    """Where no imports run in a circle, the order in which modules are imported doesn't matter."""
    modules = {
        ".".join(path.relative_to(TOP).with_suffix("").parts).removesuffix(".__init__"): path for path in SOURCES
    }
    asked = {}
    for module, path in modules.items():
        named = {
            f"{node.module}.{alias.name}"
            for node in runs_when_imported(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        asked[module] = {name if name in modules else name.rpartition(".")[0] for name in named} & modules.keys()
    order = list(graphlib.TopologicalSorter(asked).static_order())  # an error names the circle
    for module in order:
        if not module.endswith("__main__"):
            assert importlib.import_module(module).__name__ == module


def imports_of(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: a relative import"  # noqa: PT018
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_test_imports_another():
    asked = {
        (path.relative_to(TOP).as_posix(), name)
        for path in TESTS
        for name in imports_of(path)
        if name.partition(".")[0] in ("tests", "conftest") and not name.startswith("tests.support.")
    }
    assert asked == set()
    assert not [path.name for path in (TOP / "tests" / "support").rglob("test_*.py")]


def test_a_test_lies_in_the_folder_of_a_package_or_among_those_of_the_whole():
    packages = {path.parent.relative_to(TOP / "lm_eval").as_posix() for path in SOURCES}
    folders = {path.parent.relative_to(TOP / "tests").as_posix() for path in TESTS}
    assert folders - packages <= {"support", "system"}


def names_the_search_path(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path"


def test_nothing_changes_where_python_looks_but_a_benchmark_that_adds_the_top_folder():
    allowed = "sys.path[:0] = [str(TOP)]"
    for path in [*SOURCES, *TESTS, *sorted((TOP / "benchmarks").rglob("*.py"))]:
        is_benchmark = path.is_relative_to(TOP / "benchmarks")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.stmt) or hasattr(node, "body"):
                continue
            if any(names_the_search_path(inner) for inner in ast.walk(node)):
                assert is_benchmark, path
                assert ast.unparse(node) == allowed, path


def asserts(node: ast.AST, helpers: dict[str, ast.AST], seen: frozenset[str] = frozenset()) -> bool:
    """Whether a function holds something: by an assertion, by an error it waits for, or by a helper that does."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Assert):
            return True
        if isinstance(inner, ast.Call):
            called = inner.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name in ("raises", "warns", "fail", "wait_for") or name.startswith("assert_"):
                return True
        used = inner.id if isinstance(inner, ast.Name) else inner.attr if isinstance(inner, ast.Attribute) else ""
        if used in helpers.keys() - seen and asserts(helpers[used], helpers, seen | {used}):
            return True
    return False


def claims_of(path: Path) -> Iterator[tuple[str, ast.AST, dict[str, ast.AST]]]:
    """Yield the tests of a file, each with the functions that it may call."""
    functions = list(functions_of(path))
    found: dict[str, ast.AST] = {function.name.rpartition(".")[2]: function.node for function in functions}
    for function in functions:
        if re.fullmatch("test_[^.]*", function.name):
            yield function.name, function.node, found


def test_every_test_holds_something_under_a_name_that_can_be_read():
    tests = [test for path in TESTS for test in claims_of(path)]
    assert [name for name, node, helpers in tests if not asserts(node, helpers)] == []
    assert [name for name, _, _ in tests if len(name) > MAX_TEST_NAME and name not in LONG_TEST_NAMES] == []


def test_test_files_are_short():
    long = {path.relative_to(TOP / "tests").as_posix() for path in TESTS if num_lines(path) > MAX_TEST_FILE_LINES}
    assert long - LONG_TEST_FILES == set()
