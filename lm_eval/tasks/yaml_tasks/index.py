"""The index of a folder of task files: which file defines a task, which tasks a group or a tag contains.

The folder may be a whole checkout of EleutherAI's lm-evaluation-harness, thousands of files. Only those that contain a
name are parsed when it is asked for, so that errors in the rest of the files don't matter.
"""

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lm_eval.common.regular_files import is_folder, names_of_files, read_regular, say_why
from lm_eval.common.text import count_of, did_you_mean
from lm_eval.errors import ConfigurationError
from lm_eval.tasks.base import Task
from lm_eval.tasks.yaml_tasks.build import make_tasks
from lm_eval.tasks.yaml_tasks.parser import parse, read_task_file

_ENTRY_KEYS = {"task", "task_alias", "group", "group_alias", "aggregate_metric_list", "metadata", "num_fewshot"}
"""Keys of an entry in a group's list; all but the names are about how results are summed up."""


class TaskIndex:
    """Finds tasks, groups and tags in the task files of a folder."""

    def __init__(self, folder: Path) -> None:
        if not is_folder(folder):
            raise ConfigurationError(f"include_path: {folder} is not a folder; give one that holds task files (*.yaml)")
        self.folder = folder
        names_of_files(folder, ".yaml")  # says so where it may not be read
        paths = sorted(path for path in folder.rglob("*.yaml") if path.is_file())
        self._texts: dict[Path, bytes] = {}
        self._unreadable: dict[Path, ConfigurationError] = {}
        for path in paths:
            try:
                self._texts[path.resolve()] = read_regular(path)
            except OSError as error:
                self._unreadable[path] = ConfigurationError(f"{path}: {say_why(error)}; see that you may read it")
        self._paths: dict[tuple[str, str], list[Path]] = {}
        self._tasks: dict[Path, tuple[dict[Path, tuple[int, int]], dict[str, Task]]] = {}
        if not paths:
            raise ConfigurationError(f"include_path: {folder} holds no task file (*.yaml); give another folder")

    @functools.cached_property
    def _keys(self) -> dict[Path, dict[str, Any] | ConfigurationError]:
        """The keys of each file, without those of included files; or the error where it cannot be parsed."""
        return {**self._unreadable, **{path: _try_to_parse(path, text) for path, text in self._texts.items()}}

    def _defining(self, key: str, name: str) -> list[Path]:
        """Return the files whose `task` or `group` is this name, without looking into included files."""
        encoded = name.encode()
        candidates = [path for path, text in self._texts.items() if encoded in text]
        return [path for path in candidates if _name(_try_to_parse(path, self._texts[path]), key) == name]

    def _find_file(self, key: str, name: str) -> Path | None:
        """Return the file that defines a name.

        Raises:
            ConfigurationError: several files define it.
        """
        if (key, name) not in self._paths:
            self._paths[key, name] = self._defining(key, name)
        paths = self._paths[key, name]
        if len(paths) > 1:
            raise ConfigurationError(
                f"{key}: {name!r} is defined by {' and '.join(map(str, paths))}; rename one of them, or give a "
                "narrower include_path"
            )
        return paths[0] if paths else None

    def tasks(self, name: str) -> Mapping[str, Task] | None:
        """Return a task's forms, or None where no file defines it.

        Raises:
            ConfigurationError: several files define it, or the file is wrong.
        """
        path = self._find_file("task", name)
        if path is None:
            return None
        state, tasks = self._tasks.get(path, ({}, {}))
        if not tasks or state != _state(list(state)):
            file = read_task_file(path, top=self.folder.resolve())
            tasks = make_tasks(file)
            self._tasks[path] = _state(file.files), tasks
        return tasks

    def members(self, name: str) -> list[str] | None:
        """Return the tasks of a group or a tag, each once, or None where there is no such name.

        Raises:
            ConfigurationError: a group's list that cannot be followed, or a group that contains itself.
        """
        members = self._members(name, ())
        return None if members is None else list(dict.fromkeys(members))

    def _members(self, name: str, within: tuple[str, ...]) -> list[str] | None:
        if name in within:
            raise ConfigurationError(f"group {name!r} is part of itself ({' → '.join((*within, name))})")
        path = self._find_file("group", name)
        if path is None:
            return list(self._tagged(name)) or None
        entries = read_task_file(path).keys.get("task")
        return self._follow(entries if isinstance(entries, list) else [entries], path, (*within, name))

    def _follow(self, entries: Sequence[Any], path: Path, within: tuple[str, ...]) -> list[str]:
        tasks: list[str] = []
        for entry in entries:
            where = f"{path}: task of group {within[-1]!r}"
            if isinstance(entry, Mapping):
                if unsupported := [key for key in entry if key not in _ENTRY_KEYS]:
                    raise ConfigurationError(
                        f"{where}: an entry with {', '.join(map(str, unsupported))} changes a task, which is not "
                        "supported; write a separate file with include"
                    )
                if isinstance(entry.get("task"), list):
                    tasks += self._follow(entry["task"], path, within)
                    continue
                entry = entry.get("task", entry.get("group"))  # noqa: PLW2901
            if not isinstance(entry, str):
                raise ConfigurationError(f"{where}: each entry must be a name, got {entry!r:.80}")
            if self._defining("task", entry):
                tasks.append(entry)
                continue
            members = self._members(entry, within)
            if members is None:
                raise ConfigurationError(
                    f"{where}: {entry!r} is neither a task, a group nor a tag in {self.folder}{self.remarks(entry)}"
                )
            tasks += members
        return tasks

    def _tagged(self, tag: str) -> Iterator[str]:
        """Yield the tasks that have a tag, in their own file or an included one."""
        for path, keys in self._keys.items():
            name = _name(keys, "task")
            if name is not None and tag in _tags(keys, path, self._keys):
                yield name

    @property
    def names(self) -> list[str]:
        """All tasks and groups, sorted."""
        names = {_name(keys, key) for keys in self._keys.values() for key in ("task", "group")}
        return sorted(name for name in names if name is not None)

    def list_tasks(self) -> list[tuple[str, str]]:
        """Return every task's name and file, sorted by name."""
        return sorted((name, self._shown(path)) for path, keys in self._keys.items() if (name := _name(keys, "task")))

    def list_groups(self) -> list[tuple[str, str]]:
        """Return every group's name and file, and every tag with the number of its tasks, sorted by name."""
        groups = [
            (name, self._shown(path)) for path, keys in self._keys.items() if (name := _name(keys, "group")) is not None
        ]
        tags = Counter(
            tag
            for path, keys in self._keys.items()
            if _name(keys, "task") is not None
            for tag in _tags(keys, path, self._keys)
        )
        return sorted([*groups, *((tag, f"a tag of {count_of(number, 'task')}") for tag, number in tags.items())])

    def _shown(self, path: Path) -> str:
        """Return a path from the folder on, and all of it where a link leads out of it."""
        top = self.folder.resolve()
        return str(path.relative_to(top) if path.is_relative_to(top) else path)

    def remarks(self, name: str) -> str:
        """Return hints for a name that is not found: the closest name, and files that cannot be read."""
        broken = {path: str(keys) for path, keys in self._keys.items() if isinstance(keys, ConfigurationError)}
        with_name = [text for path, text in broken.items() if name.encode() in self._texts.get(path, b"")]
        shown = (with_name or list(broken.values()))[:2]
        more = f" (and {len(broken) - len(shown)} other files)" if len(broken) > len(shown) else ""
        remark = f"; not readable there: {'; '.join(shown)}{more}" if shown else ""
        return f"{did_you_mean(name, self.names)}{remark}"


