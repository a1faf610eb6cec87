"""Parsing YAML task files: `include` is merged, `!function` located; what keys mean is left to `build` and `schema`.

The format is the one of EleutherAI's lm-evaluation-harness.
"""

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from lm_eval.common.regular_files import read_regular
from lm_eval.common.text import first_line
from lm_eval.errors import ConfigurationError
from lm_eval.tasks.yaml_tasks.limits import check_yaml
from lm_eval.tasks.yaml_tasks.upstream_names import neighbours_of, upstream_names

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Function:
    """A function of a Python file beside a task file: `!function module.name`."""

    reference: str
    """`module.name`, as the task file has it."""
    yaml_file: Path
    """The task file."""
    top: Path | None = None
    """The folder of all task files, where it is known: nothing above it is looked at."""

    @property
    def module_file(self) -> Path:
        """The Python file."""
        module = self.reference.rpartition(".")[0].replace(".", "/")
        return self.yaml_file.parent / f"{module}.py"

    @property
    def name(self) -> str:
        """The function's name in it."""
        return self.reference.rpartition(".")[2]

    def load(self, key: str) -> Callable[..., Any]:
        """Import the file and return the function.

        Raises:
            ConfigurationError: the file or the function is not there, or the file cannot be imported.
        """
        where = f"{self.yaml_file}: {key}: !function {self.reference}"
        if not self.module_file.is_file():
            raise ConfigurationError(f"{where}: {self.module_file} does not exist; write MODULE.FUNCTION")
        try:
            module = _import(self.module_file, self.top)
        except Exception as error:  # whatever the user's file raises
            remedy = "correct it"
            if isinstance(error, ModuleNotFoundError) and error.name:
                remedy = say_what_installs(error.name)
            raise ConfigurationError(
                f"{where}: {self.module_file} cannot be imported ({type(error).__name__}: {error}); {remedy}"
            ) from error
        function = getattr(module, self.name, None)
        if not callable(function):
            names = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
            raise ConfigurationError(
                f"{where}: {self.module_file} has no function {self.name!r}; it has {', '.join(names) or 'none'}"
            )
        return function  # type: ignore[no-any-return]

    def fingerprint(self) -> str:
        """Return its name and a hash of all Python files in its folder, and of others' that they import."""
        total = hashlib.sha256(self.module_file.name.encode())
        for folder in (self.module_file.parent, *neighbours_of(self.module_file, self.top)):
            for file in sorted(file for file in folder.glob("*.py") if file.is_file()):
                total.update(f"{file.name}:{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
        return f"{self.name} {total.hexdigest()}"


_PACKAGES = {
    "PIL": "pillow", "absl": "absl-py", "bs4": "beautifulsoup4", "cv2": "opencv-python", "dateutil": "python-dateutil",
    "iso639": "python-iso639", "pkg_resources": "'setuptools<81'", "rouge_score": "rouge-score",
    "skimage": "scikit-image", "sklearn": "scikit-learn", "yaml": "pyyaml",
}  # fmt: skip
"""What installs a module of another name."""


def say_what_installs(module: str) -> str:
    """Return the remedy for a module that isn't there."""
    top = module.partition(".")[0]
    if top == "lm_eval":
        return "that belongs to the upstream harness; give its whole folder of task files, or copy it beside the file"
    if importlib.util.find_spec(top) is not None:
        return f"the installed {top} has no such module; correct the import"
    return f"install it: python -m pip install {_PACKAGES.get(top, top.replace('_', '-'))}"


def _import(path: Path, top: Path | None) -> ModuleType:
    """Import a file under a name made of its path and content, so that files with equal names don't collide."""
    name = f"lm_eval_task_{hashlib.sha256(str(path.resolve()).encode() + path.read_bytes()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with upstream_names(path, top):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


class _Loader(_Base):  # type: ignore[misc]
    """Safe YAML with `!function`; refuses a key that is given twice with different values."""

    path: Path
    top: Path | None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                earlier = seen.setdefault(key.value, value)
                if earlier is not value and yaml.serialize(earlier) != yaml.serialize(value):
                    problem = f"key {key.value!r} is given twice, with different values"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return mapping


def _construct_function(loader: _Loader, node: yaml.ScalarNode) -> Function:
    return Function(str(loader.construct_scalar(node)), loader.path, loader.top)


_Loader.add_constructor("!function", _construct_function)


def parse(text: bytes, path: Path, top: Path | None = None) -> dict[str, Any]:
    """Return the keys of a task file, without those of the files that it includes.

    Args:
        text: its content.
        path: the file.
        top: the folder of all task files.

    Raises:
        ConfigurationError: it is not YAML, or no mapping.
    """
    try:
        check_yaml(text)
        loader = _Loader(text)
        loader.path, loader.top = path, top
        try:
            content = loader.get_single_data()
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = "" if mark is None else f", line {mark.line + 1}"
        problem = getattr(error, "problem", None) or first_line(error)
        raise ConfigurationError(f"{path}{place}: not valid YAML ({problem}); correct the file") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path}: it must hold KEY: value lines, got {content!r:.60}")
    return {str(key): value for key, value in content.items()}


@dataclass(frozen=True)
class TaskFile:
    """A task file with all that it includes."""

    path: Path
    keys: Mapping[str, Any]
    origins: Mapping[str, Path]
    """For each key, the file that it comes from."""

    @property
    def files(self) -> list[Path]:
        """Every file that the definition comes from."""
        functions = {function.module_file for function in _functions(self.keys)}
        return sorted({self.path, *self.origins.values(), *functions})


_MOST_INCLUDES = 100


def read_task_file(
    path: Path, seen: tuple[Path, ...] = (), read: list[Path] | None = None, top: Path | None = None
) -> TaskFile:
    """Read a task file and what it includes; its own keys win over included ones, later includes over earlier ones.

    Args:
        path: the file.
        seen: the files that include each other down to it.
        read: the files that were read before, for the same first one.
        top: the folder of all task files.

    Raises:
        ConfigurationError: a file that cannot be read, that includes itself, or too many files.
    """
    read = [] if read is None else read
    read.append(path)
    if len(read) > _MOST_INCLUDES:
        raise ConfigurationError(f"{read[0]}: include: more than {_MOST_INCLUDES} files; include fewer")
    if path in seen:
        chain = " → ".join(str(one) for one in (*seen, path))
        raise ConfigurationError(f"{path}: include: the files include each other ({chain}); leave one include out")
    try:
        own = parse(read_regular(path), path, top)
    except OSError as error:
        includer = f"{seen[-1]}: include: " if seen else ""
        raise ConfigurationError(f"{includer}{path} cannot be read ({error.strerror}); correct the path") from error
    included = own.pop("include", [])
    names = included if isinstance(included, list) else [included]
    if not all(isinstance(name, str) for name in names):
        raise ConfigurationError(f"{path}: include must be a file's path or a list of them, got {included!r:.80}")
    keys: dict[str, Any] = {}
    origins: dict[str, Path] = {}
    for name in names:
        other = read_task_file((path.parent / name).resolve(), (*seen, path), read, top)
        keys.update(other.keys)
        origins.update(other.origins)
    keys.update(own)
    origins.update(dict.fromkeys(own, path))
    return TaskFile(path, keys, origins)


def _functions(value: object) -> list[Function]:
    if isinstance(value, Function):
        return [value]
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [function for item in inner for function in _functions(item)]


def plain(value: object) -> object:
    """Return a definition as JSON data, with functions replaced by their fingerprints."""
    if isinstance(value, Function):
        return {"!function": value.fingerprint()}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
