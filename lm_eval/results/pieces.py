"""Pieces of long passes: what is done of them, as files of the results folder, until their runs have results.

A file holds a piece: documents in a row, scored for some runs of a pass. It is found by the pass, and used only by the
same code, as its name says. Files are written whole and read by whoever works on the pass; nobody changes one.
"""

import contextlib
import itertools
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, ConfigDict, Field

from lm_eval.common.atomic import sweep_temporary_files, written_whole
from lm_eval.common.regular_files import read_regular
from lm_eval.common.typed_files import Count, FileModel, Number, Text, read_as, read_json_as
from lm_eval.results.schema import StatedIdentity

Span = tuple[int, int]
"""Places of documents among the run's: from, and up to but without."""


class BlockCounts(NamedTuple):
    """What was counted of a block of documents."""

    start: int
    end: int
    num_contexts: int
    num_tokens: int
    num_vectors: int
    num_truncated: int


def state_folder(results: Path) -> Path:
    """Return the subfolder of a results folder that holds heartbeats, leases and pieces."""
    return results / ".grid"


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a piece holds of one run."""

    start: int
    end: int
    """The places of its documents: from, and up to but without."""
    identity: Mapping[str, Any]
    """By what was loaded and read."""
    documents: Mapping[str, list[list[float | bool]]]
    """What is known of its documents: by the names of a `DocumentScores`, for each document a value for each choice."""
    blocks: tuple[BlockCounts, ...]
    """What was counted of each block, so that one that two pieces hold counts once."""
    shared: Mapping[str, Any]
    """The record of the pass over the piece, as the fields of a `PassRecord`."""
    made_on: Mapping[str, Any]
    """What a result states of machine, loaded model and code."""
    asked: Mapping[str, Any]
    """What was asked for of batch size and device."""
    worker: str
    """The process that computed it."""
    code: str
    """The digest of the code that computed it."""


class _Batches(FileModel):
    num_batches: Count
    num_tokens: Count
    num_halved: Count
    most_rows: Count
    most_tokens: Count


class _Shared(FileModel):
    """The fields of a `PassRecord`."""

    num_configurations: Annotated[Count, Field(gt=0)]
    started: Text
    finished: Text
    seconds: Number
    phases: dict[str, Number]
    num_documents: Count
    num_tokens: Count
    num_truncated: Count
    batches: _Batches
    peak_memory_gib: Number


class _MadeOn(FileModel):
    host: Text
    device: Text
    gpus: list[Text]
    load_s: Number


class _Asked(FileModel):
    model_config = ConfigDict(extra="forbid")
    batch_size: int | None
    device: Text | None


def _checked(model: type[FileModel]) -> AfterValidator:
    """Return a check that leaves an object as it is."""

    def check(content: dict[str, Any]) -> dict[str, Any]:
        read_as(model, content)
        return content

    return AfterValidator(check)


class _PartFile(FileModel):
    start: Count
    end: Count
    identity: StatedIdentity
    documents: dict[Literal["scores", "is_exact_match", "similarities"], list[list[float | bool]]]
    blocks: list[Annotated[tuple[Count, Count, Count, Count, Count, Count], Field(strict=False)]]
    shared: Annotated[dict[str, Any], _checked(_Shared)]
    made_on: Annotated[dict[str, Any], _checked(_MadeOn)]
    asked: Annotated[dict[str, Any], _checked(_Asked)]
    worker: Text
    code: Text

    def part(self) -> Part:
        """Return it as a `Part`.

        Raises:
            ValueError: its scores aren't those of its documents.
        """
        number = self.end - self.start
        has_scores = "scores" in self.documents
        if number < 1 or not has_scores or any(len(rows) != number for rows in self.documents.values()):
            raise ValueError(f"not the scores of documents from {self.start} to {self.end}")
        counts = tuple(BlockCounts(*numbers) for numbers in self.blocks)
        return Part(**{name: getattr(self, name) for name in type(self).model_fields} | {"blocks": counts})


class _PieceContent(FileModel):
    runs: dict[str, _PartFile]


class PieceFile(NamedTuple):
    """A file of a pass, by its name."""

    path: Path
    code: str
    span: Span
    driver: str


_NAME = re.compile(r"(?P<code>[0-9a-f]+)\.(?P<start>\d+)-(?P<end>\d+)\.(?P<driver>.+)\.\d+\.json")
_numbers = itertools.count()
"""Of the pieces of this process: the same documents may be scored twice, for different runs."""
_NAME_LENGTH = 32
"""Characters of a pass's name in the names of folders and leases."""