def _try_to_parse(path: Path, text: bytes) -> dict[str, Any] | ConfigurationError:
    try:
        return parse(text, path)
    except ConfigurationError as error:
        return error


def _try_to_read(path: Path) -> dict[str, Any] | ConfigurationError:
    try:
        return _try_to_parse(path, read_regular(path))
    except OSError as error:
        return ConfigurationError(f"{path}: {say_why(error)}; see that you may read it")


def _name(keys: dict[str, Any] | ConfigurationError, key: str) -> str | None:
    """Return a file's own task or group name; `group` beside one `task` is a tag of older files."""
    if isinstance(keys, ConfigurationError):
        return None
    name = keys.get(key)
    if key == "group" and isinstance(keys.get("task"), str):
        return None
    return name if isinstance(name, str) else None


def _tags(keys: dict[str, Any] | ConfigurationError, path: Path, known: Mapping[Path, Any], depth: int = 0) -> set[str]:
    if isinstance(keys, ConfigurationError) or depth > 8:
        return set()
    own = keys.get("tag") or (keys.get("group") if isinstance(keys.get("task"), str) else None)
    if own:
        return {own} if isinstance(own, str) else {tag for tag in own if isinstance(tag, str)}
    included = keys.get("include") or []
    tags: set[str] = set()
    for name in [included] if isinstance(included, str) else included:
        other = (path.parent / str(name)).resolve()
        is_elsewhere = other not in known and other.is_file()
        other_keys = _try_to_read(other) if is_elsewhere else known.get(other, {})
        tags |= _tags(other_keys, other, known, depth + 1)
    return tags


def _state(paths: Sequence[Path]) -> dict[Path, tuple[int, int]]:
    """Return time and size of each file: they change when it is written again."""
    stats = {path: path.stat() for path in paths if path.is_file()}
    return {path: (stat.st_mtime_ns, stat.st_size) for path, stat in stats.items()}


@functools.lru_cache(maxsize=8)
def _index(folder: Path) -> TaskIndex:
    return TaskIndex(folder)


def open_index(include_path: str) -> TaskIndex:
    """Return the index of a folder; each folder is read once a process.

    Raises:
        ConfigurationError: there is no such folder, or no task file in it.
    """
    return _index(Path(include_path).expanduser().resolve())
