"""The package against the slow, obvious implementation (`plain.py`): every family, setting and way of batching."""

import math
import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from lm_eval.config.run_config import SEGMENTING_SCHEMES, RunConfig
from lm_eval.config.runtime import Execution
from lm_eval.errors import RunError
from lm_eval.inference.batching import BatchBudget, Batcher
from lm_eval.inference.decoder import Prompt, score_prompts
from lm_eval.inference.loading import wrap_model
from tests.support.judging import (
    LONG,
    SHORT,
    TOLERANCE,
    assert_agrees,
    judge,
    load,
    make_config,
    random_settings,
    scores_of,
)
from tests.support.plain_text import read_rows
from tests.support.runs import evaluate
from tests.support.tiny_models import DECODER_ONLY, ENCODER_DECODER, FAMILIES, tiny_model
from tests.support.worlds import write_rows


@pytest.mark.parametrize("model", ["dist_sim", "dist_gen"])
@pytest.mark.parametrize("family", FAMILIES)
def test_random_settings_agree_with_the_plain_way(family, model, data_dir):
    rnd = random.Random(f"{family} {model}")
    tasks = {"dist_sim": ["hellaswag_d"], "dist_gen": ["hellaswag_dg", "webqs_dg"]}[model]
    configs = [
        make_config(
            data_dir, model, rnd.choice(tasks), rnd.choice(SEGMENTING_SCHEMES), random_settings(rnd, family, model),
            num_fewshot=rnd.choice([0, 2]), limit=rnd.choice(["2", "1:3"]),
        )
        for _ in range(10)
    ]  # fmt: skip
    loaded = load(family)
    for config, evaluation in zip(configs, (evaluate([c], loaded, Execution())[0] for c in configs), strict=True):
        assert_agrees(evaluation, judge(config, loaded))


@pytest.mark.parametrize("scheme", [*SEGMENTING_SCHEMES, "cross_encoding"])
@pytest.mark.parametrize("family", FAMILIES)
def test_contexts_longer_than_the_model_takes_agree_with_the_plain_way(family, scheme, data_dir):
    loaded = load(family, SHORT)
    settings = (
        {} if scheme == "cross_encoding" else {"WORD_AGG_SCHEME": "concat", "NORM": "zNorm", "ENCODING_LAYER": "2"}
    )
    config = make_config(data_dir, "dist_gen", "hellaswag_dg", scheme, settings, limit="2")
    evaluation = evaluate([config], loaded, Execution())[0]
    assert_agrees(evaluation, judge(config, loaded))
    if scheme == "concat_all_examples" and family in DECODER_ONLY:
        assert evaluation.record.num_truncated > 0


@pytest.mark.parametrize("task", ["hellaswag", "webqs"])
@pytest.mark.parametrize("family", FAMILIES)
def test_ordinary_scoring_agrees_with_the_plain_way(family, task, data_dir):
    config = make_config(data_dir, "hf", task, None, {})
    loaded = load(family)
    assert_agrees(evaluate([config], loaded, Execution())[0], judge(config, loaded))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_description_is_a_sample_before_the_shots(family, data_dir):
    settings = {"WORD_AGG_SCHEME": "mean", "SIMILARITY_FUNC": "cosine_sim"}
    config = make_config(
        data_dir, "dist_sim", "hellaswag_d", "segment_each_example", settings, description="Finish it."
    )
    loaded = load(family)
    assert_agrees(evaluate([config], loaded, Execution())[0], judge(config, loaded))


def control(data_dir, kind: str, task: str, settings: dict[str, Any] | None = None, **named: Any) -> RunConfig:
    return make_config(data_dir, kind, task, "no_context", settings or {}, **named)


def random_choice_settings(rnd: random.Random, family: str) -> dict[str, Any]:
    """Draw a value for every setting of `dist_sim` that says something of choices."""
    of_contexts = ("SEGMENT_AGG_SCHEME", "EXAMPLE_AGG_SCHEME", "ADD_POS")
    drawn = random_settings(rnd, family, "dist_sim")
    return {key: value for key, value in drawn.items() if key not in of_contexts}


SIMILARITY = {"WORD_AGG_SCHEME": "w1mean", "SIMILARITY_FUNC": "dot_product"}


