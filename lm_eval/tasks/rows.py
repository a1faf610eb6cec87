"""Finding the rows of a dataset split: in a local folder (JSONL, Parquet, saved dataset) or on the hub.

Knows nothing of what a row means, and leaves the formats of files to `row_files`.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval.common.digests import digest_of
from lm_eval.common.file_state import FileState, states_of
from lm_eval.common.hub import hub_or_cache
from lm_eval.common.regular_files import find_fault, say_why
from lm_eval.common.text import first_line
from lm_eval.errors import DataError, MissingDataError
from lm_eval.tasks.row_files import JsonLines, ParquetRows, Rows, SavedRows, SourcedRow, join_digests

PACKAGED_READERS = ("json", "csv", "parquet", "arrow", "text")
"""Names that `datasets.load_dataset` takes for local files; the hub isn't asked for them."""
_SHARD = re.compile(r"-(\d+)-of-(\d+)$")


@dataclass(frozen=True)
class LocalSplit:
    """One split of a dataset in a folder, in one of three formats."""

    kind: str
    """jsonl, parquet or saved (a folder that `save_to_disk` of the datasets library made)."""
    files: tuple[Path, ...]
    """The files that hold the rows, in order."""

    @classmethod
    def find(cls, data_dir: str, name: str, split: str, needed: str = "") -> "LocalSplit":
        """Locate a split.

        Args:
            data_dir: the folder of the user's data.
            name: the dataset's folder in there.
            split: the split's name.
            needed: what it is needed for, for the message; empty where every run needs it.

        Raises:
            DataError: there is no such folder or file, files of several formats, or a part of the rows is missing.
        """
        folder = Path(data_dir).expanduser() / name
        try:
            matches = [local for local in _candidates(folder, split) if local.files]
        except PermissionError as error:
            raise DataError(
                f"{error.filename}: {say_why(error)}; see that you may read it and what is in it"
            ) from error
        if not matches:
            raise DataError(
                f"data_dir={data_dir}: {folder / f'{split}.jsonl'} does not exist; "
                f"it must hold the {split} rows of {name}{needed and f', needed for {needed}'}, a JSON object a line "
                f"(or {split}.parquet, {split}-*.parquet, or a folder {split} made by save_to_disk of the datasets "
                "library)"
            )
        if len(matches) > 1:
            paths = " and ".join(str(local.files[0]) for local in matches)
            raise DataError(f"data_dir={data_dir}: {paths} both hold the {split} rows of {name}; remove one of them")
        matches[0].check_shards()
        matches[0].check_readable()
        return matches[0]

    def check_readable(self) -> None:
        """Check that every file is one that may be read.

        Raises:
            DataError: one isn't.
        """
        for path in self.files:
            if (fault := find_fault(path)) is not None:
                raise DataError(f"{path}: {fault}; it must be a file that you may read")

    def check_shards(self) -> None:
        """Check that no Parquet shard is missing, by the `-00000-of-00003` in their names.

        Raises:
            DataError: some are missing.
        """
        numbers = [match.groups() for path in self.files if (match := _SHARD.search(path.stem))]
        expected = max((int(total) for _, total in numbers), default=0)
        if self.kind == "parquet" and numbers and len(self.files) != expected:
            raise DataError(
                f"{self.files[0].parent}: {len(self.files)} of {expected} files {self.files[0].name} … are there; "
                "copy the missing ones too"
            )

    @property
    def version(self) -> tuple[FileState, ...]:
        """The states of its files: they change when a file is written again."""
        return states_of(self.files)

    def fingerprint(self) -> str:
        """Return the SHA-256 of the file, or of the hashes of all files in order."""
        return join_digests(map(digest_of, self.version))

    def open(self) -> Rows:
        """Return the rows, which are read when they are asked for.

        Raises:
            DataError: a file can't be read, or there are no rows.
        """
        rows = JsonLines(self.files[0]) if self.kind == "jsonl" else _READERS[self.kind](self.files)
        if not len(rows):
            raise DataError(f"{self.files[0]}: the file holds no rows")
        return rows


_READERS: dict[str, Callable[[Sequence[Path]], Rows]] = {"parquet": ParquetRows, "saved": SavedRows}


def _candidates(folder: Path, split: str) -> Iterator[LocalSplit]:
    yield LocalSplit("jsonl", tuple(path for path in [folder / f"{split}.jsonl"] if _is_there(path)))
    whole = folder / f"{split}.parquet"
    shards = sorted(folder.glob(f"{split}-*.parquet")) if folder.is_dir() else []
    yield LocalSplit("parquet", tuple([whole] if _is_there(whole) else shards))
    yield LocalSplit("saved", _saved_files(folder / split))


def _is_there(path: Path) -> bool:
    """Whether there is something of a name; folders don't count."""
    return path.exists() and not path.is_dir()


def _saved_files(folder: Path) -> tuple[Path, ...]:
    state = folder / "state.json"
    if not state.is_file():
        return ()
    try:
        return tuple(folder / part["filename"] for part in json.loads(state.read_bytes())["_data_files"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{state}: not what save_to_disk writes ({error}); save the dataset again") from error


def _cause(error: Exception) -> str:
    """Return why a dataset cannot be loaded; `datasets` says "offline mode" also where the hub just didn't answer."""
    return first_line(error).replace("(OfflineModeIsEnabled)", "(it doesn't answer, or offline mode is on)")


WITHOUT_NETWORK = (
    "without a network give a folder of your own (data_dir= in task_args, --data_dir to a script), or fetch it while "
    "there is one (scripts/prefetch.py)"
)


def is_local_data(path: str) -> bool:
    """Whether a `dataset_path` stands for local files rather than a dataset on the hub."""
    return path in PACKAGED_READERS or Path(path).is_dir()


def read_hub(path: str, name: str | None, arguments: Mapping[str, Any], split: str) -> list[SourcedRow]:
    """Return the rows of a split from the hub or its cache, or from the local files that `arguments` names.

    Args:
        path: the dataset's name on the hub, or one of `PACKAGED_READERS`.
        name: its configuration on the hub, where it has several.
        arguments: further arguments of `datasets.load_dataset`, such as `data_files`.
        split: the split's name.

    Raises:
        DataError: the split cannot be loaded.
    """
    import datasets  # noqa: PLC0415  (seconds to import, and only the hub needs it)

    is_local = is_local_data(path)
    chosen = (path,) if name is None else (path, name)
    shown = " ".join(chosen)
    try:
        if is_local:
            rows = datasets.load_dataset(*chosen, split=split, **arguments)
        else:
            with hub_or_cache(path, "dataset"):
                rows = datasets.load_dataset(*chosen, split=split, **arguments)
    except Exception as error:
        place = "cannot be loaded" if is_local else "cannot be loaded from the dataset hub or its cache"
        problem = f"{shown}: the {split} split {place} ({type(error).__name__}: {_cause(error)})"
        if is_local:
            raise DataError(
                f"{problem}; see that the files which dataset_kwargs names are there and hold this split"
            ) from error
        cause = f"{type(error).__name__}: {_cause(error).replace(repr(path), 'it')}"
        raise MissingDataError(f"{shown} {split}", cause, f"{problem}; {WITHOUT_NETWORK}") from error
    return [(row, f"{shown} {split}, row {index}") for index, row in enumerate(rows)]
