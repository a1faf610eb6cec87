"""Every benchmark runs, at its smallest size; those against the upstream harness, against a stand-in for it."""

import json
import math
import sys

import pytest

from benchmarks import (
    bench,
    large_data,
    large_folders,
    layer_grid,
    overhead,
    pieces_cost,
    study,
    upstream,
    upstream_files,
    upstream_made_up,
    upstream_tasks,
)
from benchmarks.compare import largest_difference, relative_difference
from benchmarks.works import WORKS
from lm_eval.models.model_list import DEMO
from tests.support.gguf_files import write_gguf
from tests.support.preloaded import preloaded
from tests.support.tokenizer_forms import load_with_tokenizer
from tests.support.upstream_stand_in import (
    LIBRARIES,
    STORIES,
    write_harness_of_stories,
    write_recorded_harness,
    write_scoring_harness,
)

SMALLEST = ["--narrow", "--documents=1"]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "figures.json"


@pytest.fixture(scope="module")
def libraries():
    """A Python that has imported what a harness scores with, once for all tests that start one."""
    with preloaded(LIBRARIES) as place:
        yield place


def figures(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_bench_measures_every_work_and_both_ways_score_the_same(out, capsys):
    assert bench.main([*SMALLEST, "--repetitions=1", f"--out={out}"]) == 0
    rows = figures(out)["rows"]
    assert [row["work"] for row in rows] == [work.name for work in WORKS]
    assert all(row["times the plain way"] > 0 and row["largest difference"] < 1e-4 for row in rows)
    assert [row["times one configuration"] is None for row in rows] == [work.at_most is None for work in WORKS]
    printed = capsys.readouterr().out.splitlines()
    assert all(line.startswith(work.name) for line, work in zip(printed, WORKS, strict=False))
    assert printed[-1].startswith("matrix product ")


def test_the_bench_refuses_a_name_that_no_work_has(capsys):
    with pytest.raises(SystemExit, match="2"):
        bench.main(["--only=cross-encoding"])
    assert "cross_encoding, 5 shots" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "-1", "some", "1.5"])
def test_a_size_is_a_whole_number_of_at_least_1(number, capsys):
    with pytest.raises(SystemExit, match="2"):
        overhead.main([f"--runs={number}"])
    assert f"must be a whole number of at least 1, got {number}" in capsys.readouterr().err


@pytest.mark.slow
def test_many_rows_are_written_and_measured(out):
    assert large_data.main(["--rows", "20", "600", "--repetitions=1", f"--out={out}"]) == 0
    rows = figures(out)["rows"]
    assert [row["rows"] for row in rows] == [20, 600]
    assert all(row["seconds"] > 0 and row["memory, MB"] > 10 for row in rows)


@pytest.mark.slow
def test_large_folders_are_filled_and_measured(out):
    assert large_folders.main(["--results=20", f"--out={out}"]) == 0
    rows = figures(out)["rows"]
    assert [(row["command"], row["call"]) for row in rows] == [
        (command, call) for command in ("status", "table", "plan") for call in ("first", "again")
    ]
    assert all(row["seconds"] > 0 and row["memory, MB"] > 10 for row in rows)


@pytest.mark.slow
def test_the_study_scores_the_same_together_and_run_by_run(out, capsys):
    assert study.main([*SMALLEST, "--runs=12", "--sample=2", f"--out={out}"]) == 0
    measured = figures(out)
    assert measured["runs"] >= measured["distinct configurations"] >= measured["passes"] > 1
    assert measured["largest difference"] < 1e-6
    assert all(name in capsys.readouterr().out for name in ["seconds together"])


@pytest.mark.slow
def test_a_grid_of_chunks_and_layers_encodes_once_and_scores_the_same_as_one_by_one(out, capsys):
    assert layer_grid.main(["--quick", f"--out={out}"]) == 0
    measured = figures(out)
    assert [grid["runs"] for grid in measured.values()] == [48, 20]
    for grid in measured.values():
        assert grid["largest difference"] < 1e-4
        assert grid["passes together"] < grid["passes one by one"]
    printed = capsys.readouterr().out
    assert all(name in printed for name in layer_grid.LISTS)


def test_what_was_carried_out_is_planned_as_done(out, capsys):
    assert overhead.main(["--runs=20", f"--out={out}"]) == 0
    assert figures(out)["runs"] == 20
    assert capsys.readouterr().out.startswith("20 runs, expanding, s: ")


@pytest.mark.slow
def test_the_engine_is_measured_against_the_harness_in_its_own_process(libraries, out, tmp_path, capsys):
    python = write_scoring_harness(tmp_path / "harness", libraries)
    assert upstream.main([*SMALLEST, "--documents=3", "--repetitions=1", f"--python={python}", f"--out={out}"]) == 0
    (row,) = figures(out)["rows"]
    assert figures(out)["versions"]["lm-eval"] == "0.0"
    assert row["documents"] == 3
    assert row["metrics"] == row["metrics, lm-eval"]
    assert "times lm-eval, wanted 2.5" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("form", ["folder", "GGUF file"])
def test_a_model_of_files_is_given_to_the_harness_as_it_is(form, libraries, out, tmp_path, capsys):
    python, model = write_scoring_harness(tmp_path / "harness", libraries), DEMO / "models" / "demo-gpt"
    if form == "GGUF file":
        made = load_with_tokenizer("llama", "byte level", "BOS")
        model = write_gguf(tmp_path / "m.gguf", made.network, made.tokenizer)
    settings = [f"--model={model}", "--shots=0", "--repetitions=1", f"--python={python}", f"--out={out}"]
    assert upstream.main([*SMALLEST, *settings]) == 0, capsys.readouterr().err
    (row,) = figures(out)["rows"]
    assert row["work"] == "cross_encoding, 0 shots"
    assert row["in nats"] < 1e-3
    assert row["differing documents"] == []