@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_choices_without_any_context_agree_with_the_plain_way_in_generation(family, is_full, data_dir):
    loaded = load(family)
    if is_full:  # the longest choice is as long as the model takes
        rows = read_rows(Path(data_dir) / "hellaswag" / "validation.jsonl")
        texts = [" " + ending for row in rows for ending in row["endings"]]
        loaded = load(family, max(map(len, loaded.tokenize(texts, special=False))))
    for task in ("hellaswag_dg", "webqs_dg"):
        for decoding in ({}, {"DECODING_SCHEME": "parameterless_attention"}):
            config = control(data_dir, "dist_gen", task, decoding, limit=None)
            evaluation = evaluate([config], loaded, Execution())[0]
            assert_agrees(evaluation, judge(config, loaded))
            assert evaluation.record.num_truncated == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_choices_without_any_context_agree_with_the_plain_way_in_similarity(family, data_dir):
    rnd = random.Random(f"control {family}")
    configs = [
        control(
            data_dir, "dist_sim", "hellaswag_d", random_choice_settings(rnd, family), limit=rnd.choice(["2", "1:3"])
        )
        for _ in range(6)
    ]
    for loaded in (load(family), load(family, 5)):  # the second cuts choices
        for config in configs:
            assert_agrees(evaluate([config], loaded, Execution())[0], judge(config, loaded))


@pytest.mark.parametrize("family", FAMILIES)
def test_company_changes_no_score_of_choices_without_context(family, data_dir):
    rnd = random.Random(f"controls {family}")
    configs = [control(data_dir, "dist_sim", "hellaswag_d", random_choice_settings(rnd, family)) for _ in range(6)]
    loaded = load(family)
    alone = [evaluate([config], loaded, Execution(batch_size=1))[0] for config in configs]
    together = evaluate(configs, loaded, Execution())
    assert scores_of(together) == pytest.approx(scores_of(alone), rel=TOLERANCE, abs=TOLERANCE)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("kind", "task", "settings"), [("dist_gen", "hellaswag_dg", {}), ("dist_sim", "hellaswag_d", SIMILARITY)]
)
def test_without_context_neither_shots_nor_description_nor_question_change_a_score(
    kind, task, settings, family, data_dir, tmp_path
):
    loaded = load(family)
    bare = scores_of(evaluate([control(data_dir, kind, task, settings, num_fewshot=0)], loaded, Execution()))
    told = control(data_dir, kind, task, settings, num_fewshot=2, description="Finish it.")
    assert scores_of(evaluate([told], loaded, Execution())) == bare
    rows = [{**row, "ctx_a": "Other."} for row in read_rows(Path(data_dir) / "hellaswag" / "validation.jsonl")]
    write_rows(tmp_path / "hellaswag" / "validation.jsonl", rows)  # and no rows to draw shots from
    other = control(tmp_path, kind, task, settings, num_fewshot=2)
    assert scores_of(evaluate([other], loaded, Execution())) == bare


@pytest.mark.parametrize("family", FAMILIES)
def test_without_context_only_choices_are_read_and_each_once(family, data_dir):
    loaded = load(family)
    rows: list[int] = []
    hook = loaded.blocks[0].register_forward_hook(lambda _module, args, _output: rows.append(args[0].shape[:2].numel()))
    try:
        config = control(data_dir, "dist_sim", "hellaswag_d", SIMILARITY)
        evaluation = evaluate([config], loaded, Execution(batch_size=1))[0]
        choices = [choice for document in evaluation.documents for choice in document.example.choices]
        tokens = loaded.tokenize(choices, special=loaded.is_encoder_decoder)
        assert sum(rows) == sum(map(len, dict.fromkeys(tokens)))
        rows.clear()
        evaluate([control(data_dir, "dist_gen", "hellaswag_dg")], loaded, Execution())
        if loaded.is_encoder_decoder:
            assert sum(rows) == 1  # the empty input, once for all documents
    finally:
        hook.remove()


@pytest.mark.parametrize("family", DECODER_ONLY)
def test_the_end_of_text_is_the_tokenizers_and_else_the_configs(family, data_dir):
    config = control(data_dir, "dist_gen", "hellaswag_dg")
    scores = []
    for eos_token, eos_token_id in (("<unk>", 1), (None, 2), (None, [2, 1]), ("</s>", 2)):
        network, tokenizer = tiny_model(family, max_length=LONG, eos_token_id=eos_token_id)
        tokenizer.eos_token = eos_token
        loaded = wrap_model(network, tokenizer, name=family)
        scores.append(scores_of(evaluate([config], loaded, Execution())))
    assert scores[0] == scores[1] == scores[2]
    assert scores[3] != pytest.approx(scores[0])


