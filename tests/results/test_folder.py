"""Result files: written whole or not at all, found by what they hold, never lost."""

import copy
import errno
import json
import math
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lm_eval.common.atomic import check_writable, sweep_temporary_files, write_json
from lm_eval.config.limit import Limit
from lm_eval.config.run_config import RunConfig
from lm_eval.config.settings import VectorSettings
from lm_eval.errors import ConfigurationError
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.identity import is_same_run, resolve
from lm_eval.results.result_file import merge_results, read_results
from tests.support.runs import identify, name_of
from tests.support.worlds import write_model_folder, write_rows, write_world


def older_result(config: RunConfig, acc: float = 0.5, **stated) -> dict:
    """A result of the older form, which states no identity."""
    return {
        "results": {config.task: {"acc": acc, "acc_stderr": 0.1}},
        "versions": {config.task: 0},
        "config": {
            "model": config.model,
            "model_args": config.model_args(),
            "task_args": config.task_args(),
            "num_fewshot": config.num_fewshot,
            "batch_size": None,
            "device": "cpu",
            "no_cache": True,
            "limit": None if config.limit == Limit() else str(config.limit),
            "bootstrap_iters": 100000,
            "description_dict": {config.task: config.description} if config.description else {},
            **stated,
        },
    }


def result(config: RunConfig, acc: float = 0.5) -> dict:
    return {**older_result(config, acc), "identity": {config.task: identify(config)}}


def acc_of(stored) -> float:
    assert stored is not None
    return stored.content["results"][stored.config.task]["acc"]


@pytest.fixture
def config(tmp_path) -> RunConfig:
    return RunConfig(
        model="dist_sim",
        pretrained=str(write_model_folder(tmp_path / "models" / "tiny")),
        task="hellaswag_d",
        encoding_scheme="segment_each_example",
        num_fewshot=2,
        limit=Limit(0, 4),
        data_dir=str(write_world(tmp_path / "data")),
        vectors=VectorSettings.parse(word_agg_scheme="relu|mean", similarity_func="dot_product", norm="L2"),
    )


@pytest.fixture
def folder(tmp_path) -> Path:
    path = tmp_path / "results"
    path.mkdir()
    return path


