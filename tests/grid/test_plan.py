"""The plan of a grid: what runs and why, what is done, what failed before, and what is said about it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lm_eval.config.limit import Limit
from lm_eval.config.run_config import RunConfig, describe
from lm_eval.grid.grid import CommonOptions
from lm_eval.grid.plan import Plan, Wanted, describe_plan, make_plan, plan_remarks
from lm_eval.models.info import model_identity
from lm_eval.results.failures import Failure, write_failure
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.identity import Resolver, Run, resolve
from tests.support.grids import expand, grid
from tests.support.runs import identify, resolved
from tests.support.worlds import hellaswag_row, write_model_folder, write_rows, write_world


def result_of(config: RunConfig) -> dict:
    stated = {
        "model": config.model,
        "model_args": config.model_args(),
        "task_args": config.task_args(),
        "num_fewshot": config.num_fewshot,
        "limit": str(config.limit),
    }
    return {
        "results": {config.task: {"acc": 0.5, "acc_stderr": 0.1}},
        "versions": {config.task: 0},
        "config": stated,
        "identity": {config.task: identify(config)},
    }


@pytest.fixture
def planned(tmp_path, data_dir) -> tuple[list[Run], ResultsFolder]:
    """Three runs, the second of which is done."""
    model = str(write_model_folder(tmp_path / "model"))
    schemes = ["concat_each_example", "merge_all_segments", "sentence_level_segmentation"]
    configs = expand(
        grid(models=[model], num_fewshot=[2], encoding_scheme=schemes), CommonOptions(data_dir=str(data_dir))
    )
    folder = ResultsFolder(tmp_path / "results")
    folder.write(configs[1], result_of(configs[1]))
    return resolved(configs), ResultsFolder(tmp_path / "results")


def test_a_plan_passes_over_what_the_folder_holds(planned):
    runs, folder = planned
    plan = make_plan(runs, folder)
    assert plan.to_run == [runs[0], runs[2]]
    assert [(run, stored.config) for run, stored in plan.done] == [(runs[1], runs[1].config)]


def test_a_plan_that_overwrites_runs_everything(planned):
    runs, folder = planned
    plan = make_plan(runs, folder, Wanted(overwrite=True))
    assert (plan.to_run, plan.done) == (runs, [])


def test_each_model_is_looked_at_once_for_all_its_runs(planned, monkeypatch):
    runs, _ = planned
    asked = []

    def look(pretrained, revision, checkpoint):
        asked.append(pretrained)
        return model_identity(pretrained, revision, checkpoint)

    monkeypatch.setattr("lm_eval.results.identity.model_identity", look)
    resolve = Resolver()
    again = [resolve(run.config) for run in runs]
    assert asked == [runs[0].config.pretrained]
    assert [run.identity for run in again] == [run.identity for run in runs]


def plan_of(runs, folder: ResultsFolder | Path, **flags):
    runs = [run if isinstance(run, Run) else resolve(run) for run in runs]
    folder = folder if isinstance(folder, ResultsFolder) else ResultsFolder(folder)
    return make_plan(runs, folder, Wanted(**flags))


def why(plan: Plan) -> str:
    """The reason of the first of those to run."""
    return plan.reasons[plan.to_run[0].name].why


def test_a_failed_run_is_not_run_again_unless_asked_for(planned):
    runs, folder = planned
    write_failure(folder.path, runs[0], Failure(message="no luck\ntwice"))
    plan = plan_of(runs, folder)
    assert plan.to_run == [runs[2]]
    assert [(run, recorded.failure.message) for run, recorded in plan.failed] == [(runs[0], "no luck\ntwice")]
    again = plan_of(runs, folder, retry_failed=True)
    assert again.to_run == [runs[0], runs[2]]
    assert why(again).startswith("failed on ")
    assert why(again).endswith(": no luck")
    assert again.failed == []


def test_a_result_comes_before_a_failure_of_the_same_run(planned):
    runs, folder = planned
    write_failure(folder.path, runs[1], Failure(message="no luck"))
    assert [run for run, _ in plan_of(runs, folder).done] == [runs[1]]


@pytest.fixture
def done(tmp_path) -> tuple[RunConfig, Path]:
    """A configuration with its result, on data and a model that a test may change."""
    (config,) = expand(
        grid(models=[str(write_model_folder(tmp_path / "model"))], num_fewshot=[2]),
        CommonOptions(data_dir=str(write_world(tmp_path / "data")), limit=Limit(0, 4)),
    )
    config = replace(config, dtype="float32")
    ResultsFolder(tmp_path / "results").write(config, result_of(config))
    return config, tmp_path / "results"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dtype": "bfloat16"}, "a result exists that differs in dtype: float32 there, bfloat16 here"),
        (
            {"dtype": "float16", "limit": Limit(0, 5)},
            "a result exists that differs in limit: 4 there, 5 here, dtype: float32 there, fl",
        ),
        ({"limit": Limit(2, 5)}, "a result exists that differs in limit: 4 there, 2:5 here"),
        ({"num_fewshot": 1}, ""),
        ({"encoding_scheme": "segment_each_example"}, ""),
        ({"pretrained": "some/other"}, ""),
    ],
)
def test_an_outdated_result_is_named_with_what_differs(done, change, reason):
    config, folder = done
    plan = plan_of([replace(config, **change)], folder)
    assert why(plan).startswith(reason)
    assert bool(why(plan)) is bool(reason)


def test_changed_data_and_weights_make_a_result_outdated(done, tmp_path):
    config, folder = done
    write_rows(tmp_path / "data" / "hellaswag" / "train.jsonl", [hellaswag_row(number) for number in range(7)])
    (tmp_path / "model" / "model.safetensors").write_text("retrained")
    plan = plan_of([config], folder)
    assert plan.num_outdated == 1
    assert why(plan).startswith("outdated, differs in data (train): ")
    assert "model (content): " in why(plan)


def test_a_changed_version_of_the_task_makes_a_result_outdated(done):
    config, folder = done
    (path,) = folder.glob("*.json")
    content = json.loads(path.read_text())
    content["versions"] = {config.task: 1}
    content["identity"][config.task]["task_version"] = 1
    path.write_text(json.dumps(content))
    assert why(plan_of([config], folder)).startswith("outdated, differs in version of the task: 1 there, 0 here (")


def test_the_dtype_that_the_hardware_decided_is_part_of_what_a_result_is(done):
    config, folder = done
    (path,) = folder.glob("*.json")
    content = json.loads(path.read_text())
    content["identity"][config.task]["dtype"] = None
    content["run"] = {config.task: {"dtype": "bfloat16"}}
    path.write_text(json.dumps(content))
    assert plan_of([config], folder).done == []
    assert len(plan_of([replace(config, dtype="bfloat16")], folder).done) == 1


@pytest.mark.parametrize(
    ("stated", "wanted", "found"),
    [
        ({"revision": None}, {"revision": "abc"}, True),
        ({"revision": "abc"}, {"revision": "abc"}, True),
        ({"revision": "abd"}, {"revision": "abc"}, False),
        ({"hub": "some/other"}, {"revision": "abc"}, False),
    ],
)
def test_a_commit_that_a_result_does_not_state_counts_as_equal_and_that_is_said(done, stated, wanted, found):
    config, folder = done
    hub = replace(config, pretrained="some/model", **wanted)
    (path,) = folder.glob("*.json")
    content = json.loads(path.read_text())
    content["config"]["model_args"] = hub.model_args()
    content["identity"][config.task]["weights"] = {"hub": "some/model", "revision": None, **stated}
    path.write_text(json.dumps(content))
    plan = plan_of([hub], folder)
    assert bool(plan.done) is found
    said = any("don't state the data's content or the model's commit" in remark for remark in plan_remarks(plan))
    assert said is (found and stated["revision"] is None)


def test_results_of_another_version_of_the_code_are_used_with_a_remark(done):
    config, folder = done
    (path,) = folder.glob("*.json")
    content = json.loads(path.read_text())
    code = {"version": "0.0.1", "commit": "0123456789abcdef", "changed": True}
    path.write_text(json.dumps({**content, "run": {config.task: {"code": code}}}))
    (remark,) = plan_remarks(plan_of([config], folder))
    assert remark.startswith("1 were computed by another version of this code (0.0.1+0123456789 with changes; this is ")


def test_a_plan_is_told_line_by_line(planned):
    runs, folder = planned
    write_failure(folder.path, runs[0], Failure(message="no luck"))
    lines = describe_plan(plan_of(runs, folder), describe)
    assert [line.partition(":")[0] for line in lines] == ["to run", "done", "failed"]
    assert lines[0] == f"to run: {describe(runs[2].config)}"
    assert ".error.json: no luck)" in lines[2]