@pytest.mark.parametrize(
    ("eos_token_id", "message"),
    [
        (None, "gpt2 has no usable one (eos_token of the tokenizer, eos_token_id of the config: none); set one there"),
        (50_256, "eos_token_id of the config: 50256, beyond the 360 tokens that the model has); set one there"),
    ],
)
def test_a_model_without_end_of_text_cannot_score_without_context(eos_token_id, message, data_dir):
    network, tokenizer = tiny_model("gpt2", max_length=LONG, eos_token_id=eos_token_id)
    tokenizer.eos_token = None
    loaded = wrap_model(network, tokenizer, name="gpt2")
    with pytest.raises(RunError, match=re.escape(message)):
        evaluate([control(data_dir, "dist_gen", "hellaswag_dg")], loaded, Execution())
    evaluate([control(data_dir, "dist_sim", "hellaswag_d", SIMILARITY)], loaded, Execution())


def test_an_encoder_whose_tokenizer_adds_nothing_has_no_empty_input(data_dir):
    network, _ = tiny_model("t5", max_length=LONG)
    _, tokenizer = tiny_model("gpt2", max_length=LONG)
    loaded = wrap_model(network, tokenizer, name="t5")
    with pytest.raises(RunError, match="t5: the tokenizer adds no special tokens, so no_context has no input"):
        evaluate([control(data_dir, "dist_gen", "hellaswag_dg")], loaded, Execution())


def grouped_configs(data_dir, family: str, model: str) -> list[RunConfig]:
    rnd = random.Random(f"group {family}")
    task = {"dist_sim": "hellaswag_d", "dist_gen": "hellaswag_dg"}[model]
    drawn = [{**random_settings(rnd, family, model), "ADD_POS": None} for _ in range(8)]
    return [
        make_config(data_dir, model, task, "sentence_level_segmentation", settings, limit="2") for settings in drawn
    ]


@pytest.mark.parametrize("model", ["dist_sim", "dist_gen"])
@pytest.mark.parametrize("family", FAMILIES)
def test_neither_batch_size_nor_company_changes_a_score(family, model, data_dir):
    configs, loaded = grouped_configs(data_dir, family, model), load(family)
    alone = [evaluate([config], loaded, Execution(batch_size=1))[0] for config in configs]
    for execution in (Execution(), Execution(batch_size=1), Execution(batch_size=7)):
        together = evaluate(configs, loaded, execution)
        assert [evaluation.run.config for evaluation in together] == configs
        assert scores_of(together) == pytest.approx(scores_of(alone), rel=TOLERANCE, abs=TOLERANCE)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_document_scores_the_same_in_whatever_slice_it_lies(family, data_dir):
    loaded = load(family)
    whole = make_config(data_dir, "dist_gen", "hellaswag_dg", "cross_encoding", {}, limit="6")
    part = make_config(data_dir, "dist_gen", "hellaswag_dg", "cross_encoding", {}, limit="4:6")
    of_whole = {sample["doc_id"]: sample["scores"] for sample in evaluate([whole], loaded, Execution())[0].samples()}
    of_part = {sample["doc_id"]: sample["scores"] for sample in evaluate([part], loaded, Execution())[0].samples()}
    assert sorted(of_part) == [4, 5]
    for doc_id, scores in of_part.items():
        assert scores == pytest.approx(of_whole[doc_id], rel=TOLERANCE, abs=TOLERANCE)


def test_windows_of_documents_change_no_score(data_dir, set_windows, monkeypatch):
    configs, loaded = grouped_configs(data_dir, "gpt2", "dist_gen"), load("gpt2")
    whole = evaluate(configs, loaded, Execution())
    set_windows(1, 2)
    monkeypatch.setattr("lm_eval.inference.token_scores.MAX_LOGITS", 1)
    assert scores_of(evaluate(configs, loaded, Execution())) == pytest.approx(
        scores_of(whole), rel=TOLERANCE, abs=TOLERANCE
    )


