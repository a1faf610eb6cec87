"""The rows of files, read when they are asked for: a file of a million costs little where a run needs ten of them.

Every row that is given out comes from the bytes that the fingerprint is of. Lines of JSON are checked one by one
against what was read first; Parquet files and saved datasets must not have changed since.
"""

import hashlib
import json
import os
import weakref
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from lm_eval.common.digests import digest_of
from lm_eval.common.file_state import settled_states_of, states_of
from lm_eval.common.regular_files import open_regular, say_why
from lm_eval.common.text import first_line, say_cause
from lm_eval.errors import DataError

SourcedRow = tuple[Mapping[str, Any], str]
"""A row and its source (file and line), for messages."""

_BLOCK_BYTES = 1 << 20
_BATCH_ROWS = 4096
"""Rows of a Parquet file that are held at a time."""
_ATTEMPTS = 5
"""How often a file is opened that changes meanwhile."""
_MARK = b"\xef\xbb\xbf"
"""What some editors put in front of UTF-8."""


class ChangedDataError(DataError):
    """A file was written again while its rows were read."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: it changes while it is read; call again once it stays as it is")


@runtime_checkable
class Rows(Protocol):
    """The rows of a split."""

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the file, or of the hashes of all files in order."""
        ...

    def __len__(self) -> int: ...

    def take(self, places: Sequence[int]) -> Iterator[SourcedRow]:
        """Yield the rows at some places, which ascend.

        Raises:
            ChangedDataError: the files are no longer those that the fingerprint is of.
            DataError: a row can't be read; the message names file and line.
        """
        ...


def join_digests(digests: Iterable[str]) -> str:
    """Return the digest of one file, or that of the digests of several."""
    parts = list(digests)
    if len(parts) == 1:
        return parts[0]
    return hashlib.sha256(b"".join(map(bytes.fromhex, parts))).hexdigest()


class JsonLines:
    """A file with a JSON object a line; blank lines are none."""

    def __init__(self, path: Path) -> None:
        """Read the file once, for its digest and for the place of each row.

        Raises:
            DataError: it can't be read.
        """
        self.path = path
        self._starts, self._sizes, self._numbers, self._hashes = (array("q") for _ in range(4))
        self._handle = _open(path)  # shows the old file even once another has taken its name
        weakref.finalize(self, os.close, self._handle)
        digest, start, number = hashlib.sha256(), 0, 0
        with os.fdopen(self._handle, "rb", buffering=_BLOCK_BYTES, closefd=False) as lines:
            for line in lines:
                digest.update(line)
                for part in line.splitlines(keepends=True) if b"\r" in line else [line]:
                    number += 1
                    if not _is_blank(part):
                        self._add(start, part, number)
                    start += len(part)
        self.fingerprint = digest.hexdigest()

    def _add(self, start: int, part: bytes, number: int) -> None:
        self._starts.append(start)
        self._sizes.append(len(part))
        self._numbers.append(number)
        self._hashes.append(hash(part))

    def __len__(self) -> int:
        return len(self._starts)

    def take(self, places: Sequence[int]) -> Iterator[SourcedRow]:
        """Yield the rows at some places; see `Rows`."""
        for place in places:
            part = _read_at(self._handle, self._sizes[place], self._starts[place])
            if hash(part) != self._hashes[place]:
                raise ChangedDataError(self.path)
            source = f"{self.path}, line {self._numbers[place]}"
            yield _parse(part.removeprefix(_MARK) if self._starts[place] == 0 else part, source), source


def _open(path: Path) -> int:
    try:
        return open_regular(path)
    except OSError as error:
        raise DataError(f"{path}: {say_why(error)}; it must be a file that you may read") from error


