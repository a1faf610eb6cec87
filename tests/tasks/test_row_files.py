"""Rows are read where a run needs them, and only of the bytes that the fingerprint is of."""

import hashlib
import json
import os
import random
from dataclasses import replace

import pyarrow as pa
import pytest
from pyarrow import parquet

from lm_eval.config.limit import Limit
from lm_eval.errors import DataError
from lm_eval.tasks.documents import read_split, select_documents
from lm_eval.tasks.hellaswag import HELLASWAG
from lm_eval.tasks.row_files import ChangedDataError, JsonLines, ParquetRows
from tests.support.worlds import hellaswag_row, write_rows

NUM_ROWS = 40
UNSPLIT = replace(HELLASWAG, training_split=None)


def row_of(number):
    return hellaswag_row(0, ctx_a=f"Ship {number} sails.")


def write_world(folder, num_rows=NUM_ROWS):
    """HellaSwag's two splits of rows that all differ."""
    (folder / "hellaswag").mkdir()
    for split, first in (("validation", 0), ("train", 1000)):
        write_rows(folder / "hellaswag" / f"{split}.jsonl", [row_of(first + i) for i in range(num_rows)])
    return folder


def lines_of(text):
    """What a reader of the whole text finds, with the numbers of its lines."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [(json.loads(line), number) for number, line in enumerate(lines, start=1) if line.strip()]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n", "\n \t\n", "\n\u00a0\n", "\r\r\n"])
@pytest.mark.parametrize("front", ["", "\ufeff", "\n", "\ufeff\r\n"])
@pytest.mark.parametrize("behind", ["", "\n"])
def test_lines_of_any_ends_are_those_of_the_whole_text(end, front, behind, tmp_path):
    rows = [{"text": f"été {i}", "more": [i, None]} for i in range(5)]
    text = front + end.join(json.dumps(row, ensure_ascii=bool(i % 2)) for i, row in enumerate(rows)) + behind
    path = tmp_path / "rows.jsonl"
    path.write_bytes(text.encode())
    read = JsonLines(path)
    assert read.fingerprint == hashlib.sha256(text.encode()).hexdigest()
    expected = [(row, f"{path}, line {number}") for row, number in lines_of(text)]
    assert [row for row, _ in expected] == rows
    assert list(read.take(range(len(read)))) == expected
    assert list(read.take([1, 3])) == [expected[1], expected[3]]


def test_lines_are_read_alike_where_the_system_reads_at_no_place(tmp_path, monkeypatch):
    path = write_world(tmp_path) / "hellaswag" / "validation.jsonl"
    rows = JsonLines(path)
    expected = list(rows.take([0, 7, NUM_ROWS - 1]))
    monkeypatch.delattr("os.pread")
    assert list(rows.take([0, 7, NUM_ROWS - 1])) == expected


def test_a_broken_row_that_no_run_needs_goes_unnoticed_and_another_is_named(tmp_path):
    write_world(tmp_path)
    path = tmp_path / "hellaswag" / "validation.jsonl"
    whole = select_documents(HELLASWAG, str(tmp_path), 2, Limit.parse("10"))
    needed = {int(document.example.source.rpartition(" ")[2]) for document in whole}
    lines = path.read_text().splitlines()
    for number in set(range(1, NUM_ROWS + 1)) - needed:
        lines[number - 1] = "{broken"
    path.write_text("\n".join(lines))
    assert select_documents(HELLASWAG, str(tmp_path), 2, Limit.parse("10")) == whole
    first = min(needed)
    lines[first - 1] = '{"ctx_a": 3'
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=f"validation.jsonl, line {first}: not a JSON object"):
        select_documents(HELLASWAG, str(tmp_path), 2, Limit.parse("10"))


@pytest.mark.parametrize("limit", [None, "7", "5:9", "30:"])
@pytest.mark.parametrize("num_fewshot", [0, 3])
@pytest.mark.parametrize("has_training", [True, False])
def test_documents_are_those_of_a_reader_of_all_rows(limit, num_fewshot, has_training, tmp_path):
    write_world(tmp_path)
    dataset = HELLASWAG if has_training else UNSPLIT
    everything = list(read_split(HELLASWAG, "validation", str(tmp_path)))
    pool = list(read_split(HELLASWAG, "train", str(tmp_path))) if has_training else everything.copy()
    rnd = random.Random(42)
    order = everything.copy()
    rnd.shuffle(order)
    expected = []
    for example in order:
        drawn = rnd.sample(pool, num_fewshot + (not has_training)) if num_fewshot else []
        expected.append((example, tuple(row for row in drawn if row != example)[:num_fewshot]))
    slice_ = Limit.parse(limit)
    found = select_documents(dataset, str(tmp_path), num_fewshot, slice_)
    assert [(document.example, document.shots) for document in found] == expected[slice_.start : slice_.end]


def test_no_row_is_parsed_that_a_run_does_not_need(tmp_path, monkeypatch):
    write_world(tmp_path)
    parsed = []
    loads = json.loads
    monkeypatch.setattr("lm_eval.tasks.row_files.json.loads", lambda line: parsed.append(line) or loads(line))
    select_documents(HELLASWAG, str(tmp_path), 2, Limit.parse("3"))
    assert 3 + 2 <= len(parsed) <= 3 + 3 * 2


def test_a_row_written_over_is_never_given_out_under_the_old_fingerprint(tmp_path):
    path = write_rows(tmp_path / "rows.jsonl", [{"text": "a"}, {"text": "b"}])
    rows = JsonLines(path)
    times = path.stat()
    with path.open("r+b") as stream:
        stream.write(path.read_bytes().replace(b"a", b"c"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(ChangedDataError, match=r"rows\.jsonl: it changes while it is read"):
        list(rows.take([0]))
    assert [row for row, _ in rows.take([1])] == [{"text": "b"}]  # which is what was read first


def test_a_file_renamed_over_another_leaves_the_rows_as_they_were(tmp_path):
    path = write_rows(tmp_path / "rows.jsonl", [{"text": "a"}])
    rows = JsonLines(path)
    write_rows(tmp_path / "new.jsonl", [{"text": "c"}]).replace(path)
    assert [row for row, _ in rows.take([0])] == [{"text": "a"}]


def test_a_parquet_file_written_again_is_refused(tmp_path):
    path = tmp_path / "rows.parquet"
    parquet.write_table(pa.table({"text": ["a", "b"]}), path)
    rows = ParquetRows([path])
    assert [row for row, _ in rows.take([1])] == [{"text": "b"}]
    parquet.write_table(pa.table({"text": ["c", "d"]}), path)
    with pytest.raises(ChangedDataError):
        list(rows.take([0]))


def test_rows_of_several_parquet_files_and_batches_keep_their_places(tmp_path):
    counts, paths = (5000, 3, 4097), [tmp_path / f"part{i}.parquet" for i in range(3)]
    for path, first, count in zip(paths, (0, 5000, 5003), counts, strict=True):
        parquet.write_table(pa.table({"n": list(range(first, first + count))}), path, row_group_size=1500)
    rows = ParquetRows(paths)
    assert len(rows) == sum(counts)
    places = [0, 4095, 4096, 4999, 5000, 5002, 5003, 9098, 9099]
    found = list(rows.take(places))
    assert [row["n"] for row, _ in found] == places
    assert found[5][1] == f"{paths[1]}, row 2"