@pytest.mark.parametrize("family", DECODER_ONLY)
def test_all_token_embeddings_in_place_of_tokens_are_the_baseline(family, data_dir):
    settings = {"WORD_AGG_SCHEME": "concat", "ENCODING_LAYER": "E"}
    vectors = make_config(data_dir, "dist_gen", "hellaswag_dg", "concat_all_examples", settings)
    baseline = make_config(data_dir, "dist_gen", "hellaswag_dg", "cross_encoding", {})
    for max_length in (LONG, SHORT):
        found = [evaluate([config], load(family, max_length), Execution()) for config in (vectors, baseline)]
        assert scores_of(found[0]) == pytest.approx(scores_of(found[1]), rel=TOLERANCE, abs=TOLERANCE)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_middle_layer_runs_no_deeper_block(family, data_dir):
    loaded = load(family)
    ran: list[int] = []
    hooks = [
        block.register_forward_hook(lambda *_args, index=index: ran.append(index))
        for index, block in enumerate(loaded.blocks)
    ]
    settings = {"WORD_AGG_SCHEME": "mean", "SIMILARITY_FUNC": "dot_product"}
    try:
        for layer, blocks in (("E", set()), ("0", set()), ("1", {0}), ("2", {0, 1}), (None, {0, 1, 2})):
            ran.clear()
            config = make_config(
                data_dir, "dist_sim", "hellaswag_d", "concat_each_example", {**settings, "ENCODING_LAYER": layer}
            )
            evaluate([config], loaded, Execution())
            assert set(ran) == blocks
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("family", FAMILIES)
def test_only_what_predicts_a_choice_is_projected_to_the_vocabulary(family, data_dir):
    loaded = load(family)
    rows: list[int] = []
    hook = loaded.output_head.register_forward_hook(
        lambda _module, args, _output: rows.append(args[0].shape[:-1].numel())
    )
    try:
        settings = {"WORD_AGG_SCHEME": "mean", "SIMILARITY_FUNC": "dot_product"}
        evaluate(
            [make_config(data_dir, "dist_sim", "hellaswag_d", "concat_each_example", settings)], loaded, Execution()
        )
        assert rows == []
        config = make_config(data_dir, "dist_gen", "hellaswag_dg", "cross_encoding", {}, limit="2")
        evaluation = evaluate([config], loaded, Execution())[0]
    finally:
        hook.remove()
    choices = [choice for document in evaluation.documents for choice in document.example.choices]
    assert sum(rows) == sum(len(tokens) for tokens in loaded.tokenize(choices, special=False))


@pytest.mark.parametrize("family", FAMILIES)
def test_no_hook_stays_behind(family, data_dir):
    loaded = load(family)
    settings = {"WORD_AGG_SCHEME": "mean", "ENCODING_LAYER": "1"}
    evaluate([make_config(data_dir, "dist_gen", "hellaswag_dg", "concat_each_example", settings)], loaded, Execution())
    assert not any(block._forward_pre_hooks for block in loaded.blocks)


def test_bfloat16_gives_finite_scores_near_those_of_float32(data_dir):
    settings = {"WORD_AGG_SCHEME": "mean", "ENCODING_LAYER": "0"}
    config = make_config(data_dir, "dist_gen", "hellaswag_dg", "sentence_level_segmentation", settings)
    for family in ("gpt2", *ENCODER_DECODER[:1]):
        network, tokenizer = tiny_model(family, max_length=LONG)
        halved = wrap_model(network.to(torch.bfloat16), tokenizer, name=family)
        exact = scores_of(evaluate([config], load(family), Execution()))
        found = scores_of(evaluate([config], halved, Execution()))
        assert all(math.isfinite(score) for score in found)
        assert found == pytest.approx(exact, rel=0.1)


def test_a_score_that_is_not_a_number_is_an_error(data_dir):
    network, tokenizer = tiny_model("gpt2", max_length=LONG)
    with torch.no_grad():
        network.lm_head.weight[5] = float("nan")
    broken = wrap_model(network, tokenizer, name="broken")
    config = make_config(data_dir, "dist_gen", "hellaswag_dg", "cross_encoding", {})
    with pytest.raises(RunError, match=r"the score of choice \d is nan, not a number"):
        evaluate([config], broken, Execution())[0].metrics()


def prompt(context: int, *choices: int) -> Prompt:
    return Prompt(context=tuple(range(3, 3 + context)), choices=tuple(tuple(range(5, 5 + count)) for count in choices))


@pytest.mark.parametrize("family", DECODER_ONLY)
def test_long_contexts_of_short_choices_are_batched_with_short_ones_of_long_choices(family):
    loaded = wrap_model(*tiny_model(family, max_length=24), name=family)
    prompts = [prompt(23, 2, 2), prompt(10, 10, 1), prompt(1, 24, 3), prompt(24, 1, 1), prompt(5, 18, 2)]
    together, alone = (
        score_prompts(loaded, prompts, Batcher(BatchBudget(max_rows=max_rows))) for max_rows in (None, 1)
    )
    for batched, single in zip(together, alone, strict=True):
        assert [score.log_probability for score in batched] == pytest.approx(
            [score.log_probability for score in single], rel=TOLERANCE, abs=TOLERANCE
        )


def test_of_equally_probable_tokens_only_the_first_is_greedy(monkeypatch):
    network, tokenizer = tiny_model("gpt2", max_length=24)
    with torch.no_grad():
        network.lm_head.weight.zero_()
    loaded = wrap_model(network, tokenizer, name="undecided")
    scores = score_prompts(
        loaded, [Prompt(context=(3, 4), choices=((0,), (1,), (0, 0), (0, 1)))], Batcher(BatchBudget())
    )
    assert [score.is_exact_match for score in scores[0]] == [True, False, True, False]
