"""What a results folder holds: found by configuration, whatever the files are called (experiment §7).

A result that states its whole identity counts where that is equal. What an older file does not state counts as equal.
"""

import contextlib
import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lm_eval.common.atomic import write_json
from lm_eval.config.run_config import RunConfig
from lm_eval.models.info import is_local
from lm_eval.results.identity import canonical, fingerprint, identify
from lm_eval.results.result_file import FAILURE_ENDING, Result, StoredResult, read_results, replace_task, result_name
from lm_eval.tasks.registry import find_task, known_task

Identity = Mapping[str, Any]


class ResultsFolder:
    """The results that a folder holds, found by configuration."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unreadable: dict[Path, str] = {}
        """Files that hold no result, and why; they are kept."""
        self._seen: set[str] = set()
        self._by_identity: dict[str, StoredResult] = {}
        self._by_stated: dict[str, list[StoredResult]] = defaultdict(list)
        self._older: dict[RunConfig, list[StoredResult]] = defaultdict(list)
        self._by_settings: dict[object, list[StoredResult]] = defaultdict(list)
        for file in sorted(path.glob("*.json")) if path.is_dir() else ():
            if not file.name.endswith(FAILURE_ENDING):
                self._read(file)

    def _read(self, file: Path) -> None:
        self._seen.add(file.name)
        try:
            for stored in read_results(file):
                self._add(stored)
        except (OSError, ValueError) as error:
            self.unreadable[file] = str(error)

    def _add(self, stored: StoredResult) -> None:
        if stored.identity is not None:
            name = fingerprint(stored.identity)
            if name not in self._by_identity:
                self._by_stated[_stated(stored.identity)].append(stored)
            self._by_identity[name] = stored
        elif known_task(stored.config) is not None:
            self._older[_without_origin(stored.config)].append(stored)
        if known_task(stored.config) is not None:
            self._by_settings[_settings(stored.config)].append(stored)

    def __iter__(self) -> Iterator[StoredResult]:
        """Yield every result but those of the older form that a newer one has superseded."""
        newer: dict[RunConfig, list[StoredResult]] = defaultdict(list)
        for stored in self._by_identity.values():
            if known_task(stored.config) is not None:
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

        Args:
            config: the configuration.
            identify: for many configurations, an `Identifier` of the caller's.
        """
        return self.find_identified(config, identify(config))

    def look_again(self, config: RunConfig, identity: Identity) -> StoredResult | None:
        """Return the result of a configuration, which another process may have written since the folder was read."""
        for path in self._paths(result_name(config, dict(identity))):
            if not path.exists():
                break
            if path.name not in self._seen:
                self._read(path)
        return self.find_identified(config, identity)

    def find_identified(self, config: RunConfig, identity: Identity) -> StoredResult | None:
        """Return the result of a configuration of known identity, or None.

        Of several the one that states most is taken; what a file doesn't state counts as equal.
        """
        found = self._by_identity.get(fingerprint(identity))
        if found is None:
            candidates = self._by_stated.get(_stated(identity), ())
            found = next((stored for stored in candidates if _agree(stored.identity or {}, identity)), None)
        return found or next(self._find_older(config), None)

    def _find_older(self, config: RunConfig) -> Iterator[StoredResult]:
        for stored in self._older.get(_without_origin(config), ()):
            if _version(stored) == find_task(config).version and _has_same_origin(stored.config, config):
                yield stored

    def find_outdated(self, config: RunConfig, identity: Identity) -> tuple[StoredResult, dict[str, str]] | None:
        """Return the result that comes nearest to a configuration which has none, and in what it differs.

        Only results of the same settings of a model of the same name are compared; what differs is the limit, the
        dtype, the data, the model's files or revision, or the version of the task.
        """
        candidates = [
            (stored, difference)
            for stored in self._by_settings.get(_settings(config), ())
            if (difference := _difference(stored, config, identity))
        ]
        return min(candidates, key=lambda candidate: len(candidate[1]), default=None)

    def write(self, config: RunConfig, result: Result) -> Path:
        """Write a result, in place of the one that it supersedes; nothing else is ever overwritten.

        Raises:
            OSError: the file cannot be written; nothing is left behind.
        """
        identity = result["identity"][config.task]  # as the run found it: data or weights may have changed since
        existing = self._by_identity.get(fingerprint(identity))
        path = existing.path if existing is not None else self._free_path(result_name(config, identity))
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(path, result if existing is None else replace_task(_read_again(existing), result))
        self._seen.add(path.name)
        for stored in read_results(path):
            self._add(stored)
        return path

    def _paths(self, name: str) -> Iterator[Path]:
        """Yield the paths that a file of this name may get, where others are taken."""
        yield self.path / name
        yield from (self.path / f"{Path(name).stem}-{number}.json" for number in itertools.count(2))

    def _free_path(self, name: str) -> Path:
        return next(path for path in self._paths(name) if not path.exists())