def pieces_folder(results: Path) -> Path:
    """Return the folder of all pieces of a results folder."""
    return state_folder(results) / "pieces"


@dataclass(frozen=True)
class PassFolder:
    """The pieces of one pass."""

    path: Path

    @classmethod
    def of(cls, results: Path, pass_name: str) -> "PassFolder":
        """Return the folder of a pass below a results folder."""
        return cls(pieces_folder(results) / pass_name[:_NAME_LENGTH])

    @property
    def name(self) -> str:
        """The name of the pass in names of leases."""
        return self.path.name

    def files(self) -> list[PieceFile]:
        """Return its files, in the order of their documents."""
        with contextlib.suppress(OSError):
            named = [(path, _NAME.fullmatch(path.name)) for path in self.path.iterdir()]
            files = [
                PieceFile(path, match["code"], (int(match["start"]), int(match["end"])), match["driver"])
                for path, match in named
                if match
            ]
            return sorted(files, key=lambda file: (*file.span, file.driver))
        return []

    def file(self, code: str, span: Span, driver: str) -> PieceFile:
        """Return a new file for a piece."""
        name = f"{code}.{span[0]}-{span[1]}.{driver}.{next(_numbers)}.json"
        return PieceFile(self.path / name, code, span, driver)

    def remove(self, files: Collection[PieceFile]) -> None:
        """Remove files, and the folder once it is empty."""
        for file in files:
            with contextlib.suppress(OSError):
                file.path.unlink()
        with contextlib.suppress(OSError):  # until one that holds something else
            for folder in (self.path, *self.path.parents[:2]):
                folder.rmdir()


def write_piece(file: PieceFile, parts: Mapping[str, Part]) -> None:
    """Write a piece.

    Args:
        file: where.
        parts: what it holds of each run, by the run's name.

    Raises:
        OSError: it cannot be written.
    """
    content = {"runs": {name: asdict(part) for name, part in parts.items()}}
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    with contextlib.suppress(FileNotFoundError):  # another driver may have removed the folder, as it was empty
        _write(file.path, text)
        return
    _write(file.path, text)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_piece(file: PieceFile, names: Collection[str] | None = None) -> dict[str, Part]:
    """Return what a piece holds of each run, by the run's name; nothing of a damaged file.

    Args:
        file: where it is.
        names: of the runs that are wanted; None takes all.

    Raises:
        OSError: it cannot be read now.
    """
    try:
        runs = read_json_as(_PieceContent, read_regular(file.path)).runs
        return {name: part.part() for name, part in runs.items() if names is None or name in names}
    except ValueError:
        return {}


def sweep_pieces(results: Path, is_live: Callable[[str], bool], is_done: Callable[[str], bool], code: str) -> None:
    """Remove the pieces that nobody goes on with: of other code, or of runs that all have results.

    Args:
        results: the results folder.
        is_live: whether a driver is alive; what such a one has written stays.
        is_done: whether a run has a result, by its name.
        code: the digest of this code.
    """
    for folder in pass_folders(results):
        sweep_temporary_files(folder.path)
        over = []
        for file in folder.files():
            with contextlib.suppress(OSError):
                if not is_live(file.driver) and (file.code != code or all(map(is_done, read_piece(file)))):
                    over.append(file)
        folder.remove(over)


def pass_folders(results: Path) -> Iterator[PassFolder]:
    """Yield the folders of all passes that have pieces."""
    with contextlib.suppress(OSError):
        yield from [PassFolder(path) for path in pieces_folder(results).iterdir() if path.is_dir()]
