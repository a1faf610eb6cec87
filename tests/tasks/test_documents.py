"""Documents: where rows come from, their order, the limit, and the shots."""

import os
import random
import re
import sys
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest

from lm_eval.config.limit import Limit
from lm_eval.errors import ConfigurationError, DataError
from lm_eval.tasks import documents, rows
from lm_eval.tasks.documents import data_identity, needed_splits, read_split, select_documents
from lm_eval.tasks.hellaswag import HELLASWAG
from lm_eval.tasks.webqs import WEBQS
from tests.support.worlds import NUM_EVALUATION, NUM_TRAINING, hellaswag_row, webqs_row, write_rows

UNSPLIT = replace(HELLASWAG, training_split=None)
"""HellaSwag as if it had no training rows."""


def select(dataset, data_dir, num_fewshot=0, limit=None):
    return select_documents(dataset, str(data_dir), num_fewshot, Limit.parse(limit))


@pytest.mark.parametrize("dataset", [HELLASWAG, WEBQS])
def test_the_order_is_one_shuffle_with_the_seed_42(data_dir, dataset):
    order = list(read_split(dataset, dataset.evaluation_split, str(data_dir)))
    random.Random(42).shuffle(order)
    selected = select(dataset, data_dir)
    assert [document.example for document in selected] == order
    assert [document.doc_id for document in selected] == list(range(NUM_EVALUATION))
    assert all(document.shots == () for document in selected)


@pytest.mark.parametrize(
    ("limit", "ids"),
    [(3, [0, 1, 2]), ("4:6", [4, 5]), ("8:", [8, 9]), (":2", [0, 1]), ("7:99", [7, 8, 9]), (99, list(range(10)))],
)
@pytest.mark.parametrize("dataset", [HELLASWAG, UNSPLIT, WEBQS])
def test_a_slice_keeps_each_document_its_id_and_its_shots(data_dir, dataset, limit, ids):
    everything = select(dataset, data_dir, num_fewshot=3)
    assert select(dataset, data_dir, num_fewshot=3, limit=limit) == [everything[doc_id] for doc_id in ids]


@pytest.mark.parametrize("dataset", [HELLASWAG, WEBQS])
@pytest.mark.parametrize("num_fewshot", [1, 5, NUM_TRAINING])
def test_shots_are_drawn_document_by_document_by_the_generator_that_shuffled(data_dir, dataset, num_fewshot):
    order = list(read_split(dataset, dataset.evaluation_split, str(data_dir)))
    training = list(read_split(dataset, "train", str(data_dir)))
    rnd = random.Random(42)
    rnd.shuffle(order)
    drawn = [tuple(rnd.sample(training, num_fewshot)) for _ in order]
    assert [document.shots for document in select(dataset, data_dir, num_fewshot)] == drawn


@pytest.mark.parametrize("num_fewshot", [1, 4, NUM_EVALUATION - 1])
def test_without_training_rows_one_more_is_drawn_and_the_document_itself_dropped(data_dir, num_fewshot):
    rows = list(read_split(UNSPLIT, "validation", str(data_dir)))
    rnd = random.Random(42)
    order = rows.copy()
    rnd.shuffle(order)
    selected = select(UNSPLIT, data_dir, num_fewshot)
    assert [document.example for document in selected] == order
    for document in selected:
        drawn = rnd.sample(rows, num_fewshot + 1)
        assert document.shots == tuple(row for row in drawn if row != document.example)[:num_fewshot]
        assert len(document.shots) == num_fewshot


@pytest.mark.parametrize("num_fewshot", [1, 2, 5])
def test_a_document_is_never_among_its_own_shots_though_training_holds_copies_of_it(tmp_path, num_fewshot):
    rows = [hellaswag_row(number) for number in range(6)]
    write_rows(tmp_path / "hellaswag" / "validation.jsonl", rows)
    write_rows(tmp_path / "hellaswag" / "train.jsonl", [*rows, *rows, *rows])
    for document in select(HELLASWAG, tmp_path, num_fewshot):
        assert document.example not in document.shots
        assert len(document.shots) == num_fewshot


def test_a_document_is_never_among_its_own_shots_even_where_rows_are_copies_of_it(tmp_path):
    rows = [hellaswag_row(number) for number in range(4)]
    write_rows(tmp_path / "hellaswag" / "validation.jsonl", [*rows, *rows])
    for document in select(UNSPLIT, tmp_path, num_fewshot=3):
        assert document.example not in document.shots
        assert len(document.shots) == 3


