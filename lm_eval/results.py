"""Result files: content, names, writing them whole or not at all, finding a configuration in a folder (SPEC §7).

The only module that knows what a result file is called. What a folder holds is told by the files' content alone.
"""

import contextlib
import json
import math
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lm_eval.config import RunConfig
from lm_eval.errors import ConfigurationError
from lm_eval.identity import canonical, fingerprint, identify
from lm_eval.models.families import is_local
from lm_eval.tasks import TASKS

Result = Mapping[str, Any]


_BY_TASK = ("results", "versions", "identity", "run", "samples", "verification")
"""Keys of a result file under which each task has its own entry."""


def merge_results(results: Sequence[Result]) -> dict[str, Any]:
    """Join the results of several tasks of one call into one."""
    merged = dict(results[0])
    for key in _BY_TASK:
        if any(key in result for result in results):
            merged[key] = {task: value for result in results for task, value in result.get(key, {}).items()}
    descriptions = [result["config"]["description_dict"] for result in results]
    merged["config"] = {
        **merged["config"],
        "description_dict": {task: text for texts in descriptions for task, text in texts.items()},
    }
    return merged


def _replace_task(existing: Result, result: Result) -> Result:
    """Return a file's content with one task's result exchanged; the other tasks of the file stay."""
    if len(existing["results"]) == 1:
        return result
    (task,) = result["results"]
    others = {
        key: {name: of for name, of in value.items() if name != task} if key in _BY_TASK else value
        for key, value in existing.items()
    }
    return merge_results([others, result])


_NAME_BYTES = 150
"""Of a file name's readable part; file systems take 255 in all."""


def result_name(config: RunConfig, identity: dict[str, Any] | None = None) -> str:
    """Return the name of a configuration's result file: readable in front, unique by the end.

    Args:
        config: the configuration.
        identity: as it was when the run began; None identifies the configuration as it is now.
    """
    model = config.pretrained.rstrip("/").rpartition("/")[2]
    parts = (config.task, model, config.encoding_scheme or config.model, f"{config.num_fewshot}shot")
    readable = re.sub(r"[^\w.+-]", "-", "_".join(parts)).encode()[:_NAME_BYTES].decode(errors="ignore")
    return f"{readable}_{fingerprint(identity or identify(config))[:16]}.json"


def write_json(path: Path, content: object) -> None:
    """Write a file whole or not at all: a temporary file in the same folder, flushed, then renamed."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:40]}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(content, stream, indent=2, allow_nan=False)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def check_writable(folder: Path) -> None:
    """Make a results folder where there is none, and see that files can be written there.

    Raises:
        ConfigurationError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".writable."):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"results folder {folder}: cannot be written ({error.strerror}); choose another"
        ) from error


@dataclass(frozen=True, kw_only=True)
class StoredResult:
    """A result file that could be read."""

    path: Path
    content: Result
    config: RunConfig
    """As the file states it."""
    identity: dict[str, Any] | None
    """None in files of the older form."""

    @property
    def metrics(self) -> Mapping[str, float | None]:
        """The metrics of the configuration's task and their standard errors."""
        metrics: Mapping[str, float | None] = self.content["results"][self.config.task]
        return metrics


