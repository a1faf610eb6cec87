"""Records of failed runs: written, read, replaced, forgotten; what is none is left alone."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from grids import grid
from hypothesis import given
from hypothesis import strategies as st
from worlds import write_model_folder

from lm_eval.config import RunConfig
from lm_eval.failures import Failure, RecordedFailure, read_failures, remove_failure, write_failure
from lm_eval.grid import expand
from lm_eval.identity import fingerprint, identify
from lm_eval.result_files import result_name
from lm_eval.results import ResultsFolder

BUG = Failure(
    message="ZeroDivisionError: by zero\nin the middle",
    kind="run",
    traceback="Traceback …",
    host="some-host",
    log_tail="the last line\nthat was written",
)


@pytest.fixture
def configs(tmp_path, data_dir) -> list[RunConfig]:
    """Two configurations of one model."""
    model = str(write_model_folder(tmp_path / "model"))
    return expand(grid(models=[model], num_fewshot=[1, 2]), data_dir=str(data_dir))


def record(folder: Path, config: RunConfig, failure: Failure = BUG) -> Path:
    return write_failure(folder, config, identify(config), failure)


def only(folder: Path) -> RecordedFailure:
    (recorded,) = read_failures(folder).values()
    return recorded


def test_a_failure_is_read_as_it_was_written(tmp_path, configs):
    path = record(tmp_path / "deep" / "results", configs[0])
    failures = read_failures(tmp_path / "deep" / "results")
    assert failures.keys() == {fingerprint(identify(configs[0]))}
    (recorded,) = failures.values()
    assert (recorded.path, recorded.config, recorded.failure) == (path, configs[0], BUG)
    assert recorded.identity == identify(configs[0])
    assert recorded.time == json.loads(path.read_text())["time"]


def test_a_record_is_called_like_the_result_that_is_missing(tmp_path, configs):
    path = record(tmp_path, configs[0])
    assert path.name == result_name(configs[0]).replace(".json", ".error.json")
    assert [file.name for file in tmp_path.glob("*.error.json")] == [path.name]


def test_a_record_states_how_it_came_about(tmp_path, configs):
    content = json.loads(record(tmp_path, configs[0]).read_text())
    assert content.keys() == {"task", "config", "identity", "failure", "time", "command_line", "code"}
    assert content["failure"].keys() == {"message", "kind", "traceback", "host", "log_tail"}
    assert content["config"]["model_args"] == configs[0].model_args()


@pytest.mark.parametrize("kind", ["run", "load", "memory", "death"])
def test_every_kind_of_failure_comes_back(tmp_path, configs, kind):
    failure = Failure(message="Gründe…", kind=kind)
    record(tmp_path, configs[0], failure)
    assert only(tmp_path).failure == failure


def test_a_run_s_later_failure_replaces_its_earlier_one(tmp_path, configs):
    first = record(tmp_path, configs[0])
    assert record(tmp_path, configs[0], replace(BUG, message="again", kind="death")) == first
    assert only(tmp_path).failure.message == "again"


def test_a_failure_is_forgotten_without_the_other_runs_(tmp_path, configs):
    for config in configs:
        record(tmp_path, config)
    for _ in range(2):
        remove_failure(tmp_path, configs[0], identify(configs[0]))
    assert only(tmp_path).config == configs[1]
    remove_failure(tmp_path / "nowhere", configs[0], identify(configs[0]))


def test_a_failure_of_the_same_run_with_other_data_is_another(tmp_path, configs):
    record(tmp_path, configs[0])
    identity = identify(configs[0])
    changed = {**identity, "data": {**identity["data"], "train": "0" * 64}}
    write_failure(tmp_path, configs[0], changed, BUG)
    assert len(read_failures(tmp_path)) == 2


def test_where_nothing_can_be_written_the_cause_is_told(tmp_path, configs):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"Not a directory: '.*file/results'"):
        record(tmp_path / "file" / "results", configs[0])


def test_a_folder_that_is_missing_or_holds_none_has_no_failures(tmp_path, configs):
    assert read_failures(tmp_path / "nowhere") == {}
    (tmp_path / "notes.json").write_text("{}")
    assert read_failures(tmp_path) == {}


def test_failures_are_no_results(tmp_path, configs):
    record(tmp_path / "results", configs[0])
    folder = ResultsFolder(tmp_path / "results")
    assert (list(folder), folder.unreadable) == ([], {})
    assert folder.find(configs[0]) is None
    assert folder.find_stale(configs[0], identify(configs[0])) is None


def without(content: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The content without an entry, which the last key names."""
    key, *rest = keys
    if rest:
        return {**content, key: without(content[key], *rest)}
    return {name: value for name, value in content.items() if name != key}


@pytest.mark.parametrize(
    "keys",
    [
        ("task",),
        ("config",),
        ("config", "model_args"),
        ("identity",),
        ("identity", "data"),
        ("identity", "weights"),
        ("failure",),
        ("failure", "message"),
        ("time",),
    ],
    ids=" ".join,
)
def test_a_record_that_lacks_something_is_left_alone_and_hides_no_other(tmp_path, configs, keys):
    path = record(tmp_path, configs[0])
    text = json.dumps(without(json.loads(path.read_text()), *keys))
    path.write_text(text)
    record(tmp_path, configs[1])
    assert only(tmp_path).config == configs[1]
    assert path.read_text() == text


@pytest.mark.parametrize(
    "change",
    [
        {"failure": {"message": "x", "kind": "bad luck"}},
        {"failure": {"message": 3}},
        {"failure": {"message": "x", "unknown": 1}},
        {"failure": []},
        {"task": "no_such_task"},
        {"task": None},
        {"identity": 3},
        {"config": "text"},
    ],
    ids=str,
)
def test_a_record_of_another_form_is_left_alone(tmp_path, configs, change):
    path = record(tmp_path, configs[0])
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert read_failures(tmp_path) == {}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"null", b"[]", b'"text"', b"\xff\xfe\x00", b"[" * 100_000, b"NaN"], ids=lambda c: str(c[:9])
)
def test_garbage_is_left_alone(tmp_path, content):
    file = tmp_path / "some.error.json"
    file.write_bytes(content)
    (tmp_path / "folder.error.json").mkdir()
    (tmp_path / "broken.error.json").symlink_to(tmp_path / "nowhere")
    assert read_failures(tmp_path) == {}
    assert ResultsFolder(tmp_path).unreadable == {}
    assert file.read_bytes() == content


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=4,
)


@given(data=st.data())
def test_whatever_an_entry_is_replaced_by_reading_never_fails(tmp_path_factory, data_dir, data):
    folder = tmp_path_factory.mktemp("failures")
    config = expand(grid(models=[str(write_model_folder(folder / "model"))], num_fewshot=[1]), data_dir=str(data_dir))[
        0
    ]
    path = record(folder, config)
    content = json.loads(path.read_text())
    key = data.draw(st.sampled_from(sorted(content)))
    inner = sorted(content[key]) if isinstance(content[key], dict) else []
    if inner and data.draw(st.booleans()):
        content[key][data.draw(st.sampled_from(inner))] = data.draw(JSON)
    else:
        content[key] = data.draw(JSON)
    path.write_text(json.dumps(content))
    for recorded in read_failures(folder).values():
        assert ResultsFolder(folder).find_identified(recorded.config, recorded.identity) is None
