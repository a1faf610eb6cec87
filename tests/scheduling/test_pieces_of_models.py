"""A grid whose long passes are computed in pieces, by a real model in this process."""

from pathlib import Path

import pytest

import lm_eval.scoring.evaluation
from lm_eval.config.runtime import Execution
from lm_eval.evaluator import simple_evaluate
from lm_eval.grid.script import carry_out
from lm_eval.results.folder import ResultsFolder
from lm_eval.scheduling.executors.in_process import InProcessExecutor
from tests.support.grids import options, small_grid
from tests.support.tiny_models import save_tiny


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory) -> str:
    return str(save_tiny("gpt2", tmp_path_factory.mktemp("models") / "tiny-gpt2", max_length=512))


def results_of(folder: Path) -> dict[str, dict]:
    return {stored.path.name: dict(stored.content) for stored in ResultsFolder(folder)}


def run(gpt2: str, data_dir, folder: Path) -> dict[str, dict]:
    flags = options(data_dir, folder, limit=None, log_samples=True)
    executor = InProcessExecutor(execution=Execution(log_samples=True, device="cpu"))
    assert carry_out([small_grid(gpt2)], flags, str(folder), executor) == 0
    return results_of(folder)


def test_a_grid_in_pieces_scores_as_one_pass_and_exactly_as_single_runs(gpt2, data_dir, tmp_path, monkeypatch):
    whole = run(gpt2, data_dir, tmp_path / "whole")
    monkeypatch.setattr("lm_eval.scoring.blocks.block_tokens", lambda parameters, on_gpu: 60)
    monkeypatch.setattr("lm_eval.scheduling.cutting.block_tokens", lambda parameters, on_gpu: 60)
    pieces = run(gpt2, data_dir, tmp_path / "pieces")
    assert pieces.keys() == whole.keys()
    for name, result in pieces.items():
        assert result["results"] == whole[name]["results"]
        assert result.keys() == whole[name].keys()
        assert result["run"]["hellaswag_d"].keys() == whole[name]["run"]["hellaswag_d"].keys()
        assert result["run"]["hellaswag_d"]["num_documents"] == 10
        scores = [sample["scores"] for sample in result["samples"]["hellaswag_d"]]
        expected = [sample["scores"] for sample in whole[name]["samples"]["hellaswag_d"]]
        assert scores == [pytest.approx(row, abs=1e-6) for row in expected]
    alone = [result for result in pieces.values() if result["config"]["num_fewshot"] == 0]
    config = alone[0]["config"]
    single = simple_evaluate(
        model="dist_sim",
        model_args=config["model_args"],
        tasks="hellaswag_d",
        task_args=config["task_args"],
        log_samples=True,
        device="cpu",
    )
    assert single["samples"] == alone[0]["samples"]


def test_a_run_that_fails_in_one_piece_fails_once_and_takes_no_other_with_it(gpt2, data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("lm_eval.scoring.blocks.block_tokens", lambda parameters, on_gpu: 60)
    monkeypatch.setattr("lm_eval.scheduling.cutting.block_tokens", lambda parameters, on_gpu: 60)
    make, made = lm_eval.scoring.evaluation.make_part, []

    def fail_second(evaluation, model, execution, span):
        if evaluation.run.config.num_fewshot == 1 and evaluation.run.config.vectors.example_agg_scheme is None:
            made.append(span)
            if len(made) == 2:
                raise ZeroDivisionError("by zero")
        return make(evaluation, model, execution, span)

    monkeypatch.setattr(lm_eval.scoring.evaluation, "make_part", fail_second)
    flags = options(data_dir, tmp_path / "results", limit=None)
    assert carry_out([small_grid(gpt2)], flags, str(tmp_path / "results"), InProcessExecutor()) == 1
    assert len(made) == 2  # no further piece of it
    assert len(list((tmp_path / "results").glob("*.error.json"))) == 1
    assert len(results_of(tmp_path / "results")) == 2
    again = options(data_dir, tmp_path / "results", limit=None, retry_failed=True)
    assert carry_out([small_grid(gpt2)], again, "unused", InProcessExecutor()) == 0
    results = results_of(tmp_path / "results")
    resumed = sorted(result["run"]["hellaswag_d"]["num_documents_resumed"] for result in results.values())
    assert resumed[:2] == [0, 0]
    assert resumed[2] == made[0][1] - made[0][0]  # the piece before the one that failed
    assert not (tmp_path / "results" / ".grid" / "pieces").exists()
