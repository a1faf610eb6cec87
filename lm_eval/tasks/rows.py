"""Reading the rows of a dataset split: from a local folder (JSONL, Parquet, saved dataset) or the hub.

Knows file formats, nothing of what a row means.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval.common.digests import digest_of
from lm_eval.common.file_state import FileState, settled_states_of, states_of
from lm_eval.common.hub import hub_or_cache
from lm_eval.common.text import first_line, say_cause
from lm_eval.errors import DataError

SourcedRow = tuple[Mapping[str, Any], str]
"""A row and its source (file and line), for messages."""

PACKAGED_READERS = ("json", "csv", "parquet", "arrow", "text")
"""Names that `datasets.load_dataset` takes for local files; the hub isn't asked for them."""
_ATTEMPTS = 5
"""How often rows are read whose files change meanwhile."""
_SHARD = re.compile(r"-(\d+)-of-(\d+)$")


@dataclass(frozen=True)
class LocalSplit:
    """One split of a dataset in a folder, in one of three formats."""

    kind: str
    """jsonl, parquet or saved (a folder that `save_to_disk` of the datasets library made)."""
    files: tuple[Path, ...]
    """The files that hold the rows, in order."""

    @classmethod
    def find(cls, data_dir: str, name: str, split: str) -> "LocalSplit":
        """Locate a split.

        Args:
            data_dir: the folder of the user's data.
            name: the dataset's folder in there.
            split: the split's name.

        Raises:
            DataError: there is no such folder or file, files of several formats, or a part of the rows is missing.
        """
        folder = Path(data_dir).expanduser() / name
        matches = [local for local in _candidates(folder, split) if local.files]
        if not matches:
            raise DataError(
                f"data_dir={data_dir}: {folder / f'{split}.jsonl'} does not exist; "
                f"it must hold the {split} rows of {name}, a JSON object a line (or {split}.parquet, "
                f"{split}-*.parquet, or a folder {split} made by save_to_disk of the datasets library)"
            )
        if len(matches) > 1:
            paths = " and ".join(str(local.files[0]) for local in matches)
            raise DataError(f"data_dir={data_dir}: {paths} both hold the {split} rows of {name}; remove one of them")
        matches[0].check_shards()
        return matches[0]

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
        return _join(map(digest_of, self.version))

    def read(self) -> tuple[str, list[SourcedRow]]:
        """Return the fingerprint, and the rows that were read of the very bytes that it is of.

        Raises:
            DataError: the rows can't be read, or their files change all the time.
        """
        if self.kind != "saved":
            contents = [path.read_bytes() for path in self.files]
            digests = (hashlib.sha256(content).hexdigest() for content in contents)
            return _join(digests), list(self._rows(contents))
        for _ in range(_ATTEMPTS):
            with suppress(OSError):  # one was just being exchanged
                before = settled_states_of(self.files)
                fingerprint, rows = _join(map(digest_of, before)), list(self._rows([]))
                if self.version == before:
                    return fingerprint, rows
        raise DataError(f"{self.files[0]}: it changes while it is read; call again once it stays as it is")

    def _rows(self, contents: Sequence[bytes]) -> Iterator[SourcedRow]:
        """Yield every row of files whose contents were read.

        Raises:
            DataError: a file that cannot be read, a line that is no JSON object, or no rows at all; the message names
                file and line.
        """
        number = 0
        for number, row in enumerate(_READERS[self.kind](self, contents), start=1):  # noqa: B007
            yield row
        if not number:
            raise DataError(f"{self.files[0]}: the file holds no rows")


def _candidates(folder: Path, split: str) -> Iterator[LocalSplit]:
    yield LocalSplit("jsonl", tuple(path for path in [folder / f"{split}.jsonl"] if path.is_file()))
    whole = folder / f"{split}.parquet"
    shards = sorted(folder.glob(f"{split}-*.parquet")) if folder.is_dir() else []
    yield LocalSplit("parquet", tuple([whole] if whole.is_file() else shards))
    yield LocalSplit("saved", _saved_files(folder / split))


def _saved_files(folder: Path) -> tuple[Path, ...]:
    state = folder / "state.json"
    if not state.is_file():
        return ()
    try:
        return tuple(folder / part["filename"] for part in json.loads(state.read_bytes())["_data_files"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{state}: not what save_to_disk writes ({error}); save the dataset again") from error


def _join(digests: Iterable[str]) -> str:
    """Return the digest of one file, or that of the digests of several."""
    parts = list(digests)
    if len(parts) == 1:
        return parts[0]
    return hashlib.sha256(b"".join(map(bytes.fromhex, parts))).hexdigest()


def _read_jsonl(local: LocalSplit, contents: Sequence[bytes]) -> Iterator[SourcedRow]:
    (path,), (content,) = local.files, contents
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")  # as text files are read
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start}); save the file as UTF-8") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        source = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{source}: not a JSON object ({_json_fault(error)}); correct or remove the line"
            ) from error
        if not isinstance(row, dict):
            raise DataError(f"{source}: expected a JSON object, got {line!r:.60}")
        yield row, source


def _json_fault(error: Exception) -> str:
    return f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)


def _read_parquet(local: LocalSplit, contents: Sequence[bytes]) -> Iterator[SourcedRow]:
    import pyarrow as pa  # noqa: PLC0415  (only these files need it)
    from pyarrow import parquet  # noqa: PLC0415

    for path, content in zip(local.files, contents, strict=True):
        try:
            table = parquet.ParquetFile(pa.BufferReader(content)).read()
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path}: not a readable Parquet file ({first_line(error)}); write it again") from error
        start = 0
        for batch in table.to_batches():
            for index, row in enumerate(batch.to_pylist()):
                yield row, f"{path}, row {start + index}"
            start += batch.num_rows


def _read_saved(local: LocalSplit, _contents: Sequence[bytes]) -> Iterator[SourcedRow]:
    import datasets  # noqa: PLC0415  (seconds to import)

    folder = local.files[0].parent
    try:
        rows = datasets.load_from_disk(str(folder))
    except Exception as error:
        raise DataError(f"{folder}: cannot be read as a saved dataset ({say_cause(error)})") from error
    yield from ((row, f"{folder}, row {index}") for index, row in enumerate(rows))


_READERS = {"jsonl": _read_jsonl, "parquet": _read_parquet, "saved": _read_saved}


def _cause(error: Exception) -> str:
    """Return why a dataset cannot be loaded; `datasets` says "offline mode" also where the hub just didn't answer."""
    return first_line(error).replace("(OfflineModeIsEnabled)", "(it doesn't answer, or offline mode is on)")


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
        remedy = (
            "see that the files which dataset_kwargs names are there and hold this split"
            if is_local
            else "without a network give a folder of your own (data_dir= in task_args, --data_dir to a script), or "
            "fetch it while there is one (scripts/prefetch.py)"
        )
        place = "cannot be loaded" if is_local else "cannot be loaded from the dataset hub or its cache"
        raise DataError(
            f"{shown}: the {split} split {place} ({type(error).__name__}: {_cause(error)}); {remedy}"
        ) from error
    return [(row, f"{shown} {split}, row {index}") for index, row in enumerate(rows)]
