"""`ResultsFolder`: finding results by configuration, whatever their file names, and writing them (experiment §7)."""

import contextlib
import itertools
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from lm_eval.common import garbage
from lm_eval.common.atomic import write_json
from lm_eval.common.regular_files import NotAFileError, names_of_files, say_why
from lm_eval.config.run_config import RunConfig
from lm_eval.results.difference import find_difference
from lm_eval.results.identity import Identity, Run, fingerprint, settings_key
from lm_eval.results.result_file import (
    FAILURE_ENDING,
    Result,
    StoredResult,
    read_results,
    replace_task,
    result_name,
)


class ResultsFolder:
    """The results of a folder, looked up by configuration."""

    @garbage.left_alone()
    def __init__(self, path: Path) -> None:
        self.path = path
        self.unreadable: dict[Path, str] = {}
        """Files that hold no result, and why; they are kept."""
        self._seen: set[str] = set()
        self._by_identity: dict[str, StoredResult] = {}
        self._older: list[StoredResult] = []
        self._by_settings: dict[str, list[StoredResult]] | None = None
        """All results by their settings; made when it is asked for, as most runs are found by their identity."""
        for name in names_of_files(path, ".json"):
            if not name.endswith(FAILURE_ENDING):
                self._read(path / name)

    def _read(self, file: Path, run: Run | None = None) -> None:
        self._seen.add(file.name)
        try:
            for stored in read_results(file):
                if run is not None:
                    stored.adopt(run)
                self._add(stored)
        except (OSError, ValueError) as error:
            self.unreadable[file] = say_why(error)
            self._seen.discard(file.name)  # it may be one that another process is about to write

    def _add(self, stored: StoredResult) -> None:
        if stored.is_older_form and stored.task is None:
            return
        earlier = None
        if stored.is_older_form:
            self._older.append(stored)
        else:
            name = fingerprint(stored.identity)
            earlier = self._by_identity.get(name)
            self._by_identity[name] = stored
        if self._by_settings is not None:
            same_settings = self._by_settings[settings_key(stored.identity)]
            if earlier in same_settings:
                same_settings.remove(earlier)
            same_settings.append(stored)

    def _same_settings(self, identity: Identity) -> Sequence[StoredResult]:
        """Return the results of the same settings, of whatever model and data."""
        if self._by_settings is None:
            self._by_settings = defaultdict(list)
            for stored in (*self._by_identity.values(), *self._older):
                self._by_settings[settings_key(stored.identity)].append(stored)
        return self._by_settings.get(settings_key(identity), ())

    def __iter__(self) -> Iterator[StoredResult]:
        """Yield every result, except those of the older form that a newer one supersedes."""
        for stored in self._older:
            if not any(map(stored.is_superseded_by, self._same_settings(stored.identity))):
                yield stored
        yield from self._by_identity.values()

    def find(self, run: Run) -> StoredResult | None:
        """Return the result of a run, or None.

        What a file doesn't state counts as equal; of several results the one that states most is returned.
        """
        exact = self._by_identity.get(run.name)
        if exact is not None:
            return exact
        matches = [stored for stored in self._same_settings(run.identity) if stored.is_of(run)]
        return min(matches, key=lambda stored: stored.is_older_form, default=None)

    def has(self, name: str) -> bool:
        """Whether a result of this fingerprint has been read or written."""
        return name in self._by_identity

    def look_again(self, run: Run) -> StoredResult | None:
        """Return the result of a run, also one that another process has written since the folder was read."""
        for path in self._paths(result_name(run.config, run.identity)):
            if not path.exists():
                break
            if path.name not in self._seen:
                self._read(path, run)
        return self.find(run)

    def find_outdated(self, run: Run) -> tuple[StoredResult, dict[str, str]] | None:
        """Return the result closest to a run that has none, and how it differs.

        Only results with the same settings and model name are compared; they may differ in the limit, the seed, the
        dtype, the data, the model's files or revision, or the version of the task.
        """
        differences = (
            (stored, find_difference(stored, run))
            for stored in self._same_settings(run.identity)
            if stored.form.model_name == run.form.model_name
        )
        return min((pair for pair in differences if pair[1]), key=lambda pair: len(pair[1]), default=None)

    def write(self, config: RunConfig, result: Result, run: Run | None = None) -> Path:
        """Write a result; it replaces the one of the same identity, and no other file is ever overwritten.

        Args:
            config: the configuration of the result.
            result: the content, with the identity at the time of computing: data or weights may have changed since.
            run: the resolved configuration, where available.

        Raises:
            OSError: the file cannot be written; nothing is left behind.
        """
        return self.publish(config, result, run)[0]

    def publish(self, config: RunConfig, result: Result, run: Run | None = None) -> tuple[Path, bool]:
        """Write a result as `write` does, unless another process has just written it; of two at once, the first counts.

        Returns:
            The file, and whether it holds this result.

        Raises:
            OSError: the file cannot be written; nothing is left behind.
        """
        identity = result["identity"][config.task]
        name, existing = fingerprint(identity), self._by_identity.get(fingerprint(identity))
        self.path.mkdir(parents=True, exist_ok=True)
        if existing is not None:
            write_json(existing.path, _with_other_tasks(existing, result))
            self._read(existing.path, run)
            return existing.path, True
        for path in self._paths(result_name(config, identity)):
            if not os.path.lexists(path):
                with contextlib.suppress(FileExistsError):
                    write_json(path, result, anew=True)
                    self._read(path, run)
                    return path, True
            if path.name not in self._seen:
                self._read(path, run)
            if (first := self._by_identity.get(name)) is not None:
                return first.path, False
        raise AssertionError("there is no end of names")

    def _paths(self, name: str) -> Iterator[Path]:
        """Yield possible paths for a file of this name: the name itself, then with a number."""
        yield self.path / name
        yield from (self.path / f"{Path(name).stem}-{number}.json" for number in itertools.count(2))


def _with_other_tasks(stored: StoredResult, result: Result) -> Result:
    """Return a result beside those of other tasks in its file, as far as there is one still, and holds any."""
    with contextlib.suppress(FileNotFoundError, NotAFileError, ValueError):  # any other fault may hide its results
        return replace_task(stored.content, result)
    return result