def _read_at(handle: int, size: int, start: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(handle, size, start)
    os.lseek(handle, start, os.SEEK_SET)  # on Windows
    return os.read(handle, size)


def _is_blank(part: bytes) -> bool:
    """Whether a line holds nothing but white space, of which Unicode has more than ASCII."""
    stripped = part.strip()
    if not stripped or stripped[0] == 0x7B:  # a brace, as nearly always
        return not stripped
    with suppress(UnicodeDecodeError):
        return not stripped.decode("utf-8-sig").strip()
    return False


def _parse(part: bytes, source: str) -> Mapping[str, Any]:
    try:
        line = part.decode("utf-8").rstrip("\r\n")
        row = json.loads(line)
    except UnicodeDecodeError as error:
        raise DataError(f"{source}: not UTF-8 text (byte {error.start} of it); save the file as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{source}: not a JSON object ({_json_fault(error)}); correct or remove the line") from error
    if not isinstance(row, dict):
        raise DataError(f"{source}: expected a JSON object, got {line!r:.60}")
    return row


def _json_fault(error: Exception) -> str:
    return f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)


class _Unchanged:
    """Files that must stay as they were when their digest was taken."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.path, self._paths = paths[0], paths
        for _ in range(_ATTEMPTS):
            with suppress(OSError):  # one was just being exchanged
                self._states = settled_states_of(paths)
                self.fingerprint = join_digests(map(digest_of, self._states))
                if states_of(paths) == self._states:
                    return
        raise ChangedDataError(self.path)

    def check(self) -> None:
        """Check that they are what they were.

        Raises:
            ChangedDataError: they aren't.
        """
        with suppress(OSError):
            if states_of(self._paths) == self._states:
                return
        raise ChangedDataError(self.path)


class ParquetRows:
    """The rows of Parquet files, of which a few thousand are held at a time."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Read how many rows there are.

        Raises:
            DataError: a file can't be read.
        """
        self._files = _Unchanged(paths)
        self.fingerprint = self._files.fingerprint
        self._counts = [(path, _count_rows(path)) for path in paths]

    def __len__(self) -> int:
        return sum(count for _, count in self._counts)

    def take(self, places: Sequence[int]) -> Iterator[SourcedRow]:
        """Yield the rows at some places; see `Rows`."""
        first, wanted = 0, deque(places)
        for path, count in self._counts:
            if own := _take_below(wanted, first, count):
                yield from self._take_of(path, own)
            first += count

    def _take_of(self, path: Path, places: Sequence[int]) -> Iterator[SourcedRow]:
        from pyarrow import parquet  # noqa: PLC0415  (only these files need it)

        start, wanted = 0, deque(places)
        with _named(path), parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH_ROWS):
                held = _take_below(wanted, start, batch.num_rows)
                rows = batch.take(held).to_pylist() if held else []
                self._files.check()
                yield from ((row, f"{path}, row {start + place}") for row, place in zip(rows, held, strict=True))
                start += batch.num_rows
                if not wanted:
                    return


def _take_below(wanted: deque[int], start: int, number: int) -> list[int]:
    """Take those of ascending places away that are among so many from a start on; return them, counted from there."""
    taken = []
    while wanted and wanted[0] < start + number:
        taken.append(wanted.popleft() - start)
    return taken


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say which file is at fault."""
    import pyarrow as pa  # noqa: PLC0415

    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: not a readable Parquet file ({first_line(error)}); write it again") from error


def _count_rows(path: Path) -> int:
    from pyarrow import parquet  # noqa: PLC0415

    with _named(path), parquet.ParquetFile(path) as file:
        return int(file.metadata.num_rows)


class SavedRows:
    """The rows of a folder that `save_to_disk` of the datasets library made."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Open the folder.

        Raises:
            DataError: it can't be read.
        """
        import datasets  # noqa: PLC0415  (seconds to import)

        self._files, self._folder = _Unchanged(paths), paths[0].parent
        self.fingerprint = self._files.fingerprint
        try:
            self._dataset = datasets.load_from_disk(str(self._folder))
        except Exception as error:
            raise DataError(f"{self._folder}: cannot be read as a saved dataset ({say_cause(error)})") from error

    def __len__(self) -> int:
        return len(self._dataset)

    def take(self, places: Sequence[int]) -> Iterator[SourcedRow]:
        """Yield the rows at some places; see `Rows`."""
        for place in places:
            row = self._dataset[place]
            self._files.check()
            yield row, f"{self._folder}, row {place}"
