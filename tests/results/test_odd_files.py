"""Files of a results folder with one odd value: reading them gives a value or a clear error, and status goes on."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lm_eval.cli.status import describe_status
from lm_eval.config.limit import Limit
from lm_eval.config.run_config import RunConfig
from lm_eval.config.settings import VectorSettings
from lm_eval.results.failures import Failure, write_failure
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.identity import resolve
from lm_eval.results.older_form import upgraded_identity
from lm_eval.results.result_file import config_content, read_results
from lm_eval.scheduling.heartbeat import read_drivers

ODD = (
    *(None, True, -1, 0, 3.5, 10**400, 1e308, float("nan"), float("-inf")),
    *("", "NaN", "None", "\ud800", "a\x00b", "../..", "0001-01-01T00:00:00", [], [[]], {}, {"": None}),
)
DRIVER = {
    "driver": "one",
    "host": "node7",
    "machine": "elsewhere",
    "pid": 4711,
    "process_started": "1",
    "command_line": "python run.py",
    "started": "2026-07-01T10:00:00+00:00",
    "planned": 5,
    "skipped": 2,
    "finished": 4,
    "elsewhere": 0,
    "failed": 1,
    "remaining_s": 30.0,
    "running": {"worker-1": {"num_runs": 2, "first": "the first run", "since": 1000.0}},
    "ended": None,
}


@pytest.fixture(scope="module", params=["hf", "dist_sim"])
def config(request, data_dir) -> RunConfig:
    """One configuration without vectors, and one with every setting of them."""
    named = {"pretrained": "someone/small", "num_fewshot": 2, "limit": Limit(0, 4), "data_dir": str(data_dir)}
    if request.param == "hf":
        return RunConfig(model="hf", task="hellaswag", **named)
    vectors = VectorSettings.parse(
        WORD_AGG_SCHEME="relu|mean",
        SEGMENT_AGG_SCHEME="mean",
        EXAMPLE_AGG_SCHEME="mean",
        NORM="zNorm",
        SIMILARITY_FUNC="dot_product",
        ENCODING_LAYER="3",
        OUT_WORD_AGG_SCHEME="last",
        OUT_ENCODING_LAYER="OE",
    )
    scheme = "sentence_level_segmentation"
    return RunConfig(model="dist_sim", task="hellaswag_d", encoding_scheme=scheme, vectors=vectors, **named)


def result(config: RunConfig, identity: dict[str, Any]) -> dict[str, Any]:
    run = {
        "num_documents": 4,
        "device": "cpu",
        "dtype": "float32",
        "load_s": 1.0,
        "parameters": 1000,
        "code": {"version": "1", "commit": None, "changed": None},
        "seconds": 1.5,
        "finished": "2026-07-01T10:00:00+00:00",
        "host": "node7",
        "pass": {"num_configurations": 1, "phases_s": {"score": 1.0}},
    }
    return {
        "results": {config.task: {"acc": 0.5, "acc_stderr": 0.25, "rand_acc": 0.25, "rand_acc_stderr": 0.0}},
        "versions": {config.task: 0},
        "config": config_content(config),
        "identity": {config.task: identity},
        "run": {config.task: run},
        "samples": {config.task: [{"doc_id": 0, "scores": [0.5, 0.5]}]},
    }


def places(content: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of some content, as the keys that lead there."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


def with_value(content: object, path: tuple[Any, ...], value: object) -> object:
    if not path:
        return value
    content = copy.deepcopy(content)
    inner: Any = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return content


def spoil(data: st.DataObject, path: Path, content: object) -> None:
    """Write a file with an odd value at some place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = data.draw(st.sampled_from(places(content)))
    path.write_text(json.dumps(with_value(content, place, data.draw(st.sampled_from(ODD)))))


@pytest.mark.parametrize("form", ["newer", "older"])
@settings(max_examples=150)
@given(data=st.data())
def test_an_odd_value_in_a_result_is_read_or_refused(form, config, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("results")
    content = result(config, resolve(config).identity)
    if form == "older":
        del content["identity"]
    spoil(data, folder / "a.json", content)
    try:
        found = read_results(folder / "a.json")
    except (OSError, ValueError) as error:
        assert str(error)  # noqa: PT017
        found = []
    for stored in found:
        _ = stored.chance, stored.version, stored.has_samples, stored.record, stored.code
    assert describe_status(folder, table=True)
    ResultsFolder(folder).find(resolve(config))


@settings(max_examples=200)
@given(data=st.data())
def test_an_odd_value_in_a_failure_stops_nothing(config, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("failures")
    path = write_failure(folder, resolve(config), Failure(message="no luck"))
    spoil(data, path, json.loads(path.read_text()))
    assert describe_status(folder, table=True)


@settings(max_examples=300)
@given(data=st.data())
def test_an_odd_value_in_a_drivers_file_stops_nothing(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("drivers")
    spoil(data, folder / ".grid" / "drivers" / "one.json", DRIVER)
    assert [driver.name for driver in read_drivers(folder)] == ["one"]
    assert describe_status(folder, table=False)


def test_hostile_nesting_is_an_unreadable_file(config, tmp_path):
    (tmp_path / "a.json").write_text("[" * 200_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_results(tmp_path / "a.json")


def test_a_wrong_value_is_named_with_rule_and_value(config, tmp_path):
    content = with_value(result(config, resolve(config).identity), ("config", "num_fewshot"), "two")
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"\(num_fewshot of config must be an integer, got 'two'\)"):
        read_results(tmp_path / "a.json")


def test_the_upgraded_identity_states_what_the_older_file_does_and_no_more(config):
    identity = resolve(config).identity
    upgraded = upgraded_identity(resolve(config).form)
    stated = {key: value for key, value in upgraded.items() if value not in (None, {})}
    assert stated == {key: identity[key] for key in stated}
    assert {key for key in identity if upgraded[key] in (None, {})} >= {"weights", "data", "dtype", "seed"}
    assert upgraded_identity(replace(config, dtype="float16", revision="v1")) == {
        **upgraded,
        "dtype": "float16",
        "weights": {"revision": "v1"},
    }


def test_the_upgraded_identity_states_the_version_of_the_task(config):
    assert upgraded_identity(config, 3)["task_version"] == 3