def read_results(path: Path) -> list[StoredResult]:
    """Read a result file, of the older form too: one result for each of its tasks.

    Raises:
        ValueError: the file is not JSON, or not a result with finite metrics; the message says what is wrong.
        OSError: the file cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = [_read_task(path, content, task) for task in content["results"]]
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a result file ({type(error).__name__}: {error})") from error
    if not found:
        raise ValueError("not a result file (it names no task)")
    return found


def _read_task(path: Path, content: Result, task: str) -> StoredResult:
    metrics = content["results"][task]
    for name in ("acc", *metrics):
        is_unknown_error = metrics[name] is None and name.endswith("_stderr")  # of a single document
        if not is_unknown_error and not math.isfinite(metrics[name]):
            raise ValueError(f"{name} of {task} is {metrics[name]}")
    if not isinstance(content.get("versions", {}), dict):
        raise ValueError("not a result file (versions is no object)")
    identity = dict(content["identity"][task].items()) if "identity" in content else None
    return StoredResult(path=path, content=content, config=_read_config(content, task), identity=identity)


def _read_config(content: Result, task: str) -> RunConfig:
    stated = content["config"]
    return RunConfig.parse(
        model=stated["model"],
        model_args=stated["model_args"],
        task=task,
        task_args=stated["task_args"],
        num_fewshot=stated["num_fewshot"],
        limit=stated["limit"],
        description=(stated.get("description_dict") or {}).get(task, ""),
    )


class ResultsFolder:
    """The results that a folder holds, found by configuration."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unreadable: dict[Path, str] = {}
        """Files that hold no result, and why; they are kept."""
        self._by_identity: dict[str, StoredResult] = {}
        self._older: dict[RunConfig, list[StoredResult]] = defaultdict(list)
        for file in sorted(path.glob("*.json")) if path.is_dir() else ():
            try:
                for stored in read_results(file):
                    self._add(stored)
            except (OSError, ValueError) as error:
                self.unreadable[file] = str(error)

    def _add(self, stored: StoredResult) -> None:
        if stored.identity is not None:
            self._by_identity[fingerprint(stored.identity)] = stored
        elif stored.config.task in TASKS:
            self._older[_without_origin(stored.config)].append(stored)

    def __iter__(self) -> Iterator[StoredResult]:
        """Yield every result but those of the older form that a newer one has superseded."""
        newer: dict[RunConfig, list[StoredResult]] = defaultdict(list)
        for stored in self._by_identity.values():
            newer[_without_origin(stored.config)].append(stored)
        for form, older in self._older.items():
            for stored in older:
                if not any(_has_same_origin(stored.config, other.config) for other in newer.get(form, ())):
                    yield stored
        yield from self._by_identity.values()

    def find(
        self, config: RunConfig, identify: Callable[[RunConfig], Mapping[str, Any]] = identify
    ) -> StoredResult | None:
        """Return the result of a configuration, or None.

        A file of the older form is taken where nothing that it states differs; what it doesn't state counts as equal.

        Args:
            config: the configuration.
            identify: for many configurations, an `Identifier` of the caller's.
        """
        found = self._by_identity.get(fingerprint(identify(config)))
        return found or next(self._find_older(config), None)

    def _find_older(self, config: RunConfig) -> Iterator[StoredResult]:
        for stored in self._older.get(_without_origin(config), ()):
            version = stored.content.get("versions", {}).get(config.task, 0)
            if version == TASKS[config.task].version and _has_same_origin(stored.config, config):
                yield stored

    def write(self, config: RunConfig, result: Result) -> Path:
        """Write a result, in place of the one that it supersedes; nothing else is ever overwritten.

        Raises:
            OSError: the file cannot be written; nothing is left behind.
        """
        identity = result["identity"][config.task]  # as the run found it: data or weights may have changed since
        existing = self._by_identity.get(fingerprint(identity))
        path = existing.path if existing is not None else self._free_path(result_name(config, identity))
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(path, result if existing is None else _replace_task(existing.content, result))
        for stored in read_results(path):
            self._add(stored)
        return path

    def _free_path(self, name: str) -> Path:
        path, number = self.path / name, 2
        while path.exists():
            path, number = self.path / f"{Path(name).stem}-{number}.json", number + 1
        return path


def _without_origin(config: RunConfig) -> RunConfig:
    """Return the canonical form of a configuration without what a file of the older form may leave open."""
    return replace(canonical(config), pretrained="any", revision=None, dtype=None, data_dir=None)


def _has_same_origin(stated: RunConfig, wanted: RunConfig) -> bool:
    """Whether a file of the older form was computed with the wanted model, dtype and data, as far as it says."""
    for key in ("revision", "dtype"):
        if getattr(stated, key) not in (None, getattr(wanted, key)):
            return False
    if stated.data_dir is not None and (
        wanted.data_dir is None or _resolved(stated.data_dir) != _resolved(wanted.data_dir)
    ):
        return False
    if stated.pretrained == wanted.pretrained:
        return True
    if not is_local(wanted.pretrained):
        return False
    bare_name = "/" not in stated.pretrained and stated.pretrained == _resolved(wanted.pretrained).name
    return bare_name or _resolved(stated.pretrained) == _resolved(wanted.pretrained)


def _resolved(path: str) -> Path:
    return Path(path).expanduser().resolve()