def put(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


# --- writing ---


def test_a_file_is_written_in_json_and_readable_to_all(folder):
    write_json(folder / "a.json", {"acc": 0.1, "name": "é"})
    assert json.loads((folder / "a.json").read_text()) == {"acc": 0.1, "name": "é"}
    assert os.listdir(folder) == ["a.json"]  # noqa: PTH208  (the names alone, hidden ones too)
    assert (folder / "a.json").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("content", [{"a": 1, "b": object()}, {"a": 1, "b": math.nan}, {"a": 1, "b": math.inf}])
def test_a_failure_in_the_middle_leaves_the_folder_as_it_was(folder, content):
    put(folder / "a.json", "before")
    with pytest.raises((TypeError, ValueError), match="not JSON"):
        write_json(folder / "a.json", content)
    with pytest.raises((TypeError, ValueError), match="not JSON"):
        write_json(folder / "b.json", content)
    assert [path.name for path in folder.iterdir()] == ["a.json"]
    assert (folder / "a.json").read_text() == "before"


@pytest.mark.parametrize("call", ["os.fsync", "os.link"])
def test_an_error_of_the_disk_is_raised_and_leaves_nothing(folder, config, monkeypatch, call):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(call, fail)
    results = ResultsFolder(folder)
    with pytest.raises(OSError, match="No space left on device"):
        results.write(config, result(config))
    assert list(folder.iterdir()) == []
    assert results.find(resolve(config)) is None


def test_an_interruption_leaves_nothing(folder, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_json(folder / "a.json", {})
    assert list(folder.iterdir()) == []


def test_the_half_written_file_never_bears_the_name_of_a_result(folder, config, monkeypatch):
    seen = []
    monkeypatch.setattr("os.fsync", lambda _: seen.extend(path.name for path in folder.iterdir()))
    ResultsFolder(folder).write(config, result(config))
    assert len(seen) == 1
    assert not seen[0].endswith(".json")


def test_a_results_folder_is_made_where_there_is_none_and_left_empty(tmp_path):
    check_writable(tmp_path / "a" / "b")
    check_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_results_folder_that_cannot_be_made_is_refused(tmp_path):
    put(tmp_path / "file", "")
    with pytest.raises(ConfigurationError, match=r"file/a: cannot be written \(Not a directory\); choose another"):
        check_writable(tmp_path / "file" / "a")


# --- names ---


HOSTILE = [
    "a b",
    "..hidden",
    "-rf",
    "x;$(rm)`'\"",
    "new\nline",
    "back\\slash",
    "star*?[x]",
    "ünï",
    "con:|<>",
    "%2F",
    "x" * 200,
]


@pytest.mark.parametrize("model", HOSTILE)
def test_the_name_of_a_hostile_model_is_one_plain_file_name(config, tmp_path, folder, model):
    of_model = replace(config, pretrained=str(write_model_folder(tmp_path / "hostile" / model)))
    name = name_of(of_model)
    assert name.startswith("hellaswag_d_")
    assert name.endswith(".json")
    assert all(character.isalnum() or character in "_.+-" for character in name)
    assert len(name.encode()) <= 255
    written = ResultsFolder(folder).write(of_model, result(of_model))
    assert written == folder / name
    assert ResultsFolder(folder).find(resolve(of_model)).config == of_model


def test_a_long_name_in_another_script_still_makes_a_file_name(config, tmp_path, folder):
    of_model = replace(config, pretrained=str(write_model_folder(tmp_path / ("模" * 80))))
    assert len(name_of(of_model).encode()) <= 255
    assert ResultsFolder(folder).write(of_model, result(of_model)).exists()


def test_names_tell_what_they_hold_and_differ_where_it_differs(config):
    names = [
        name_of(config),
        name_of(replace(config, num_fewshot=0)),
        name_of(replace(config, limit=Limit())),
        name_of(replace(config, vectors=replace(config.vectors, norm=None))),
    ]
    assert names[0].startswith("hellaswag_d_tiny_segment_each_example_2shot_")
    assert len(set(names)) == 4


def test_a_closing_slash_does_not_change_the_name(config):
    assert name_of(replace(config, pretrained=f"{config.pretrained}/")) == name_of(config)


# --- finding ---


def test_a_result_is_found_where_it_was_written(folder, config):
    results = ResultsFolder(folder)
    path = results.write(config, result(config, 0.25))
    for found in (results.find(resolve(config)), ResultsFolder(folder).find(resolve(config))):
        assert acc_of(found) == 0.25
        assert found.path == path
        assert found.config == config


def test_a_folder_that_is_not_there_holds_nothing_until_something_is_written(tmp_path, config):
    results = ResultsFolder(tmp_path / "new" / "results")
    assert list(results) == []
    assert results.find(resolve(config)) is None
    results.write(config, result(config))
    assert acc_of(ResultsFolder(tmp_path / "new" / "results").find(resolve(config))) == 0.5


@pytest.mark.parametrize(
    "change",
    [
        {"limit": Limit(0, 5)},
        {"limit": Limit(1, 4)},
        {"limit": Limit()},
        {"num_fewshot": 1},
        {"encoding_scheme": "merge_all_segments"},
        {"description": "Read."},
        {"vectors": VectorSettings.parse(word_agg_scheme="relu|mean", similarity_func="cosine_sim", norm="L2")},
        {"vectors": VectorSettings.parse(word_agg_scheme="relu|mean", similarity_func="dot_product")},
        {"vectors": VectorSettings.parse(word_agg_scheme="mean", similarity_func="dot_product", norm="L2")},
    ],
)
@pytest.mark.parametrize("form", [result, older_result])
def test_another_configuration_is_not_found(folder, config, change, form):
    put(folder / "a.json", form(config))
    results = ResultsFolder(folder)
    assert results.find(resolve(config)) is not None
    assert results.find(resolve(replace(config, **change))) is None


def test_a_result_of_other_data_or_another_model_under_the_same_path_is_not_found(folder, config, tmp_path):
    put(folder / "a.json", result(config))
    assert ResultsFolder(folder).find(resolve(config)) is not None
    rows = Path(config.data_dir) / "hellaswag" / "validation.jsonl"
    lines = rows.read_text()
    rows.write_text(lines.replace("kite", "book"))
    assert ResultsFolder(folder).find(resolve(config)) is None
    rows.write_text(lines)
    assert ResultsFolder(folder).find(resolve(config)) is not None
    (Path(config.pretrained) / "model.safetensors").write_text("retrained")
    assert ResultsFolder(folder).find(resolve(config)) is None


@pytest.mark.parametrize("form", [result, older_result])
def test_a_configuration_of_the_same_meaning_is_found(folder, config, form):
    bare = replace(config, num_fewshot=0)
    put(folder / "a.json", form(replace(bare, encoding_scheme="concat_each_example")))
    results = ResultsFolder(folder)
    assert results.find(resolve(bare)) is not None
    assert results.find(resolve(replace(bare, encoding_scheme="concat_all_examples"))) is not None
    assert results.find(resolve(replace(bare, encoding_scheme="sentence_level_segmentation"))) is None


@pytest.mark.parametrize("name", ["0123456789abcdef0123456789abcdef01234567.json", "my notes (final).json"])
@pytest.mark.parametrize("form", [result, older_result])
def test_a_file_is_known_by_what_it_holds_whatever_it_is_called(folder, config, name, form):
    put(folder / name, form(config, 0.75))
    assert acc_of(ResultsFolder(folder).find(resolve(config))) == 0.75


def test_files_of_both_forms_are_found_side_by_side(folder, config):
    other = replace(config, num_fewshot=0)
    put(folder / "old.json", older_result(config, 0.1))
    put(folder / "new.json", result(other, 0.2))
    results = ResultsFolder(folder)
    assert acc_of(results.find(resolve(config))) == 0.1
    assert acc_of(results.find(resolve(other))) == 0.2
    assert sorted(acc_of(stored) for stored in results) == [0.1, 0.2]
    assert results.unreadable == {}


def test_a_result_that_states_its_identity_comes_before_one_that_does_not(folder, config):
    put(folder / "old.json", older_result(config, 0.1))
    put(folder / "older.json", older_result(config, 0.2))
    put(folder / "new.json", result(config, 0.3))
    assert acc_of(ResultsFolder(folder).find(resolve(config))) == 0.3
    assert [acc_of(stored) for stored in ResultsFolder(folder)] == [0.3]


def test_settings_of_an_older_file_may_come_in_any_order_and_be_left_out(folder, config):
    plain = replace(config, vectors=replace(config.vectors, norm=None))
    args = f"SIMILARITY_FUNC=dot_product,pretrained={config.pretrained},WORD_AGG_SCHEME=relu|mean"
    put(folder / "old.json", older_result(plain, model_args=args))
    assert ResultsFolder(folder).find(resolve(plain)) is not None


@pytest.mark.parametrize(
    ("stated", "found"),
    [
        ({"pretrained": "tiny"}, True),
        ({"pretrained": "other"}, False),
        ({"pretrained": "some/tiny"}, False),
        ({"pretrained": "/elsewhere/tiny"}, False),
        ({"data_dir": None}, True),
        ({"data_dir": "/elsewhere"}, False),
        ({"dtype": "float32"}, False),
        ({"revision": "v2"}, False),
    ],
)
def test_what_an_older_file_states_of_its_origin_must_agree(folder, config, stated, found):
    put(folder / "old.json", older_result(replace(config, **stated)))
    assert (ResultsFolder(folder).find(resolve(config)) is not None) is found


def test_an_older_file_of_a_folder_is_found_by_another_path_to_it(folder, config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(folder / "old.json", older_result(replace(config, pretrained="models/../models/tiny", data_dir="./data")))
    assert ResultsFolder(folder).find(resolve(config)) is not None


def test_an_older_file_with_data_of_its_own_does_not_stand_for_the_hub(folder, config):
    put(folder / "old.json", older_result(config))
    assert ResultsFolder(folder).find(resolve(replace(config, data_dir=None))) is None


def test_an_older_file_of_a_hub_model_is_found_by_its_full_name_alone(folder, config):
    hub = replace(config, pretrained="some/tiny")
    put(folder / "old.json", older_result(hub))
    assert ResultsFolder(folder).find(resolve(hub)) is not None
    assert ResultsFolder(folder).find(resolve(replace(config, pretrained="other/tiny"))) is None


def test_an_older_file_of_another_version_of_the_task_is_not_found(folder, config):
    put(folder / "old.json", {**older_result(config), "versions": {config.task: 1}})
    assert ResultsFolder(folder).find(resolve(config)) is None


def test_an_older_file_that_states_no_version_of_the_task_is_not_found(folder, config):
    put(folder / "old.json", {**older_result(config), "versions": {config.task: None}})
    assert ResultsFolder(folder).find(resolve(config)) is None


def test_an_older_file_is_superseded_whatever_the_version_of_the_newer_ones_task(folder, config):
    put(folder / "old.json", older_result(config))
    newer = result(config)
    newer["identity"][config.task] = {**newer["identity"][config.task], "task_version": 1}
    put(folder / "new.json", {**newer, "versions": {config.task: 1}})
    assert [stored.path.name for stored in ResultsFolder(folder)] == ["new.json"]


def test_a_result_whose_task_files_have_moved_is_found_though_rows_are_left_open(folder, config):
    run = resolve(config)
    stated = replace(config, include_path="/moved/away", task="mine_d")
    identity = {**run.identity, "task": "mine_d", "task_definition": "1f" * 32, "data": {"hub": "x", "test": "2e" * 32}}
    put(folder / "a.json", {**older_result(stated), "identity": {"mine_d": identity}})
    wanted = replace(run, identity={**identity, "data": {"hub": "x"}})
    assert ResultsFolder(folder).find(wanted) is not None
    assert ResultsFolder(folder).find(replace(run, identity={**identity, "task_definition": "3d" * 32})) is None


def test_an_older_file_of_a_task_that_is_unknown_here_concerns_nobody(folder, config):
    unknown = json.loads(json.dumps(older_result(config)).replace("hellaswag_d", "some_task"))
    put(folder / "old.json", unknown)
    results = ResultsFolder(folder)
    assert (list(results), results.unreadable) == ([], {})
    assert read_results(folder / "old.json")[0].config.task == "some_task"


@pytest.mark.reference
def test_the_older_files_of_the_reference_are_all_read_and_found(reference):
    path = reference / "legacy_results"
    results = ResultsFolder(path)
    assert results.unreadable == {}
    stored = list(results)
    assert len(stored) == len(list(path.glob("*.json"))) == 13
    for item in stored:
        assert (item.config.limit, item.is_older_form) == (Limit(0, 24), True)
        wanted = replace(
            item.config,
            pretrained=str(reference / "models" / item.config.pretrained),
            data_dir=str(reference / "data"),
        )
        assert results.find(resolve(wanted)) is item
        assert results.find(resolve(replace(wanted, limit=Limit(0, 23)))) is None


# --- files that hold no result ---


def without(content: dict, *keys: str) -> dict:
    content = copy.deepcopy(content)
    *outer, last = keys
    inner = content
    for key in outer:
        inner = inner[key]
    del inner[last]
    return content


def changed(content: dict, value: object, *keys: str) -> dict:
    content = copy.deepcopy(content)
    *outer, last = keys
    inner = content
    for key in outer:
        inner = inner[key]
    inner[last] = value
    return content


NO_RESULT = {
    "not JSON": (lambda good: "Traceback (most recent call last)", "Expecting value"),
    "empty": (lambda good: "", "Expecting value"),
    "truncated": (lambda good: json.dumps(good)[:-40], "(Expecting|Unterminated|Invalid)"),
    "a list": (lambda good: "[]", "not a result file"),
    "a number": (lambda good: "3", "not a result file"),
    "no results": (lambda good: without(good, "results"), r"not a result file \(results is missing\)"),
    "results without a task": (lambda good: changed(good, {}, "results"), "not a result file"),
    "results of another form": (lambda good: changed(good, [1], "results"), "not a result file"),
    "no acc": (
        lambda good: without(good, "results", "hellaswag_d", "acc"),
        r"not a result file \(hellaswag_d of results must be an object with acc, got ",
    ),
    "acc is NaN": (
        lambda good: changed(good, math.nan, "results", "hellaswag_d", "acc"),
        "acc of hellaswag_d of results is nan",
    ),
    "acc is infinite": (lambda good: changed(good, -math.inf, "results", "hellaswag_d", "acc"), "acc of .* is -inf"),
    "acc is null": (lambda good: changed(good, None, "results", "hellaswag_d", "acc"), "not a result file"),
    "acc is text": (lambda good: changed(good, "0.5", "results", "hellaswag_d", "acc"), "not a result file"),
    "no config": (lambda good: without(good, "config"), r"not a result file \(config is missing\)"),
    "config is null": (lambda good: changed(good, None, "config"), "not a result file"),
    "no model_args": (lambda good: without(good, "config", "model_args"), "not a result file"),
    "no shots": (lambda good: without(good, "config", "num_fewshot"), "not a result file"),
    "unknown setting": (
        lambda good: changed(good, "pretrained=x,NOISE=1", "config", "model_args"),
        "unknown key NOISE",
    ),
    "wrong shots": (
        lambda good: changed(good, -1, "config", "num_fewshot"),
        "num_fewshot of config must be at least 0",
    ),
    "wrong limit": (lambda good: changed(good, "0.5", "config", "limit"), "limit must be an integer N or START:END"),
    "versions is a list": (lambda good: {**good, "versions": []}, r"not a result file \(versions is not an object\)"),
    "run is null": (lambda good: {**good, "run": None}, r"not a result file \(run is not an object\)"),
    "run of its task is null": (
        lambda good: {**good, "run": {"hellaswag_d": None}},
        r"not a result file \(hellaswag_d of run is not an object\)",
    ),
    "identity of another task": (lambda good: changed(good, {"x": {}}, "identity"), "not a result file"),
    "identity is a number": (lambda good: changed(good, {"hellaswag_d": 5}, "identity"), "not a result file"),
}


@pytest.mark.parametrize("defect", NO_RESULT)
def test_a_file_that_holds_no_result_is_reported_and_never_overwritten(folder, config, defect):
    make, message = NO_RESULT[defect]
    name = name_of(config)
    path = put(folder / name, make(result(config)))
    before = path.read_bytes()
    results = ResultsFolder(folder)
    assert list(results.unreadable) == [path]
    with pytest.raises(ValueError, match=message):
        raise ValueError(results.unreadable[path])
    assert results.find(resolve(config)) is None
    written = results.write(config, result(config))
    assert written != path
    assert path.read_bytes() == before
    assert acc_of(ResultsFolder(folder).find(resolve(config))) == 0.5


def test_bytes_that_are_no_text_and_folders_are_reported(folder, config):
    (folder / "binary.json").write_bytes(b"\xff\xfe\x00")
    (folder / "folder.json").mkdir()
    put(folder / "good.json", result(config))
    results = ResultsFolder(folder)
    assert {path.name for path in results.unreadable} == {"binary.json", "folder.json"}
    assert results.find(resolve(config)) is not None


def test_an_older_file_without_versions_or_descriptions_is_read(folder, config):
    put(folder / "old.json", without(without(older_result(config), "versions"), "config", "description_dict"))
    assert ResultsFolder(folder).find(resolve(config)) is not None


@pytest.mark.parametrize("versions", [None, [], 3])
def test_an_older_file_with_versions_of_another_form_stops_nothing(folder, config, versions):
    put(folder / "old.json", {**older_result(config), "versions": versions})
    put(folder / "new.json", result(replace(config, num_fewshot=1)))
    results = ResultsFolder(folder)
    assert results.find(resolve(replace(config, num_fewshot=1))) is not None
    found = results.find(resolve(config))
    assert found is None or found.path == folder / "old.json"


def test_names_that_are_taken_are_passed_over_one_after_the_other(folder, config):
    name = name_of(config)
    stem = name.removesuffix(".json")
    for taken in (name, f"{stem}-2.json"):
        put(folder / taken, "junk")
    assert ResultsFolder(folder).write(config, result(config)).name == f"{stem}-3.json"


def test_of_two_that_write_one_result_the_first_counts(folder, config, monkeypatch):
    first, second = ResultsFolder(folder), ResultsFolder(folder)
    path, is_first = first.publish(config, result(config, 0.25))
    assert is_first
    assert second.publish(config, result(config, 0.5)) == (path, False)  # one that was away for a while
    assert [file.name for file in folder.iterdir()] == [path.name]
    assert second.find(resolve(config)).metrics["acc"] == 0.25


def test_on_a_file_system_without_links_a_result_is_written_as_well(folder, config, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    path = ResultsFolder(folder).write(config, result(config, 0.25))
    assert [file.name for file in folder.iterdir()] == [path.name]
    assert ResultsFolder(folder).publish(config, result(config, 0.5)) == (path, True)  # read when it began: replaced


# --- writing over ---


@pytest.mark.parametrize("name", [None, "renamed.json"])
def test_a_new_result_takes_the_place_of_the_one_it_supersedes(folder, config, name):
    first = ResultsFolder(folder).write(config, result(config, 0.1))
    if name is not None:
        first = first.rename(folder / name)
    results = ResultsFolder(folder)
    assert results.write(config, result(config, 0.2)) == first
    assert acc_of(results.find(resolve(config))) == 0.2
    assert acc_of(ResultsFolder(folder).find(resolve(config))) == 0.2
    assert len(list(folder.iterdir())) == len(list(results)) == 1


def test_an_older_file_is_kept_when_its_configuration_is_run_again(folder, config):
    old = put(folder / "old.json", older_result(config, 0.1))
    before = old.read_bytes()
    ResultsFolder(folder).write(config, result(config, 0.2))
    assert old.read_bytes() == before
    assert acc_of(ResultsFolder(folder).find(resolve(config))) == 0.2


def test_results_of_different_configurations_lie_side_by_side(folder, config):
    results = ResultsFolder(folder)
    configs = [replace(config, num_fewshot=shots) for shots in range(4)]
    paths = {results.write(each, result(each, shots / 10)) for shots, each in enumerate(configs)}
    assert len(paths) == 4
    assert [acc_of(ResultsFolder(folder).find(resolve(each))) for each in configs] == [0, 0.1, 0.2, 0.3]


# --- several tasks in one file ---


def generation(config: RunConfig, task: str) -> RunConfig:
    vectors = VectorSettings.parse(word_agg_scheme="mean")
    return replace(
        config, model="dist_gen", task=task, vectors=vectors, description="Read." if task == "webqs_dg" else ""
    )


@pytest.fixture
def two(config) -> list[RunConfig]:
    return [generation(config, "hellaswag_dg"), generation(config, "webqs_dg")]


def test_results_of_several_tasks_are_joined(two):
    parts = [{**result(config, 0.1 * n), "samples": {config.task: [n]}} for n, config in enumerate(two)]
    merged = merge_results(copy.deepcopy(parts))
    assert set(merged["results"]) == set(merged["identity"]) == set(merged["samples"]) == {"hellaswag_dg", "webqs_dg"}
    assert merged["config"]["description_dict"] == {"webqs_dg": "Read."}


def test_every_task_of_a_file_is_found(folder, two):
    put(folder / "both.json", merge_results([result(config, 0.25) for config in two]))
    results = ResultsFolder(folder)
    assert [results.find(resolve(config)) is not None for config in two] == [True, True]


def test_running_one_task_of_a_file_again_keeps_the_other(folder, two):
    put(folder / "both.json", merge_results([result(config, 0.25) for config in two]))
    ResultsFolder(folder).write(two[0], result(two[0], 0.75))
    contents = [json.loads(path.read_text()) for path in folder.iterdir()]
    assert [content["results"]["webqs_dg"]["acc"] for content in contents if "webqs_dg" in content["results"]] == [0.25]


def test_changed_training_rows_matter_only_where_shots_are_drawn(folder, config):
    bare = replace(config, num_fewshot=0)
    results = ResultsFolder(folder)
    for each in (config, bare):
        results.write(each, result(each))
    write_rows(Path(config.data_dir) / "hellaswag" / "train.jsonl", [])
    assert ResultsFolder(folder).find(resolve(config)) is None
    assert ResultsFolder(folder).find(resolve(bare)) is not None


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_not(folder):
    old = time.time() - 60
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    names = {
        f".hellaswag_d_x.{ended.pid}.abc_123.tmp": False,
        f".hellaswag_d_x.{os.getpid()}.abc.tmp": True,
        ".something.tmp": True,
        "a.json": True,
    }
    for name in names:
        os.utime(put(folder / name, "{"), (old, old))
    fresh = put(folder / f".hellaswag_d_x.{ended.pid}.def.tmp", "{")
    sweep_temporary_files(folder)
    assert {name: (folder / name).exists() for name in names} == names
    assert fresh.exists()


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"data": {"hub": "some/data"}}, True),  # the rows could not be looked at when the plan was made
        ({"data": {"hub": "some/data", "validation": "b"}}, False),
        ({"data": {"hub": "other/data"}}, False),
        ({"weights": {"hub": "some/model", "revision": None}}, True),
        ({"weights": {"hub": "some/model", "revision": "c2"}}, False),
        ({"dtype": "bfloat16"}, False),
    ],
)
def test_what_an_identity_leaves_open_does_not_make_it_another_run(change, same):
    identity = {
        "weights": {"hub": "some/model", "revision": "c1"},
        "data": {"hub": "some/data", "validation": "a"},
        "dtype": "float32",
    }
    assert is_same_run(identity, {**identity, **change}) is same
    assert is_same_run({**identity, **change}, identity) is same