@pytest.mark.slow
def test_a_harness_that_scores_something_else_is_not_compared(libraries, tmp_path, capsys):
    python = write_scoring_harness(tmp_path / "harness", libraries)
    evaluator = tmp_path / "harness" / "lm_eval" / "evaluator.py"
    evaluator.write_text(evaluator.read_text().replace('document["context"], choice)', '"Another text.", choice)'))
    assert upstream.main([*SMALLEST, "--repetitions=1", f"--python={python}"]) == 1
    said = capsys.readouterr().err
    assert "NOT COMPARABLE: log-likelihoods differ by " in said
    assert "nats; documents 1)" in said


@pytest.mark.parametrize("benchmark", [upstream, upstream_tasks])
def test_a_python_without_the_harness_is_refused(benchmark, capsys):
    assert benchmark.main([f"--python={sys.executable}"]) == 2
    assert f"lm-eval is not available: {sys.executable} isn't a Python that has it" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--narrow"], ["--tasks", "copa"]], ids=["upstream", "upstream_tasks"])
def test_a_harness_that_ends_is_reported_with_its_last_words(arguments, tmp_path, capsys):
    benchmark = upstream if arguments == ["--narrow"] else upstream_tasks
    python = write_scoring_harness(tmp_path / "harness")
    (tmp_path / "harness" / "lm_eval" / "models" / "huggingface.py").write_text("raise SystemExit('no model today')\n")
    assert benchmark.main([*arguments, f"--python={python}"]) == 2
    assert "lm-eval is not available: the harness ended: no model today" in capsys.readouterr().err


@pytest.mark.slow
def test_tasks_of_the_harness_score_here_as_it_recorded(out, tmp_path, capsys):
    python = write_recorded_harness(tmp_path / "harness")
    assert upstream_tasks.main(["--tasks", "piqa", "copa", f"--python={python}", f"--out={out}"]) == 0
    table = figures(out)["tasks"]
    assert {task: row["requests"] for task, row in table.items()} == {"piqa": 24, "copa": 24}
    assert all(row["relative difference"] < 1e-4 and row["same greedy"] for row in table.values())
    assert "NOT EQUAL" not in capsys.readouterr().out


@pytest.mark.slow
def test_a_task_scores_here_as_there_on_rows_made_up_for_it(libraries, out, tmp_path, capsys):
    python = write_harness_of_stories(tmp_path / "harness", libraries)
    assert upstream_made_up.main([f"--python={python}", f"--out={out}"]) == 0
    assert figures(out)["equal"] == ["stories"]
    assert "metrics compared: acc 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, []),
        ({"scores": [[-1.0, -2.0], [-3.0]]}, ["other numbers of choices"]),
        ({"scores": [[-1.0, -2.0], [-3.0, -4.1]]}, ["log-likelihoods"]),
        ({"is_greedy": [[True, False], [False, True]]}, ["greedy decoding"]),
        ({"metrics": {"acc": 0.0}}, ["acc: 0.5 here, 0 there"]),
    ],
)
def test_in_what_two_answers_differ_is_named(changed, found):
    ours = {"scores": [[-1.0, -2.0], [-3.0, -4.0]], "is_greedy": [[True, False]] * 2, "metrics": {"acc": 0.5}}
    assert upstream_made_up.differences(ours, {**ours, **changed}) == found


@pytest.mark.parametrize(("floor", "status"), [(0.5, 0), (0.99, 1)])
def test_task_files_that_are_refused_are_counted_with_the_reason(floor, status, out, tmp_path, capsys):
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "stories.yaml").write_text(STORIES)
    (tmp_path / "tasks" / "odd.yaml").write_text(STORIES.replace("acc", "applause"))
    assert upstream_files.main([f"--folder={tmp_path / 'tasks'}", f"--floor={floor}", f"--out={out}"]) == status
    counted = figures(out)
    assert (counted["accepted"], counted["total"], counted["crashed"]) == (1, 2, {})
    assert "applause" in capsys.readouterr().out


@pytest.mark.slow
def test_what_cutting_a_pass_costs_is_measured(out):
    few = ["--narrow", "--documents=200", "--rows=6", "--repetitions=1", "--tokens=50"]
    assert pieces_cost.main([*few, f"--out={out}"]) == 0
    found = figures(out)
    assert found["blocks"] > 1
    assert found["more tokens"] > 0
    assert found["largest difference"] < 1e-4


def test_a_recording_holds_all_tasks(capsys):
    with pytest.raises(SystemExit, match="2"):
        upstream_tasks.main(["--tasks", "copa", "--record"])
    assert "leave --tasks out" in capsys.readouterr().err


def test_differences_are_relative_to_scores_that_are_larger_than_one():
    mine, theirs = [[1.0, -9.0], [0.5]], [[1.0, -10.0], [0.0]]
    assert largest_difference(mine, theirs) == 1.0
    assert relative_difference(mine, theirs) == 0.5
    with pytest.raises(ValueError, match="shorter"):
        largest_difference(mine, theirs[:1])


@pytest.mark.parametrize("score", [float("nan"), float("-inf")])
@pytest.mark.parametrize("difference", [largest_difference, relative_difference])
def test_a_score_that_is_no_number_is_infinitely_far_from_any(difference, score):
    assert difference([[1.0, score]], [[1.0, -1.0]]) == math.inf
    assert difference([[1.0, -1.0]], [[1.0, score]]) == math.inf
    assert difference([[1.0, score]], [[1.0, score]]) == math.inf
