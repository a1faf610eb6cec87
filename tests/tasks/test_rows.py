"""Rows in a folder: JSONL, Parquet and saved datasets hold the same, and what is missing or double is told."""

import hashlib
import re
from pathlib import Path

import datasets
import pyarrow as pa
import pytest
from pyarrow import parquet

from lm_eval.errors import DataError
from lm_eval.tasks.documents import data_identity, read_split
from lm_eval.tasks.rows import LocalSplit, read_hub
from lm_eval.tasks.webqs import WEBQS
from tests.support.worlds import webqs_row, write_rows

ROWS = [webqs_row(number) for number in range(5)]


def write_parquet(path: Path, rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


def as_jsonl(folder: Path) -> None:
    write_rows(folder / "webqs" / "test.jsonl", ROWS)


def as_parquet(folder: Path) -> None:
    write_parquet(folder / "webqs" / "test.parquet", ROWS)


def as_shards(folder: Path) -> None:
    for number, part in enumerate((ROWS[:2], ROWS[2:])):
        write_parquet(folder / "webqs" / f"test-0000{number}-of-00002.parquet", part)


def as_saved(folder: Path) -> None:
    datasets.Dataset.from_list(ROWS).save_to_disk(str(folder / "webqs" / "test"))


def as_saved_splits(folder: Path) -> None:
    whole = datasets.DatasetDict(
        {"test": datasets.Dataset.from_list(ROWS), "train": datasets.Dataset.from_list(ROWS[:1])}
    )
    whole.save_to_disk(str(folder / "webqs"))


FORMATS = [as_jsonl, as_parquet, as_shards, as_saved, as_saved_splits]


@pytest.mark.parametrize("write", FORMATS)
def test_every_format_holds_the_same_rows(write, tmp_path):
    write(tmp_path)
    examples = read_split(WEBQS, "test", str(tmp_path))
    assert tuple(examples) == tuple(WEBQS.read_row(row, "") for row in ROWS)
    last = {
        as_jsonl: "test.jsonl, line 5",
        as_parquet: "test.parquet, row 4",
        as_shards: "test-00001-of-00002.parquet, row 2",
    }
    assert examples[-1].source == str(tmp_path / "webqs" / last.get(write, "test, row 4"))


@pytest.mark.parametrize("write", FORMATS)
def test_data_in_any_format_are_known_by_their_content(write, tmp_path):
    for name in ("one", "two"):
        write(tmp_path / name)
    first = data_identity(WEBQS, 0, str(tmp_path / "one"))
    assert data_identity(WEBQS, 0, str(tmp_path / "two")) == first
    assert len(first["test"]) == 64
    other = [webqs_row(7), *ROWS[1:]]
    (tmp_path / "other" / "webqs").mkdir(parents=True)
    write_rows(tmp_path / "other" / "webqs" / "test.jsonl", other)
    assert data_identity(WEBQS, 0, str(tmp_path / "other")) != first


def test_a_single_file_is_known_by_its_own_hash(tmp_path):
    as_jsonl(tmp_path)
    found = LocalSplit.find(str(tmp_path), "webqs", "test")
    assert (found.kind, found.files) == ("jsonl", (tmp_path / "webqs" / "test.jsonl",))
    assert found.fingerprint() == hashlib.sha256(found.files[0].read_bytes()).hexdigest()


def test_two_formats_of_one_split_are_refused(tmp_path):
    as_jsonl(tmp_path)
    as_parquet(tmp_path)
    message = r"test.jsonl and .*test.parquet both hold the test rows of webqs; remove one of them"
    with pytest.raises(DataError, match=message):
        LocalSplit.find(str(tmp_path), "webqs", "test")


def test_a_missing_part_is_told(tmp_path):
    as_shards(tmp_path)
    (tmp_path / "webqs" / "test-00001-of-00002.parquet").unlink()
    with pytest.raises(
        DataError, match=r"1 of 2 files test-00000-of-00002.parquet … are there; copy the missing ones too"
    ):
        LocalSplit.find(str(tmp_path), "webqs", "test")


def test_a_broken_parquet_file_is_named(tmp_path):
    as_parquet(tmp_path)
    path = tmp_path / "webqs" / "test.parquet"
    path.write_bytes(b"PAR1 nonsense")
    with pytest.raises(DataError, match=re.escape(f"{path}: not a readable Parquet file")):
        list(read_split(WEBQS, "test", str(tmp_path)))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "state.json").write_text("{}"), "state.json: not what save_to_disk writes"),
        (lambda folder: (folder / "dataset_info.json").unlink(), "test: cannot be read as a saved dataset"),
    ],
)
def test_a_damaged_saved_dataset_is_named(damage, message, tmp_path):
    as_saved(tmp_path)
    damage(tmp_path / "webqs" / "test")
    with pytest.raises(DataError, match=message):
        list(read_split(WEBQS, "test", str(tmp_path)))


def test_a_file_without_rows_is_refused(tmp_path):
    path = tmp_path / "webqs" / "test.parquet"
    path.parent.mkdir()
    parquet.write_table(pa.table({"question": pa.array([], pa.string())}), path)
    with pytest.raises(DataError, match=re.escape(f"{path}: the file holds no rows")):
        list(read_split(WEBQS, "test", str(tmp_path)))


def test_files_that_a_task_names_itself_are_read_without_asking_the_hub(tmp_path, monkeypatch):
    monkeypatch.setattr("lm_eval.tasks.rows.hub_or_cache", None)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    path = write_rows(tmp_path / "rows.jsonl", ROWS)
    found = read_hub("json", None, {"data_files": {"test": str(path)}}, "test")
    assert [row["question"] for row, _ in found] == [row["question"] for row in ROWS]
    assert found[3][1] == "json test, row 3"
    with pytest.raises(
        DataError, match=r"json: the test split cannot be loaded \(FileNotFoundError: .* dataset_kwargs"
    ):
        read_hub("json", None, {"data_files": {"test": str(tmp_path / "nowhere.jsonl")}}, "test")
