"""The seed of the order of documents and shots: part of what identifies a run, of its slice, and of its baseline."""

import csv
import json
from dataclasses import replace

import pytest

from lm_eval.analysis.runs import read_runs
from lm_eval.analysis.scores import add_scores
from lm_eval.config.limit import Limit
from lm_eval.config.run_config import RunConfig, describe
from lm_eval.errors import ConfigurationError
from lm_eval.results.canonical_form import pass_key
from lm_eval.results.difference import describe_nearest
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.identity import baseline_key
from lm_eval.results.table import View, find_baselines, write_csv
from lm_eval.tasks.documents import select_documents
from lm_eval.tasks.hellaswag import HELLASWAG
from tests.support.results import put, result_of
from tests.support.runs import identify, resolved
from tests.support.worlds import write_model_folder, write_world


def generation(scheme="concat_all_examples", **changes) -> RunConfig:
    model_args = "pretrained=any/model" + (",WORD_AGG_SCHEME=mean" if scheme != "cross_encoding" else "")
    parsed = RunConfig.parse(
        model="dist_gen", model_args=model_args, task="hellaswag_dg", task_args=f"encoding_scheme={scheme}",
        num_fewshot=0, limit=60,
    )  # fmt: skip
    return replace(parsed, **changes)


def local(folder, **changes) -> RunConfig:
    """A configuration whose model and data are there."""
    model = folder / "model" if (folder / "model").is_dir() else write_model_folder(folder / "model")
    return generation(pretrained=str(model), data_dir=str(write_world(folder / "data")), **changes)


def test_another_seed_is_another_order_with_other_shots(data_dir):
    usual, same, other = (select_documents(HELLASWAG, str(data_dir), 2, Limit(), seed=seed) for seed in (42, 42, 7))
    assert usual == same == select_documents(HELLASWAG, str(data_dir), 2, Limit())
    assert [document.example for document in usual] != [document.example for document in other]
    assert sorted(document.example.question for document in usual) == sorted(
        document.example.question for document in other
    )
    shots = {document.example: document.shots for document in usual}
    assert any(shots[document.example] != document.shots for document in other)


def test_a_seed_is_part_of_the_identity_and_of_the_pass(tmp_path):
    config = local(tmp_path)
    other = replace(config, seed=7)
    assert identify(config)["seed"] == 42
    assert identify(other) == {**identify(config), "seed": 7}
    assert pass_key(config) != pass_key(other)
    assert baseline_key(config) != baseline_key(other)
    assert (describe(config).endswith("limit=60"), describe(other).endswith("limit=60, seed=7")) == (True, True)


@pytest.mark.parametrize("seed", [-1, True])
def test_another_kind_of_seed_is_refused(seed):
    with pytest.raises(ConfigurationError, match=r"seed must be an integer from 0 to 2\*\*63 - 1, got"):
        generation(seed=seed)


def test_a_file_states_a_seed_where_it_is_not_the_usual_one_and_is_read_back(tmp_path):
    for seed in (42, 0):
        content = result_of(generation(seed=seed))
        assert content["config"].get("seed") == (None if seed == 42 else 0)
        put(tmp_path, f"{seed}.json", content)
    assert {stored.config.seed for stored in ResultsFolder(tmp_path)} == {42, 0}
    content["config"]["seed"] = "seven"
    put(tmp_path, "bad.json", content)
    (why,) = ResultsFolder(tmp_path).unreadable.values()
    assert "seed" in why


def test_an_older_result_is_of_the_usual_seed_alone(tmp_path):
    config = local(tmp_path)
    put(tmp_path / "results", "a.json", result_of(config))
    folder = ResultsFolder(tmp_path / "results")
    usual, other = resolved([config, replace(config, seed=7)])
    assert folder.find(usual) is not None
    assert folder.find(other) is None
    assert "differs in seed: 42 there, 7 here" in describe_nearest(folder.find_outdated(other))


def test_a_baseline_belongs_to_runs_of_the_same_seed(tmp_path):
    put(tmp_path, "a.json", result_of(generation(seed=7), 0.3))
    put(tmp_path, "b.json", result_of(generation("cross_encoding"), 0.4))
    assert normalised(tmp_path) == [""]
    put(tmp_path, "c.json", result_of(generation("cross_encoding", seed=7), 0.6))
    assert normalised(tmp_path) == ["0.5"]
    table = read_runs(tmp_path).table
    assert set(table["limit"]) == {"60", "60 --seed 7"}
    assert add_scores(table).table["normalised"].tolist() == [pytest.approx(0.5)]


def normalised(folder) -> list[str]:
    """What the table shows of the runs that are no baselines."""
    results = list(ResultsFolder(folder))
    text = write_csv(results, find_baselines(results), view=View(columns=["encoding_scheme", "normalised"]))
    return [value for scheme, value in list(csv.reader(text.splitlines()))[1:] if scheme != "cross_encoding"]


def test_results_of_several_seeds_are_told_apart_in_tables(tmp_path):
    for seed in (42, 7):
        put(tmp_path, f"{seed}.json", result_of(generation(seed=seed)))
    head, *_ = write_csv(list(ResultsFolder(tmp_path))).splitlines()
    assert "seed" in head.split(",")
    assert json.loads((tmp_path / "7.json").read_text())["config"]["seed"] == 7
