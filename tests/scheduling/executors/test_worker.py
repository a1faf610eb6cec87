"""The process that computes: what goes wrong is found, named, and takes no other run with it."""

import platform
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import lm_eval.inference.loading
import lm_eval.scoring.evaluation
from lm_eval.config.limit import Limit
from lm_eval.config.run_config import RunConfig
from lm_eval.config.runtime import Execution
from lm_eval.errors import MemoryShortageError, RunError
from lm_eval.grid.grid import CommonOptions
from lm_eval.results.identity import resolve
from lm_eval.scheduling.executors.worker import Worker
from lm_eval.scoring.run_pass import evaluate_many
from tests.support.grids import expand, grid
from tests.support.tiny_models import save_tiny
from tests.support.worlds import write_model_folder

CPU = Execution(device="cpu")


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory) -> str:
    return str(save_tiny("gpt2", tmp_path_factory.mktemp("models") / "tiny-gpt2"))


@pytest.fixture
def together(gpt2, data_dir) -> list[RunConfig]:
    """Eight configurations that share a pass."""
    settings = {"WORD_AGG_SCHEME": ["mean", "w1mean"], "NORM": [None, "L2"], "ENCODING_LAYER": ["0", "1"]}
    return expand(
        grid(models=[gpt2], num_fewshot=[1], settings=settings),
        CommonOptions(data_dir=str(data_dir), limit=Limit(0, 2)),
    )


def blame(monkeypatch, victim: RunConfig, error: Exception) -> list[int]:
    """Let one configuration raise an error whenever it is evaluated; return the sizes of the passes tried."""
    tried: list[int] = []

    def evaluate(runs, *arguments, **options):
        tried.append(len(runs))
        if victim in [run.config for run in runs]:
            raise error
        return evaluate_many(runs, *arguments, **options)

    monkeypatch.setattr("lm_eval.scoring.run_pass.evaluate_many", evaluate)
    return tried


def test_a_bug_that_one_run_meets_is_looked_for_in_halves_and_fails_that_run_alone(together, monkeypatch):
    tried = blame(monkeypatch, together[5], ZeroDivisionError("by zero"))
    outcomes = Worker(CPU, 1).run(together, resolve).outcomes
    assert [outcome.config for outcome in outcomes] == together
    assert [outcome.failure is not None for outcome in outcomes] == [index == 5 for index in range(8)]
    failure = outcomes[5].failure
    assert failure is not None
    assert (failure.message, failure.kind) == ("ZeroDivisionError: by zero", "run")
    assert "Traceback" in str(failure.traceback)
    assert tried == [8, 4, 4, 2, 1, 1, 2]


def test_what_the_shared_documents_are_to_blame_for_fails_all_at_once(together, monkeypatch):
    tried = blame(monkeypatch, together[0], RunError("a segment has no tokens"))
    outcomes = Worker(CPU, 1).run(together, resolve).outcomes
    assert {(o.failure.message, o.failure.kind, o.failure.traceback) for o in outcomes if o.failure} == {
        ("a segment has no tokens", "run", None)
    }
    assert tried == [8]


def test_a_report_says_what_its_unit_took_without_the_loading_of_the_model(together, monkeypatch):
    load = lm_eval.inference.loading.load_for
    monkeypatch.setattr(lm_eval.inference.loading, "load_for", lambda *given: (time.sleep(0.3), load(*given))[1])
    began = time.monotonic()
    report = Worker(CPU, 1).run(together[:1], resolve)
    assert 0 < report.seconds < time.monotonic() - began - 0.3


@pytest.mark.parametrize("error", [MemoryShortageError("a single row is too much"), torch.OutOfMemoryError("CUDA")])
def test_a_lack_of_memory_is_told_as_such(together, monkeypatch, error):
    blame(monkeypatch, together[0], error)
    outcomes = Worker(CPU, 1).run(together[:1], resolve).outcomes
    assert [outcome.failure.kind for outcome in outcomes if outcome.failure] == ["memory"]


def test_a_model_that_cannot_be_loaded_is_tried_once_and_told_with_its_cause(together, tmp_path, monkeypatch):
    loads = []

    def load(config, execution):
        loads.append(config)
        raise OSError("no such weights")

    monkeypatch.setattr("lm_eval.inference.loading.load_for", load)
    worker = Worker(CPU, 1)
    for _ in range(2):
        report = worker.run(together[:2], resolve)
        assert not report.could_load
        assert [outcome.failure.kind for outcome in report.outcomes if outcome.failure] == ["load", "load"]
        assert report.outcomes[0].failure.message == "OSError: no such weights"
    assert len(loads) == 1


