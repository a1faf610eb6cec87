"""Choices without a blank in front, in ordinary scoring: a token of both ends the run, and nothing else does."""

from dataclasses import replace

import pytest

from lm_eval.config.run_config import RunConfig
from lm_eval.config.runtime import Execution
from lm_eval.errors import RunError
from lm_eval.models.language_model import LanguageModel
from tests.support.judging import load, scores_of
from tests.support.runs import evaluate
from tests.support.tokenizer_forms import BODIES, load_with_tokenizer
from tests.support.worlds import write_rows

ENDS = """
task: ends
dataset_path: some/ends
test_split: test
output_type: multiple_choice
doc_to_text: "{{before}}"
doc_to_choice: choices
doc_to_target: gold
target_delimiter: ""
"""
APART = [{"before": f"The man {number} begins to", "choices": [" play.", " bake"], "gold": 0} for number in range(5)]
PUNCTUATION = [
    {"before": f"The man {number} is on rough waters", "choices": ["!", ";"], "gold": 0} for number in (1, 2)
]
MERGED = [{"before": "A man is in the wat", "choices": [" play", "er and more"], "gold": 0}]


@pytest.fixture
def config_of(tmp_path):
    """Write a task file and its rows; return a configuration."""

    def make(rows, task: str = "ends", **scheme: str) -> RunConfig:
        (tmp_path / "tasks").mkdir(exist_ok=True)
        (tmp_path / "tasks" / "ends.yaml").write_text(ENDS)
        write_rows(tmp_path / "data" / "ends" / "test.jsonl", rows)
        task_args = ",".join(f"{key}={value}" for key, value in {"data_dir": tmp_path / "data", **scheme}.items())
        kind = "dist_gen" if scheme else "hf"
        config = RunConfig.parse(
            model=kind, model_args="pretrained=tiny", task=task, task_args=task_args, num_fewshot=0
        )
        return replace(config, include_path=str(tmp_path / "tasks"))

    return make


def passes_until_refused(config: RunConfig, model: LanguageModel, message: str) -> int:
    passes: list[int] = []
    hook = model.encoder.register_forward_pre_hook(lambda *_: passes.append(1))
    with pytest.raises(RunError, match=message):
        evaluate([config], model, Execution())
    hook.remove()
    return len(passes)


@pytest.mark.parametrize("body", BODIES)
def test_a_choice_that_merges_with_its_context_ends_a_run_before_its_first_batch(body, config_of, set_windows):
    set_windows(1, 1)
    model = load_with_tokenizer("llama", body, "BOS and EOS")
    message = r"test.jsonl, line 6: choice 1 merges with its context: .* \(target_delimiter in a task's file\)"
    assert passes_until_refused(config_of([*APART, *MERGED]), model, message) == 0


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("rows", [APART, PUNCTUATION], ids=["with a blank", "without one"])
def test_a_choice_that_has_tokens_of_its_own_is_scored(body, rows, config_of):
    (evaluation,) = evaluate([config_of(rows)], load_with_tokenizer("llama", body, "BOS"), Execution())
    assert len(scores_of([evaluation])) > 0


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_encoder_decoders_read_them_apart_so_nothing_merges(family, config_of):
    assert evaluate([config_of(MERGED)], load(family), Execution())


@pytest.mark.parametrize("body", BODIES)
def test_cross_encoding_tokenises_them_apart_so_nothing_merges(body, config_of):
    config = config_of(MERGED, "ends_dg", encoding_scheme="cross_encoding")
    assert evaluate([config], load_with_tokenizer("llama", body, "BOS"), Execution())
