"""Records of failures beside the results: written, read, replaced, removed; what is no such record is left alone."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_eval.config.run_config import RunConfig
from lm_eval.results.failures import Failure, read_failures, remove_failure, write_failure
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.identity import fingerprint, identify
from lm_eval.results.provenance import code_version, command_line
from lm_eval.results.result_file import result_name

NO_LUCK = Failure(message="no luck")
GENERATION: dict[str, Any] = {
    "model": "dist_gen",
    "model_args": "WORD_AGG_SCHEME=mean,pretrained=someone/small",
    "task": "hellaswag_dg",
    "task_args": "encoding_scheme=concat_each_example",
    "num_fewshot": 1,
    "limit": None,
    "description": "",
}


@pytest.fixture
def config(data_dir) -> RunConfig:
    return RunConfig.parse(
        model="hf",
        model_args="pretrained=someone/small,revision=v1,dtype=float32",
        task="hellaswag",
        task_args=f"data_dir={data_dir}",
        num_fewshot=2,
        limit="1:4",
        description="Complete it.",
    )


def write(folder: Path, config: RunConfig, failure: Failure = NO_LUCK) -> Path:
    return write_failure(folder, config, identify(config), failure)


def test_a_record_stands_beside_the_result_that_the_run_would_have_had(config, tmp_path):
    path = write(tmp_path, config)
    assert path == tmp_path / result_name(config).replace(".json", ".error.json")
    assert [other.name for other in tmp_path.iterdir()] == [path.name]


def test_a_record_tells_what_failed_why_when_and_how_it_was_called(config, tmp_path):
    failure = Failure(message="no luck", kind="death", traceback="Traceback …", host="node7", log_tail="killed\n")
    content = json.loads(write(tmp_path, config, failure).read_text())
    assert content.pop("time").endswith("+00:00")
    assert content == {
        "task": "hellaswag",
        "config": {
            "model": "hf",
            "model_args": config.model_args(),
            "task_args": config.task_args(),
            "num_fewshot": 2,
            "batch_size": None,
            "device": None,
            "no_cache": True,
            "limit": "1:4",
            "bootstrap_iters": 0,
            "description_dict": {"hellaswag": "Complete it."},
        },
        "identity": identify(config),
        "failure": asdict(failure),
        "command_line": command_line(),
        "code": code_version(),
    }


@pytest.mark.parametrize("kind", ["run", "load", "memory", "death"])
def test_what_is_written_is_read_again(config, tmp_path, kind):
    failure = Failure(message="no\nluck, \N{SNOWMAN}, \udc80", kind=kind, host="node7", log_tail="a\x00b\n")
    path = write(tmp_path, config, failure)
    ((name, recorded),) = read_failures(tmp_path).items()
    assert name == fingerprint(identify(config))
    assert (recorded.path, recorded.config, recorded.identity) == (path, config, identify(config))
    assert recorded.failure == failure
    assert recorded.time == json.loads(path.read_text())["time"]


def test_the_folder_is_made_where_there_is_none(config, tmp_path):
    write(tmp_path / "not" / "yet", config)
    assert len(read_failures(tmp_path / "not" / "yet")) == 1


def test_a_later_failure_of_the_same_run_takes_the_place_of_the_earlier(config, tmp_path):
    write(tmp_path, config)
    write(tmp_path, config, Failure(message="again", kind="memory"))
    (recorded,) = read_failures(tmp_path).values()
    assert recorded.failure == Failure(message="again", kind="memory")
    assert len(list(tmp_path.iterdir())) == 1


def test_failures_of_different_runs_have_files_of_their_own(config, tmp_path):
    others = [config, replace(config, num_fewshot=1), replace(config, revision="v2"), replace(config, description="")]
    assert len({write(tmp_path, other) for other in others}) == 4
    assert [recorded.config for recorded in read_failures(tmp_path).values()] == sorted(others, key=result_name)


def test_a_removed_failure_is_forgotten_and_no_other(config, tmp_path):
    other = replace(config, num_fewshot=0)
    write(tmp_path, config)
    write(tmp_path, other)
    remove_failure(tmp_path, config, identify(config))
    assert [recorded.config for recorded in read_failures(tmp_path).values()] == [other]


def test_removing_what_never_failed_is_no_error(config, tmp_path):
    remove_failure(tmp_path, config, identify(config))
    remove_failure(tmp_path / "nowhere", config, identify(config))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_failures_or_no_folder_has_none(tmp_path):
    assert read_failures(tmp_path) == {}
    assert read_failures(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "null",
        lambda text: "[" * 100_000,
        lambda text: json.dumps({**json.loads(text), "failure": {"kind": "run"}}),
        lambda text: json.dumps({**json.loads(text), "failure": {"message": "x", "kind": "oddity"}}),
        lambda text: json.dumps({**json.loads(text), "failure": {"message": 3}}),
        lambda text: json.dumps({**json.loads(text), "failure": {"message": "x", "since": "a later version"}}),
        lambda text: json.dumps({**json.loads(text), "failure": None}),
        lambda text: json.dumps({**json.loads(text), "identity": 3}),
        lambda text: json.dumps({**json.loads(text), "config": {}}),
        lambda text: json.dumps({**json.loads(text), "config": {**json.loads(text)["config"], "model": "other"}}),
        lambda text: json.dumps({key: value for key, value in json.loads(text).items() if key != "time"}),
    ],
)
def test_what_is_no_record_is_left_alone_and_the_others_are_read(config, tmp_path, change):
    broken = write(tmp_path, config)
    whole = write(tmp_path, replace(config, num_fewshot=0))
    text = change(broken.read_text())
    broken.write_text(text)
    assert [recorded.path for recorded in read_failures(tmp_path).values()] == [whole]
    assert broken.read_text() == text


def test_bytes_that_are_no_text_and_folders_are_left_alone(config, tmp_path):
    (tmp_path / "a.error.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "b.error.json").mkdir()
    path = write(tmp_path, config)
    assert [recorded.path for recorded in read_failures(tmp_path).values()] == [path]


def test_a_failure_is_neither_a_result_nor_an_unreadable_file(config, tmp_path):
    write(tmp_path, config)
    (tmp_path / "garbage.error.json").write_text("{")
    folder = ResultsFolder(tmp_path)
    assert (list(folder), folder.unreadable, folder.find(config)) == ([], {}, None)


def test_a_failure_that_cannot_be_written_is_told_and_leaves_nothing(config, tmp_path, monkeypatch):
    def fail(handle):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space left on device"):
        write(tmp_path, config)
    assert list(tmp_path.iterdir()) == []


def without(content: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The content without an entry, which the last key names."""
    key, *rest = keys
    if rest:
        return {**content, key: without(content[key], *rest)}
    return {name: value for name, value in content.items() if name != key}


@pytest.mark.parametrize("keys", [("identity",), ("identity", "data"), ("identity", "weights"), ("time",)], ids=str)
def test_a_record_without_what_it_is_found_by_is_left_alone(config, tmp_path, keys):
    path = write(tmp_path, config)
    path.write_text(json.dumps(without(json.loads(path.read_text()), *keys)))
    assert read_failures(tmp_path) == {}


def test_a_record_of_a_task_that_this_version_does_not_know_is_left_alone(config, tmp_path):
    path = write(tmp_path, config)
    path.write_text(json.dumps({**json.loads(path.read_text()), "task": "no_such_task"}))
    assert read_failures(tmp_path) == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=4,
)


@given(data=st.data())
def test_whatever_a_record_holds_reading_it_and_looking_for_its_result_never_fails(tmp_path_factory, data_dir, data):
    folder = tmp_path_factory.mktemp("failures")
    path = write(folder, replace(RunConfig.parse(**GENERATION), data_dir=str(data_dir)))
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
