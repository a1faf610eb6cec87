"""What a results folder holds: found by configuration, whatever the files are called (experiment §7)."""

import contextlib
import itertools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from lm_eval.common.atomic import write_json
from lm_eval.config.run_config import RunConfig
from lm_eval.results.difference import find_difference
from lm_eval.results.identity import Run, fingerprint, settings_key
from lm_eval.results.result_file import (
    FAILURE_ENDING,
    Result,
    StoredResult,
    read_results,
    replace_task,
    result_name,
)


class ResultsFolder:
    """The results that a folder holds, found by configuration."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unreadable: dict[Path, str] = {}
        """Files that hold no result, and why; they are kept."""
        self._seen: set[str] = set()
        self._by_identity: dict[str, StoredResult] = {}
        self._by_settings: dict[object, list[StoredResult]] = defaultdict(list)
        for file in sorted(path.glob("*.json")) if path.is_dir() else ():
            if not file.name.endswith(FAILURE_ENDING):
                self._read(file)

    def _read(self, file: Path, run: Run | None = None) -> None:
        self._seen.add(file.name)
        try:
            for stored in read_results(file):
                if run is not None:
                    stored.adopt(run)
                self._add(stored)
        except (OSError, ValueError) as error:
            self.unreadable[file] = str(error)

    def _add(self, stored: StoredResult) -> None:
        alike = self._by_settings[settings_key(stored.form)] if stored.task is not None else []
        if not stored.is_older_form:
            name = fingerprint(stored.identity)
            earlier = self._by_identity.get(name)
            self._by_identity[name] = stored
            if earlier is not None and earlier in alike:
                alike[alike.index(earlier)] = stored
                return
        alike.append(stored)

    def __iter__(self) -> Iterator[StoredResult]:
        """Yield every result but those of the older form that a newer one has superseded."""
        for alike in self._by_settings.values():
            for stored in alike:
                if stored.is_older_form and not any(map(stored.is_superseded_by, alike)):
                    yield stored
        yield from self._by_identity.values()

    def find(self, run: Run) -> StoredResult | None:
        """Return the result of a run, or None.

        Of several the one that states most is taken; what a file doesn't state counts as equal.
        """
        exact = self._by_identity.get(run.name)
        if exact is not None:
            return exact
        alike = [stored for stored in self._by_settings.get(settings_key(run.form), ()) if stored.is_of(run)]
        return min(alike, key=lambda stored: stored.is_older_form, default=None)

    def look_again(self, run: Run) -> StoredResult | None:
        """Return the result of a run, which another process may have written since the folder was read."""
        for path in self._paths(result_name(run.config, run.identity)):
            if not path.exists():
                break
            if path.name not in self._seen:
                self._read(path, run)
        return self.find(run)

    def find_outdated(self, run: Run) -> tuple[StoredResult, dict[str, str]] | None:
        """Return the result that comes nearest to a run which has none, and in what it differs.

        Only results of the same settings of a model of the same name are compared; what differs is the limit, the
        dtype, the data, the model's files or revision, or the version of the task.
        """
        differences = (
            (stored, find_difference(stored, run))
            for stored in self._by_settings.get(settings_key(run.form), ())
            if stored.form.model_name == run.form.model_name
        )
        return min((pair for pair in differences if pair[1]), key=lambda pair: len(pair[1]), default=None)

    def write(self, config: RunConfig, result: Result, run: Run | None = None) -> Path:
        """Write a result, in place of the one that it supersedes; nothing else is ever overwritten.

        Args:
            config: what the result was computed for.
            result: with the identity that was found then: data or weights may have changed since.
            run: the configuration as it was resolved, where it was.

        Raises:
            OSError: the file cannot be written; nothing is left behind.
        """
        identity = result["identity"][config.task]
        existing = self._by_identity.get(fingerprint(identity))
        path = existing.path if existing is not None else self._free_path(result_name(config, identity))
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(path, result if existing is None else replace_task(_read_again(existing), result))
        self._read(path, run)
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
        return read_results(stored.path)[0].content
    return stored.content