def test_too_few_rows_that_differ_from_a_document_are_refused(tmp_path):
    write_rows(tmp_path / "hellaswag" / "validation.jsonl", [hellaswag_row(0)])
    write_rows(tmp_path / "hellaswag" / "train.jsonl", [hellaswag_row(0)] * 3 + [hellaswag_row(1)])
    with pytest.raises(ConfigurationError, match=r"num_fewshot=2: only 1 rows differ from .*validation.jsonl, line 1"):
        select(HELLASWAG, tmp_path, num_fewshot=2)


def test_equal_rows_besides_the_document_may_be_its_shots_together(tmp_path):
    write_rows(tmp_path / "hellaswag" / "validation.jsonl", [hellaswag_row(0)])
    write_rows(tmp_path / "hellaswag" / "train.jsonl", [hellaswag_row(0), hellaswag_row(1), hellaswag_row(1)])
    shots = select(HELLASWAG, tmp_path, num_fewshot=2)[0].shots
    assert [shot.question for shot in shots] == [("Baking: A cook sees a cake. It is old. The cake",)] * 2


def test_without_shots_the_training_rows_need_not_be_there(tmp_path):
    write_rows(tmp_path / "webqs" / "test.jsonl", [webqs_row(0)])
    assert [document.shots for document in select(WEBQS, tmp_path)] == [()]
    message = r"train\.jsonl does not exist; it must hold the train rows of webqs, needed for 1 shot, a JSON"
    with pytest.raises(DataError, match=message):
        select(WEBQS, tmp_path, num_fewshot=1)
    with pytest.raises(DataError, match="needed for 2 shots"):
        data_identity(WEBQS, 2, str(tmp_path))


@pytest.mark.parametrize(
    ("dataset", "num_fewshot", "rows"),
    [(HELLASWAG, NUM_TRAINING + 1, NUM_TRAINING), (UNSPLIT, NUM_EVALUATION, NUM_EVALUATION)],
)
def test_more_shots_than_rows_are_refused(data_dir, dataset, num_fewshot, rows):
    message = f"num_fewshot={num_fewshot}: hellaswag has only {rows} rows to draw shots from"
    with pytest.raises(ConfigurationError, match=message):
        select(dataset, data_dir, num_fewshot)


@pytest.mark.parametrize("limit", ["10:", "10:12", "99:100"])
def test_a_limit_that_begins_beyond_the_data_is_refused(data_dir, limit):
    with pytest.raises(ConfigurationError, match=f"limit {limit} selects no document; there are 10 in webqs test"):
        select(WEBQS, data_dir, limit=limit)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b'{"question": "a?", "answers": ["b"]}\n{"question": \n',
            ", line 2: not a JSON object (Expecting value at col",
        ),
        (b"nonsense\n", ", line 1: not a JSON object (Expecting value at column 1); correct or remove the line"),
        (b'\n\n["a"]\n', ", line 3: expected a JSON object, got '[\"a\"]'"),
        (b"7\n", ", line 1: expected a JSON object, got '7'"),
        (b"null\n", ", line 1: expected a JSON object, got 'null'"),
        (b'{"question": "caf\xe9?"}\n', ", line 1: not UTF-8 text (byte 17 of it); save the file as UTF-8"),
        (b"", ": the file holds no rows"),
        (b"\n \n", ": the file holds no rows"),
    ],
)
def test_a_file_that_holds_no_rows_in_json_is_refused(tmp_path, content, message):
    path = tmp_path / "webqs" / "test.jsonl"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(f"{path}{message}")):
        select(WEBQS, tmp_path)


def test_empty_lines_are_passed_over_and_counted(tmp_path):
    path = write_rows(tmp_path / "webqs" / "test.jsonl", [webqs_row(0), webqs_row(1)])
    path.write_text("\n" + path.read_text().replace("\n", "\r\n\n"))
    sources = {document.example.source for document in select(WEBQS, tmp_path)}
    assert len(sources) == 2
    assert all(str(path) in source for source in sources)
    assert f"{path}, line 2" in sources


def test_line_separators_inside_a_text_do_not_end_its_line(tmp_path):
    path = tmp_path / "webqs" / "test.jsonl"
    path.parent.mkdir()
    path.write_text('{"question": "a\u2028b\x85c?", "answers": ["d"]}\n', encoding="utf-8")
    assert select(WEBQS, tmp_path)[0].example.question == ("Question: a\u2028b\x85c?",)


