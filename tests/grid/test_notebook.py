"""A grid from Python: a table, errors as exceptions, and nothing else ended or printed."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lm_eval.errors import ConfigurationError
from lm_eval.grid import FailedRunsError, run_grid
from lm_eval.grid.notebook import say_progress
from lm_eval.scheduling.executors.in_process import InProcessExecutor
from lm_eval.scheduling.heartbeat import Progress
from tests.support.grids import small_grid


def run(grids, data_dir, results: Path, **options):
    chosen = {"executor": InProcessExecutor(), "limit": 4, "data_dir": data_dir, "show_progress": False, **options}
    return run_grid(grids, results_dir=results, **chosen)


def test_a_grid_returns_its_results_in_its_order_and_computes_none_of_them_twice(gpt2, data_dir, tmp_path, capsys):
    made = small_grid(gpt2)
    table = run(made, data_dir, tmp_path)
    assert list(zip(table["num_fewshot"], table["EXAMPLE_AGG_SCHEME"], strict=True)) == [
        (1, None),
        (1, "mean"),
        (0, None),
    ]
    assert set(table["num_documents"]) == {4.0}
    assert table["acc"].between(0, 1).all()
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")
    again = run([made], data_dir, tmp_path)
    assert again["finished"].tolist() == table["finished"].tolist()
    more = run([made, small_grid(gpt2, num_fewshot=[2])], data_dir, tmp_path)
    assert more["num_fewshot"].tolist() == [1, 1, 0, 2, 2]
    assert len(run(small_grid(gpt2, num_fewshot=[0]), data_dir, tmp_path)) == 1


def test_a_bar_counts_the_runs_where_no_terminal_is_too(gpt2, data_dir, tmp_path, capsys):
    run(small_grid(gpt2), data_dir, tmp_path, show_progress=True)
    shown = capsys.readouterr()
    assert not sys.stderr.isatty()
    assert "100%|" in shown.err
    assert "3/3 runs" in shown.err
    assert shown.out == ""
    run(small_grid(gpt2), data_dir, tmp_path, show_progress=True)
    assert capsys.readouterr().err == ""


def test_a_bar_tells_the_time_that_is_left_as_long_as_there_is_something_to_do():
    told = Progress(planned=3, skipped=0, finished=1, failed=1, remaining_s=2.0)
    assert say_progress(told) == "0 running, 1 failed, about 2 s left"
    assert say_progress(replace(told, finished=2)) == "1 failed"


def test_a_bar_is_as_wide_as_its_terminal(gpt2, data_dir, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    run(small_grid(gpt2, num_fewshot=[0]), data_dir, tmp_path, show_progress=True)
    lines = re.split(r"[\r\n]", capsys.readouterr().err)
    assert any("1/1 runs [" in line and "0 failed]" in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_a_wrong_call_raises_what_a_script_would_say(gpt2, data_dir, tmp_path):
    made = small_grid(gpt2)
    for options, message in (
        ({"limit": "x"}, "limit must be an integer N or START:END"),
        ({"dtype": "float64"}, "--dtype: unknown value 'float64'"),
        ({"num_gpus_per_run": 0}, "--NUM_GPUS_PER_RUN must be a whole number of at least 1, got 0"),
        ({"include_path": tmp_path / "none"}, "include_path: .*none is not a folder"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            run(made, data_dir, tmp_path / "results", **options)
    too_deep = small_grid(gpt2, settings={**made.settings, "ENCODING_LAYER": [9]})
    with pytest.raises(ConfigurationError, match=r"ENCODING_LAYER=9: out of range"):
        run(too_deep, data_dir, tmp_path / "results")
    with pytest.raises(ConfigurationError, match="run_grid: give a Grid or a list of them"):
        run([], data_dir, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_failed_runs_raise_an_error_that_holds_the_causes_and_the_other_results(gpt2, data_dir, tmp_path, monkeypatch):
    run(small_grid(gpt2, num_fewshot=[0]), data_dir, tmp_path)
    monkeypatch.setattr("lm_eval.results.identity.documents_of", lambda *_: 1 / 0)
    with pytest.raises(FailedRunsError, match="ZeroDivisionError") as told:
        run(small_grid(gpt2), data_dir, tmp_path)
    assert told.value.results["num_fewshot"].tolist() == [0]
    monkeypatch.undo()
    with pytest.raises(FailedRunsError, match=r"failed before: .*1 shot,"):
        run(small_grid(gpt2), data_dir, tmp_path)
    assert len(run(small_grid(gpt2), data_dir, tmp_path, retry_failed=True)) == 3


def test_an_interruption_is_passed_on_and_what_was_finished_stays(gpt2, data_dir, tmp_path):
    class Interrupted(InProcessExecutor):
        """Is interrupted after its first event."""

        def run(self, queue, workforce):
            yield next(iter(super().run(queue, workforce)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(small_grid(gpt2), data_dir, tmp_path, executor=Interrupted())
    assert not list((tmp_path / ".grid" / "leases").iterdir())
    assert len(run(small_grid(gpt2), data_dir, tmp_path)) == 3
