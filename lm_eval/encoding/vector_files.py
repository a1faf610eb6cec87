"""Reading texts from JSONL and writing their vectors to Parquet or safetensors, piece by piece."""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lm_eval.common.atomic import written_whole
from lm_eval.encoding.texts import Form, Text, check_form, form_of
from lm_eval.errors import DataError

METADATA_KEY = "lm_eval"
"""Metadata key whose JSON value states everything that decides the vectors."""

Id = int | str
Write = Callable[[Id, np.ndarray], None]
"""Takes the id of a text and its vectors."""


@dataclass(frozen=True, kw_only=True)
class TextFile:
    """A JSONL file with a text in each line: a string, the list of its segments, or a list of samples of segments."""

    path: Path
    field: str = "text"
    id_field: str | None = None
    """The field with the id of a text; None takes the number of its line."""

    def __iter__(self) -> Iterator[tuple[str, Id, Text]]:
        """Yield source, id and text of each line; empty lines are skipped.

        Raises:
            DataError: a line is no JSON object in UTF-8, lacks a field, or has an invalid id.
        """
        with self.path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    source = f"{self.path}, line {number}"
                    row = _read_line(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, source)
                    yield source, self._id(row, number, source), self._text(row, source)

    def _id(self, row: Mapping[str, Any], number: int, source: str) -> Id:
        if self.id_field is None:
            return number
        name = _field(row, self.id_field, "id by --id_field", source)
        if isinstance(name, bool) or not isinstance(name, (int, str)):
            raise DataError(f"{source}: field {self.id_field!r} must be a string or an integer, got {name!r:.80}")
        if isinstance(name, int) and not -(1 << 63) <= name < 1 << 63:
            raise DataError(f"{source}: field {self.id_field!r} must fit 64 bits, got {name}; make it a string")
        return name

    def _text(self, row: Mapping[str, Any], source: str) -> Text:
        text: Text = _field(row, self.field, "text by --field", source)
        return text

    def check(self) -> "Contents":
        """Read and check the whole file once, and return a summary of its content.

        Raises:
            DataError: the file or a line of it cannot be used; names the line.
        """
        first: tuple[Form, type] | None = None
        number = 0
        try:
            for source, name, text in self:
                number += 1
                form = form_of(text, source)
                first = first or (form, type(name))
                check_form(form, first[0], source)
                if type(name) is not first[1]:
                    raise DataError(f"{source}: field {self.id_field!r} holds integers and strings; make all one kind")
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror})") from error
        if first is None:
            raise DataError(f"{self.path}: the file holds no texts")
        return Contents(number, *first)


@dataclass(frozen=True)
class Contents:
    """A summary of a file of texts."""

    num_texts: int
    form: Form
    id_type: type


def _field(row: Mapping[str, Any], name: str, which: str, source: str) -> Any:  # noqa: ANN401
    """Return a field of a row.

    Raises:
        DataError: the row has none of that name.
    """
    if name not in row:
        raise DataError(
            f"{source}: field {name!r} is missing; the row has {', '.join(row) or 'no fields'}; "
            f"name the one with the {which}"
        )
    return row[name]


def _read_line(line: bytes, source: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line.decode("utf-8").rstrip())
    except UnicodeDecodeError as error:
        raise DataError(f"{source}: not UTF-8 text (byte {error.start} of the line); save the file as UTF-8") from error
    except (ValueError, RecursionError) as error:
        fault = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise DataError(f"{source}: not a JSON object ({fault}); correct or remove the line") from error
    if not isinstance(row, dict):
        raise DataError(f"{source}: expected a JSON object, got {row!r:.60}")
    return row


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The layout of a file of vectors, known before the first one is written."""

    dim: int
    one_vector: bool
    """Whether each text has exactly one vector, rather than a list."""
    contents: Contents
    description: Mapping[str, Any]
    """Everything that decides the vectors, for the metadata."""


@contextlib.contextmanager
def vector_file(path: Path, layout: Layout) -> Iterator[Write]:
    """Open a file for the vectors of texts; it is written atomically when the `with` block ends."""
    write_to = _parquet if path.suffix == ".parquet" else _safetensors
    with written_whole(path) as temporary, write_to(temporary, layout) as write:
        yield write


_ROW_GROUP_BYTES = 1 << 26
"""Bytes of vectors in a row group, approximately."""


@contextlib.contextmanager
def _parquet(path: Path, layout: Layout) -> Iterator[Write]:
    """Write columns `id` and `vector` ([dim]), or `vectors` ([vector, dim]); one row per text."""
    vector = pa.list_(pa.float32(), layout.dim)
    name, kind = ("vector", vector) if layout.one_vector else ("vectors", pa.list_(vector))
    schema = pa.schema({"id": pa.int64() if layout.contents.id_type is int else pa.string(), name: kind})
    schema = schema.with_metadata({METADATA_KEY: json.dumps(dict(layout.description))})
    ids: list[Id] = []
    rows: list[np.ndarray] = []
    held = [0]

    def flush() -> None:
        flat = pa.array(np.concatenate([row.reshape(-1) for row in rows]))
        column = pa.FixedSizeListArray.from_arrays(flat, layout.dim)
        if not layout.one_vector:
            ends = np.cumsum([0, *(len(row) for row in rows)])
            column = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), column)
        writer.write_table(pa.Table.from_arrays([pa.array(ids, schema.field("id").type), column], schema=schema))
        ids.clear()
        rows.clear()
        held[0] = 0

    def write(name: Id, vectors: np.ndarray) -> None:
        ids.append(name)
        rows.append(vectors)
        held[0] += vectors.nbytes
        if held[0] >= _ROW_GROUP_BYTES:
            flush()

    with pq.ParquetWriter(path, schema, use_dictionary=["id"]) as writer:
        yield write
        if rows:
            flush()


@contextlib.contextmanager
def _safetensors(path: Path, layout: Layout) -> Iterator[Write]:
    """Write `vectors` ([text, dim]), or `vectors` ([vector, dim]) and `offsets`: text i has rows offsets[i:i + 2].

    The vectors are collected in a temporary file, as the format needs their number first.
    """
    from safetensors.numpy import save_file  # noqa: PLC0415

    with tempfile.TemporaryFile(dir=path.parent) as buffer:
        ends = [0]

        def write(_name: Id, vectors: np.ndarray) -> None:
            buffer.write(np.ascontiguousarray(vectors, dtype="<f4").tobytes())
            ends.append(ends[-1] + (1 if layout.one_vector else len(vectors)))

        yield write
        buffer.flush()
        tensors: dict[str, np.ndarray] = {
            "vectors": np.memmap(buffer, dtype="<f4", mode="r", shape=(ends[-1], layout.dim))
        }
        if not layout.one_vector:
            tensors["offsets"] = np.array(ends, dtype="<i8")
        save_file(tensors, path, metadata={METADATA_KEY: json.dumps(dict(layout.description))})