def _read_again(stored: StoredResult) -> Result:
    """Return a file's content as it is now; another process may have exchanged another task's result there."""
    with contextlib.suppress(OSError, ValueError):
        read_results(stored.path)
        content: Result = json.loads(stored.path.read_text(encoding="utf-8"))
        return content
    return stored.content


def _stated(identity: Identity) -> str:
    """Return the fingerprint of what every identity states: without the data's content and the model's revision."""
    weights = {key: value for key, value in identity["weights"].items() if key != "revision"}
    return fingerprint({**identity, "data": identity["data"].get("hub"), "weights": weights})


def is_same_run(stated: Identity, wanted: Identity) -> bool:
    """Whether two identities are of one run; what one of them leaves open counts as equal."""
    return _stated(stated) == _stated(wanted) and _agree(stated, wanted)


def _agree(stated: Identity, wanted: Identity) -> bool:
    """Whether two identities with equal `_stated` differ in nothing that both state."""
    revisions = stated["weights"].get("revision"), wanted["weights"].get("revision")
    contents = [(stated["data"].get(split), wanted["data"].get(split)) for split in {*stated["data"], *wanted["data"]}]
    if "hub" not in wanted["data"] and any(one != other for one, other in contents):  # files always state their content
        return False
    return all(one == other or None in (one, other) for one, other in [revisions, *contents])


def _without_origin(config: RunConfig) -> RunConfig:
    """Return the canonical form of a configuration without what a file of the older form may leave open."""
    return replace(canonical(config), pretrained="any", revision=None, dtype=None, data_dir=None, include_path=None)


def _settings(config: RunConfig) -> object:
    """Return what a configuration and an outdated result of it have in common."""
    form = canonical(config)
    return form.model, form.task, form.encoding_scheme, form.num_fewshot, form.description, form.vectors, _name(form)


def _name(config: RunConfig) -> str:
    return config.pretrained.rstrip("/").rpartition("/")[2]


def _version(stored: StoredResult) -> object:
    return stored.content.get("versions", {}).get(stored.config.task, 0)


def _difference(stored: StoredResult, config: RunConfig, identity: Identity) -> dict[str, str]:
    """Return what differs between a result and a wanted configuration, each with both values."""
    pairs: dict[str, tuple[object, object]] = {
        "limit": (stored.config.limit, config.limit),
        "version of the task": (_version(stored), find_task(config).version),
    }
    if stored.identity is None:
        for key in ("pretrained", "revision", "dtype", "data_dir"):
            if getattr(stored.config, key) is not None:
                pairs[key] = getattr(stored.config, key), getattr(config, key)
    else:
        pairs["dtype"] = stored.identity.get("dtype"), identity["dtype"]
        pairs["seed"] = stored.identity.get("seed"), identity["seed"]
        pairs.update(_content_pairs("data", stored.identity.get("data"), identity["data"]))
        pairs.update(_content_pairs("model", stored.identity.get("weights"), identity["weights"]))
    return {key: f"{there} there, {here} here" for key, (there, here) in pairs.items() if there != here}


def _content_pairs(what: str, there: object, here: Mapping[str, Any]) -> dict[str, tuple[object, object]]:
    stated = there if isinstance(there, Mapping) else {}
    return {f"{what} ({key})": (_short(stated.get(key)), _short(here.get(key))) for key in sorted({*stated, *here})}


_SHOWN = 12
"""Characters of a fingerprint that are shown."""


def _short(value: object) -> object:
    is_hash = isinstance(value, str) and len(value) >= 40 and all(letter in "0123456789abcdef" for letter in value)
    return str(value)[:_SHOWN] if is_hash else value


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