def test_a_model_too_large_for_the_device_may_be_tried_on_more_of_them(together, monkeypatch):
    def load(config, execution):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("lm_eval.inference.loading.load_for", load)
    report = Worker(CPU, 1).run(together[:1], resolve)
    assert report.could_load
    assert [outcome.failure.kind for outcome in report.outcomes if outcome.failure] == ["memory"]


def test_a_lack_of_memory_while_weights_are_loaded_is_told_as_such(together, monkeypatch):
    def load(*arguments, **options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", load)
    report = Worker(CPU, 1).run(together[:1], resolve)
    assert [outcome.failure.kind for outcome in report.outcomes if outcome.failure] == ["memory"]


def test_a_worker_keeps_its_model_for_the_next_unit(together, monkeypatch):
    loaded = []
    load = lm_eval.inference.loading.load_for
    monkeypatch.setattr(
        "lm_eval.inference.loading.load_for", lambda config, execution: loaded.append(config) or load(config, execution)
    )
    worker = Worker(CPU, 1)
    for _ in range(3):
        assert all(outcome.result for outcome in worker.run(together[:1], resolve).outcomes)
    assert len(loaded) == 1


def test_a_result_states_what_its_pass_took_and_with_what(together):
    (first, *_) = Worker(CPU, 1).run(together, resolve).outcomes
    assert first.result is not None
    run = first.result["run"]["hellaswag_dg"]
    assert run["pass"]["num_configurations"] == 8
    assert set(run["pass"]["phases_s"]) == {"tokenise", "encode", "score"}
    assert run["pass"]["documents_per_s"] > 0
    assert run["pass"]["tokens_per_s"] > 0
    assert run["pass"]["peak_memory_gib"] > 0.01
    assert run["load_s"] > 0
    assert run["started"] <= run["finished"]
    assert run["packages"]["torch"] == torch.__version__
    assert run["dtype"] == "float32"
    assert {"version", "commit", "changed"} == set(run["code"])
    assert run["batches"]["num_tokens"] > 0
    assert Path(together[0].pretrained).is_dir()


def test_a_run_whose_result_cannot_be_made_fails_alone(together, monkeypatch):
    make = lm_eval.scoring.evaluation.make_result

    def make_result(evaluation, *arguments, **options):
        if evaluation.run.config == together[2]:
            raise RunError("the score of choice 0 is nan")
        if evaluation.run.config == together[4]:
            raise KeyError("acc")
        return make(evaluation, *arguments, **options)

    monkeypatch.setattr("lm_eval.scoring.evaluation.make_result", make_result)
    outcomes = Worker(CPU, 1).run(together, resolve).outcomes
    assert [outcome.config for outcome in outcomes] == together
    failures = {index: outcome.failure for index, outcome in enumerate(outcomes) if outcome.failure}
    assert {index: (failure.message, failure.kind) for index, failure in failures.items()} == {
        2: ("the score of choice 0 is nan", "run"),
        4: ("KeyError: 'acc'", "run"),
    }
    assert failures[2].traceback is None
    assert "Traceback" in str(failures[4].traceback)


def test_a_lack_of_memory_of_many_runs_together_is_overcome_by_fewer_at_a_time(together, monkeypatch):
    tried: list[int] = []

    def evaluate(runs, *arguments, **options):
        tried.append(len(runs))
        if len(runs) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return evaluate_many(runs, *arguments, **options)

    monkeypatch.setattr("lm_eval.scoring.run_pass.evaluate_many", evaluate)
    outcomes = Worker(CPU, 1).run(together, resolve).outcomes
    assert [outcome.config for outcome in outcomes if outcome.result] == together
    assert tried == [8, 4, 2, 2, 4, 2, 2]


def test_after_a_model_that_cannot_be_loaded_a_worker_takes_another(together, tmp_path):
    broken = replace(together[0], pretrained=str(write_model_folder(tmp_path / "broken")))
    worker = Worker(CPU, 1)
    for _ in range(2):
        assert not worker.run([broken], resolve).could_load
        good = worker.run(together[:1], resolve)
        assert good.could_load
        assert good.outcomes[0].result is not None


def test_a_report_says_where_it_comes_from(together):
    report = Worker(CPU, 1).run(together[:1], resolve)
    assert report.host == platform.node()
