"""Which test files a change can break: those beside what was changed, and those that import it.

Those that import it at second hand count too; of too many, those at first hand come first, and those that import little
else.

python -m tests.support.affected

Changed is what differs from where this branch left main, with what isn't committed yet. One path a line.
"""

import ast
import functools
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from tests.support.paths import TOP

ROOTS = ("lm_eval", "tests", "demo", "benchmarks", "scripts")
MAX_STEPS = 2
"""From a test to what was changed; helpers of tests don't count."""
MOST_FILES = 60
"""Of the test files that import what was changed; more are left to the whole suite."""
ALWAYS = "tests/test_house.py"
BESIDE = {
    "scripts": ("tests/system/test_scripts.py", "tests/test_public_api.py"),
    "notebooks": ("tests/system/test_notebooks.py", "tests/test_public_api.py"),
    "demo": ("tests/system/test_demo.py", "tests/system/test_real.py"),
    "docs": ("tests/test_public_api.py",),
    "README.md": ("tests/test_public_api.py",),
}
"""Tests of what is no package."""


def changed_files(base: str = "main") -> set[str]:
    """Return what differs from where the branch left, committed or not; without a base, from the last commit."""
    found = _git("merge-base", "HEAD", base)
    since = found[0] if found else "HEAD"
    return {*_git("diff", "--name-only", since), *_git("ls-files", "--others", "--exclude-standard")}


def _git(*arguments: str) -> list[str]:
    ended = subprocess.run(["git", *arguments], cwd=TOP, capture_output=True, text=True, check=False)
    return ended.stdout.splitlines() if ended.returncode == 0 else []


def module_of(path: str) -> str:
    """The dotted name under which a file is imported."""
    return ".".join(PurePosixPath(path).with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def imports_of(source: str) -> set[str]:
    """Return what a file imports, anywhere in it: modules, and names that may be modules."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def affected(changed: Iterable[str], sources: Mapping[str, str]) -> set[str]:
    """Return the test files that a change can break.

    Args:
        changed: paths from the top folder.
        sources: the Python files of the project, by path.
    """
    changed = set(changed)
    tests = {path for path in sources if PurePosixPath(path).name.startswith("test_")}
    found = {ALWAYS, *(changed & tests)}
    for path in changed:
        top, *rest = PurePosixPath(path).parts
        found |= set(BESIDE.get(top, ()))
        if top == "lm_eval" or PurePosixPath(path).name == "conftest.py":
            folder = PurePosixPath("tests", *(rest[:-1]))
            is_beside = PurePosixPath(path).name == "conftest.py" or len(rest) > 1
            found |= {test for test in tests if is_beside and PurePosixPath(test).is_relative_to(folder)}
    near, far = (tests & _importers(changed, sources, steps) for steps in (1, MAX_STEPS))
    ranked = sorted(far, key=lambda path: (path not in near, len(imports_of(sources[path])), path))
    return found | set(ranked[:MOST_FILES])


def _importers(changed: set[str], sources: Mapping[str, str], most_steps: int) -> set[str]:
    """Return the files that reach what was changed in so many steps, and that itself."""
    paths = {module_of(path): path for path in sources}
    importers: dict[str, set[str]] = {path: set() for path in sources}
    for path, text in sources.items():
        for name in imports_of(text) & paths.keys():
            importers[paths[name]].add(path)
    steps_to = dict.fromkeys(changed & sources.keys(), 0)
    waiting = list(steps_to)
    while waiting:
        path = waiting.pop()
        steps = steps_to[path] + (not path.startswith("tests/support/"))
        for importer in importers[path]:
            if steps < steps_to.get(importer, most_steps + 1):
                steps_to[importer] = steps
                waiting.append(importer)
    return set(steps_to)


def main() -> None:
    """Print the test files that the present change can break."""
    files = [path for root in ROOTS for path in (TOP / root).rglob("*.py")]
    sources = {path.relative_to(TOP).as_posix(): path.read_text(encoding="utf-8") for path in files}
    print("\n".join(sorted(path for path in affected(changed_files(), sources) if (TOP / path).is_file())))


if __name__ == "__main__":
    main()
