"""A single run goes on behind what its results folder holds of it, and leaves nothing there but its result."""

import json

import pytest

import lm_eval.scoring.resuming
from lm_eval.cli.evaluate import main
from lm_eval.scoring.run_pass import evaluate_many
from tests.support.tiny_models import save_tiny


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory) -> str:
    return str(save_tiny("gpt2", tmp_path_factory.mktemp("models") / "tiny-gpt2", max_length=512))


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of few documents, each written at once."""
    monkeypatch.setattr("lm_eval.scoring.blocks.block_tokens", lambda parameters, on_gpu: 60)
    monkeypatch.setattr(lm_eval.scoring.resuming, "KEPT_EVERY_S", 0.0)


def run(gpt2: str, data_dir, folder, *flags: str) -> int:
    settings = "WORD_AGG_SCHEME=mean,SIMILARITY_FUNC=cosine_sim"
    return main(
        [
            *("--model", "dist_sim", "--tasks", "hellaswag_d", "--num_fewshot", "1", "--output_dir", str(folder)),
            *("--model_args", f"pretrained={gpt2},{settings}"),
            *("--task_args", f"encoding_scheme=concat_each_example,data_dir={data_dir}"),
            *("--log_samples", *flags),
        ]
    )


def stop_after(number: int, monkeypatch) -> list[list[tuple[int, int]]]:
    """Interrupt the evaluation in its piece after so many; return the list of those that are begun."""
    begun = []

    def evaluate(runs, model, execution, **options):
        begun.append(options["blocks"])
        if len(begun) > number:
            raise KeyboardInterrupt
        return evaluate_many(runs, model, execution, **options)

    monkeypatch.setattr(lm_eval.scoring.resuming, "evaluate_many", evaluate)
    return begun


def content_of(folder) -> dict:
    (path,) = folder.glob("*.json")
    return json.loads(path.read_text())


def test_a_run_that_is_called_again_goes_on_and_scores_as_one_that_was_not_stopped(
    gpt2, data_dir, tmp_path, small_blocks, monkeypatch
):
    assert run(gpt2, data_dir, tmp_path / "whole") == 0
    with monkeypatch.context() as patch:
        stop_after(2, patch)
        assert run(gpt2, data_dir, tmp_path / "stopped") == 130
    assert not list((tmp_path / "stopped").glob("*.json"))
    begun = stop_after(100, monkeypatch)
    assert run(gpt2, data_dir, tmp_path / "stopped", "--verify", "2") == 0
    whole, gone_on = content_of(tmp_path / "whole"), content_of(tmp_path / "stopped")
    for key in ("results", "samples", "identity", "config"):
        assert gone_on[key] == whole[key]
    assert len(whole["samples"]["hellaswag_d"]) == 10
    again = sum(end - start for blocks in begun for start, end in blocks)
    assert 0 < again < 10
    resumed = [made["run"]["hellaswag_d"]["num_documents_resumed"] for made in (whole, gone_on)]
    assert resumed == [0, 10 - again]
    assert gone_on["verification"]["hellaswag_d"]["num_documents"] == 2
    assert [path.name for path in (tmp_path / "stopped").iterdir()] == [
        path.name for path in (tmp_path / "whole").iterdir()
    ]  # the result alone


def test_a_run_of_one_block_writes_nothing_but_its_result(gpt2, data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(lm_eval.scoring.resuming, "KEPT_EVERY_S", 0.0)
    stop_after(0, monkeypatch)
    assert run(gpt2, data_dir, tmp_path / "results") == 130
    assert list((tmp_path / "results").iterdir()) == []


def test_what_other_code_has_done_is_not_used(gpt2, data_dir, tmp_path, small_blocks, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(2, patch)
        run(gpt2, data_dir, tmp_path / "results")
    for piece in (tmp_path / "results" / ".grid").rglob("*.json"):
        piece.rename(piece.with_name("0" * 16 + piece.name[16:]))
    begun = stop_after(100, monkeypatch)
    assert run(gpt2, data_dir, tmp_path / "results") == 0
    assert sum(end - start for blocks in begun for start, end in blocks) == 10
