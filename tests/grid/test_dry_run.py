"""What a dry run says in short, and what comes after a grid."""

from dataclasses import replace
from pathlib import Path

import pytest

from lm_eval.config.run_config import RunConfig
from lm_eval.config.settings import VectorSettings
from lm_eval.grid.dry_run import describe_dry_run
from lm_eval.grid.next_step import next_steps
from lm_eval.grid.plan import Plan, Reason
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.identity import Run
from tests.support.grids import options
from tests.support.results import put, result_of
from tests.support.runs import fake_runs

CONCEPT = RunConfig(
    model="dist_gen",
    pretrained="some/model",
    task="hellaswag_dg",
    encoding_scheme="concat_all_examples",
    num_fewshot=5,
    vectors=VectorSettings.parse(word_agg_scheme="mean"),
)
BASELINE = replace(CONCEPT, encoding_scheme="cross_encoding", vectors=VectorSettings())


def test_runs_are_counted_by_model_and_scheme():
    plan = Plan()
    for shots in (5, 0):
        for run in fake_runs([replace(CONCEPT, num_fewshot=shots), replace(CONCEPT, pretrained="a/b")]):
            plan.add(run, Reason())
    lines = describe_dry_run(plan)
    assert lines[0] == "task=hellaswag_dg, encoding_scheme=concat_all_examples"
    assert [line.split() for line in lines[3:5]] == [["model", "5,", "0", "2", "2"], ["b", "5", "2", "1"]]
    assert lines[-1] == "--dry_run --list names every run"


def test_each_reason_is_told_once_with_how_many_have_it():
    plan = Plan()
    for shots in range(3):
        (run,) = fake_runs([replace(CONCEPT, num_fewshot=shots)])
        plan.add(run, Reason(why="its result has no samples" if shots else "", replaces=bool(shots)))
    assert "2 to run: its result has no samples" in describe_dry_run(plan)


def test_a_dry_run_of_nothing_has_no_table():
    assert describe_dry_run(Plan()) == ["--dry_run --list names every run"]


def runs_in(folder: Path, *configs: RunConfig) -> tuple[list[Run], ResultsFolder]:
    """Runs whose results, of the older form, are in a folder."""
    for number, config in enumerate(configs):
        put(folder, f"{number}.json", result_of(config))
    read = ResultsFolder(folder)
    return [Run(config=s.config, form=s.form, task=s.task, identity=s.identity) for s in read], read  # type: ignore


def test_the_baseline_that_is_missing_is_named_with_the_call_that_makes_it(tmp_path):
    runs, folder = runs_in(tmp_path / "gen", CONCEPT)
    told, command = next_steps(runs, folder, options(None, tmp_path / "gen", models="demo", limit="20"))
    assert told == "next: the baseline that scores are normalised by is missing for model"
    results = tmp_path / "lmeval_results_baseline"
    of_runs = "--models demo --num_fewshot 5 --limit 20"
    assert command == f"  scripts/run_parallel_baseline.py {of_runs} --results_dir {results}"


def commands(runs: list[Run], folder: ResultsFolder, **overrides) -> list[str]:
    """The calls that come next, without the folder that they write to."""
    _, *calls = next_steps(runs, folder, options(None, folder.path, limit=None, **overrides))
    return [call.partition(" --results_dir")[0].strip() for call in calls]


def test_the_baseline_is_asked_for_at_the_shots_and_for_the_tasks_that_lack_it(tmp_path):
    vectors = VectorSettings.parse(word_agg_scheme="mean", similarity_func="dot_product")
    own = replace(CONCEPT, model="dist_sim", task="piqa_d", num_fewshot=2, vectors=vectors)
    put(tmp_path / "lmeval_results_baseline", "other.json", result_of(replace(BASELINE, num_fewshot=2)))
    runs, folder = runs_in(tmp_path / "own", own)
    script = "scripts/run_parallel_baseline.py --models"
    assert commands(runs, folder) == [f"{script} some/model --tasks piqa_dg --num_fewshot 2"]
    other = replace(CONCEPT, pretrained="a/b")
    runs, folder = runs_in(tmp_path / "two", CONCEPT, replace(CONCEPT, num_fewshot=2), other)
    assert commands(runs, folder, models="demo") == [  # 2 shots have a baseline
        f"{script} demo --num_fewshot 5",
    ]
    runs, folder = runs_in(tmp_path / "more", CONCEPT, replace(CONCEPT, num_fewshot=0), other)
    assert commands(runs, folder, models="demo") == [f"{script} some/model", f"{script} a/b --num_fewshot 5"]


@pytest.mark.parametrize("place", ["gen", "lmeval_results_baseline"])
def test_where_the_baseline_is_there_the_report_comes_next(tmp_path, place):
    (tmp_path / place).mkdir()
    put(tmp_path / place, "baseline.json", result_of(BASELINE))
    runs, folder = runs_in(tmp_path / "gen", CONCEPT)
    told, command = next_steps(runs, folder, options(None, tmp_path / "gen"))
    assert told == "next: a report with figures and tables"
    assert command.startswith(f"  scripts/report.py {tmp_path / 'gen'}")
    assert (str(tmp_path / "lmeval_results_baseline") in command) == (place != "gen")


def test_after_a_baseline_comes_a_test(tmp_path):
    runs, folder = runs_in(tmp_path / "base", BASELINE)
    assert next_steps(runs, folder, options(None, tmp_path / "base"))[0].startswith("next: a test whose scores these")
    assert commands(runs, folder) == ["scripts/run_parallel_gen_gpt.py --models some/model --num_fewshot 5"]
    assert next_steps(runs, folder, options(None, tmp_path / "base"))[1].endswith(f" {tmp_path / 'lmeval_results_gen'}")
    put(tmp_path / "lmeval_results_gen", "a.json", {})  # a test was run before its baseline
    told, command = next_steps(runs, folder, options(None, tmp_path / "base"))
    assert told == "next: a report with figures and tables"
    assert command.split()[1:3] == [str(tmp_path / "lmeval_results_gen"), str(folder.path)]


def test_where_nothing_was_computed_nothing_comes_next(tmp_path):
    assert next_steps(fake_runs([CONCEPT]), ResultsFolder(tmp_path), options(None, tmp_path)) == []