@pytest.mark.parametrize("folder", ["nowhere", "file"])
def test_a_missing_file_is_named(tmp_path, folder):
    (tmp_path / "file").write_text("")
    place = tmp_path / folder
    message = (
        f"data_dir={place}: {place / 'webqs' / 'test.jsonl'} does not exist; "
        "it must hold the test rows of webqs, a JSON object a line"
    )
    with pytest.raises(DataError, match=re.escape(message)):
        select(WEBQS, place)


def test_a_data_folder_may_lie_in_the_home_folder(data_dir, monkeypatch):
    monkeypatch.setenv("HOME", str(data_dir.parent))
    assert select(WEBQS, f"~/{data_dir.name}") == select(WEBQS, data_dir)


def test_a_changed_file_is_read_anew(tmp_path):
    path = write_rows(tmp_path / "webqs" / "test.jsonl", [webqs_row(0)])
    before = select(WEBQS, tmp_path), data_identity(WEBQS, 0, str(tmp_path))
    path.write_text(path.read_text().replace("what", "when"))  # as many bytes as before
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    after = select(WEBQS, tmp_path), data_identity(WEBQS, 0, str(tmp_path))
    assert "when" in after[0][0].example.question[0]
    assert after[0] != before[0]
    assert after[1] != before[1]


@pytest.mark.parametrize(
    ("dataset", "num_fewshot", "splits"),
    [
        (HELLASWAG, 0, ("validation",)),
        (HELLASWAG, 1, ("validation", "train")),
        (WEBQS, 5, ("test", "train")),
        (UNSPLIT, 5, ("validation",)),
    ],
)
def test_the_training_rows_decide_a_run_only_where_shots_are_drawn_from_them(data_dir, dataset, num_fewshot, splits):
    assert needed_splits(dataset, num_fewshot) == splits
    assert tuple(data_identity(dataset, num_fewshot, str(data_dir))) == splits


def test_data_are_known_by_their_content_not_by_their_place(data_dir, tmp_path):
    for split in ("train", "test"):
        write_rows(tmp_path / "webqs" / f"{split}.jsonl", [])
        (tmp_path / "webqs" / f"{split}.jsonl").write_bytes((data_dir / "webqs" / f"{split}.jsonl").read_bytes())
    assert data_identity(WEBQS, 2, str(tmp_path)) == data_identity(WEBQS, 2, str(data_dir))
    assert data_identity(WEBQS, 2, None) == {"hub": "stanfordnlp/web_questions"}


@pytest.fixture
def hub(monkeypatch):
    """Stand in for the hub's library, whose answer the test sets."""
    library = SimpleNamespace(load_dataset=None)
    monkeypatch.setitem(sys.modules, "datasets", library)
    monkeypatch.setattr(rows, "hub_or_cache", lambda repository, kind: nullcontext())
    documents._read_hub.cache_clear()
    yield library
    documents._read_hub.cache_clear()


def test_rows_come_from_the_hub_where_no_folder_is_given(hub, data_dir):
    asked = []

    def load(name, split):
        asked.append((name, split))
        return [webqs_row(number) for number in range(10 if split == "test" else 22)][0 if split == "test" else 10 :]

    hub.load_dataset = load
    assert select_documents(WEBQS, None, 2, Limit()) == select(WEBQS, data_dir, 2)
    assert asked == [("stanfordnlp/web_questions", "test"), ("stanfordnlp/web_questions", "train")]


def test_a_broken_row_of_the_hub_is_named(hub):
    hub.load_dataset = lambda name, split: [hellaswag_row(0), hellaswag_row(1, label="")]
    message = "Rowan/hellaswag validation, row 1: field 'label' must be an index into 4 endings, got ''"
    with pytest.raises(DataError, match=message):
        select_documents(HELLASWAG, None, 0, Limit())


def test_a_hub_that_cannot_be_reached_gives_one_error_that_names_the_remedy(hub):
    def fail(name, split):
        raise ConnectionError("no route to host")

    hub.load_dataset = fail
    message = (
        "Rowan/hellaswag: the validation split cannot be loaded from the dataset hub or its cache "
        "(ConnectionError: no route to host); without a network give a folder of your own"
    )
    with pytest.raises(DataError, match=re.escape(message)):
        select_documents(HELLASWAG, None, 0, Limit())
