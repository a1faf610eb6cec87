"""What Python files of the upstream harness import from the harness itself, `from lm_eval.… import …`, without it.

Their neighbours (`lm_eval.tasks.…`) are looked for in the folder of task files. Of the harness's own functions a few
are here; all others are stand-ins, which can be imported and subclassed but raise when they are used. So a file is of
use whose prompts need none of them.
"""

import ast
import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from lm_eval.common.regular_files import read_regular

_TOP = "lm_eval"
_NEIGHBOURS = f"{_TOP}.tasks."
_lock = threading.RLock()


class UpstreamOnlyError(NotImplementedError):
    """A function of the upstream harness was called that isn't here."""


def weighted_f1_score(items: Sequence[tuple[Any, Any]]) -> float:
    """Return the mean of the labels' F1 scores, weighted by how often each is right; of pairs of right and chosen."""
    pairs = Counter(items)
    rights, chosen = Counter(right for right, _ in items), Counter(choice for _, choice in items)
    return sum(number * 2 * pairs[label, label] / (number + chosen[label]) for label, number in rights.items()) / len(
        items
    )


def mean(items: Sequence[float]) -> float:
    """Return the mean."""
    return sum(items) / len(items)


_HERE: dict[str, dict[str, Any]] = {
    f"{_TOP}.utils": {"weighted_f1_score": weighted_f1_score},
    f"{_TOP}.api.metrics": {"mean": mean},
}


class _StandIn:
    """Something of the harness that isn't here."""

    def __init__(self, name: str, importing: list[bool]) -> None:
        self._name = name
        self._importing = importing

    def __call__(self, *_: object, **__: object) -> "_StandIn":
        if self._importing[0]:  # a decorator, say
            return self
        raise UpstreamOnlyError(f"{self._name} is a function of the upstream harness; copy it into the file")

    def __mro_entries__(self, bases: object) -> tuple[type, ...]:
        return ()

    def __getattr__(self, name: str) -> "_StandIn":
        if name.startswith("__"):
            raise AttributeError(name)
        return _StandIn(f"{self._name}.{name}", self._importing)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds what no other finder has found."""

    def __init__(self, beside: Path, top: Path | None) -> None:
        self._beside = beside
        self._top = top
        self.importing = [True]
        self.names: list[str] = []

    def find_spec(self, fullname: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:  # noqa: ARG002
        if not fullname.startswith(f"{_TOP}."):
            return None
        self.names.append(fullname)
        if fullname.startswith(_NEIGHBOURS):
            place = _neighbour(self._beside, fullname.removeprefix(_NEIGHBOURS), self._top)
            if place is None:
                return None
            if place.is_file():
                return importlib.util.spec_from_file_location(fullname, place)
        spec = importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        spec.submodule_search_locations = []
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:  # noqa: ARG002
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        module.__dict__.update(_HERE.get(name, {}))
        if name.startswith(_NEIGHBOURS):  # a folder: its files are modules of their own
            return

        def stand_in(attribute: str) -> _StandIn:
            if attribute.startswith("__"):
                raise AttributeError(attribute)
            return _StandIn(f"{name}.{attribute}", self.importing)

        module.__dict__["__getattr__"] = stand_in


def _folders(file: Path, top: Path | None) -> Iterator[Path]:
    """Yield the folders that a file lies in, up to the one that holds all task files and never above it.

    Where that isn't known, or the file lies elsewhere, up to the last one that holds task files.
    """
    is_inside = top is not None and file.is_relative_to(top)
    for folder in file.parents:
        if not is_inside and folder != file.parent and not any(folder.glob("*.yaml")):
            return
        yield folder
        if folder == top:
            return


def _neighbour(file: Path, name: str, top: Path | None) -> Path | None:
    """Return the file or folder of `lm_eval.tasks.NAME`, below a folder that a file lies in, or None."""
    parts = name.split(".")
    for folder in _folders(file, top):
        place = folder.joinpath(*parts)
        if place.with_name(f"{place.name}.py").is_file():
            return place.with_name(f"{place.name}.py")
        if place.is_dir():
            return place
    return None


@contextlib.contextmanager
def upstream_names(file: Path, top: Path | None = None) -> Iterator[None]:
    """Inside the `with` block let a Python file import names of the upstream harness; none of them stays.

    Args:
        file: the Python file.
        top: the folder of all task files, above which nothing is looked for.
    """
    finder = _Finder(file, top)
    with _lock:
        sys.meta_path.append(finder)
        try:
            yield
        finally:
            finder.importing[0] = False
            sys.meta_path.remove(finder)
            for name in finder.names:
                parent, _, child = name.rpartition(".")
                sys.modules.pop(name, None)
                if parent in sys.modules:
                    sys.modules[parent].__dict__.pop(child, None)


def neighbours_of(file: Path, top: Path | None = None) -> list[Path]:
    """Return the folders beside a Python file's own whose modules it imports, itself or by such a module.

    Args:
        file: the Python file.
        top: the folder of all task files, above which nothing is looked for.
    """
    found: dict[str, Path] = {}
    names = _imported(file, "")
    seen = set(names)
    while names:
        name = names.pop()
        place = _neighbour(file, name, top)
        if place is None:
            continue
        found[name] = place if place.is_dir() else place.parent
        more = _imported(place, name) - seen if place.is_file() else set()
        seen |= more
        names |= more
    folders = dict.fromkeys(found[name] for name in sorted(found))
    return [folder for folder in folders if folder != file.parent]


def _imported(file: Path, module: str) -> set[str]:
    """Return NAME of each `lm_eval.tasks.NAME` that a Python file may import, itself such a module or none (empty)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what the file's own import says
            tree = ast.parse(read_regular(file).decode("utf-8-sig", errors="replace"))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):  # its import says what is wrong
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (module or not node.level):
            package = f"{_NEIGHBOURS}{module}".split(".")[: -node.level] if node.level else []
            origin = ".".join([*package, *([node.module] if node.module else [])])
            names.update((origin, *(f"{origin}.{alias.name}" for alias in node.names)))
    return {name.removeprefix(_NEIGHBOURS) for name in names if name.startswith(_NEIGHBOURS)}
