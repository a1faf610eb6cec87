"""Result files with an odd value are refused with field, rule and value; older ones state what they state."""

import json
from dataclasses import replace
from typing import Any

import pytest

from lm_eval.config.limit import Limit
from lm_eval.config.run_config import RunConfig
from lm_eval.config.settings import VectorSettings
from lm_eval.results.identity import resolve
from lm_eval.results.older_form import upgraded_identity
from lm_eval.results.result_file import config_content, read_results
from tests.support.damage import with_value


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
    assert {key for key in identity if upgraded[key] in (None, {})} >= {"weights", "data", "dtype"}
    assert upgraded_identity(replace(config, dtype="float16", revision="v1")) == {
        **upgraded,
        "dtype": "float16",
        "weights": {"revision": "v1"},
    }


def test_the_upgraded_identity_states_the_version_of_the_task(config):
    assert upgraded_identity(config, 3)["task_version"] == 3
