"""Families beyond the paper's, and families without a row: each against the slow, obvious implementation."""

import random
import re
from dataclasses import replace

import pytest
import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module, attach_align_device_hook

from lm_eval.config.run_config import SEGMENTING_SCHEMES, RunConfig
from lm_eval.config.runtime import Execution
from lm_eval.errors import ConfigurationError
from lm_eval.inference.conformance import check_sharing, check_structure
from lm_eval.inference.loading import wrap_model
from lm_eval.inference.trials import Check
from lm_eval.models.compatibility import check_against_model
from lm_eval.models.families import FAMILIES as TABLE
from lm_eval.models.families import find_family
from lm_eval.models.info import ModelFacts
from lm_eval.models.language_model import LanguageModel
from tests.support.judging import (
    SHORT,
    TOLERANCE,
    assert_agrees,
    judge,
    load,
    make_config,
    random_settings,
    scores_of,
)
from tests.support.runs import evaluate
from tests.support.tiny_families import (
    LATER_DECODER_ONLY,
    LATER_ENCODER_DECODER,
    UNKNOWN_DECODER_ONLY,
    UNKNOWN_ENCODER_DECODER,
)
from tests.support.tiny_models import tiny_model

LATER = (*LATER_DECODER_ONLY, *LATER_ENCODER_DECODER)
UNKNOWN = (*UNKNOWN_DECODER_ONLY, *UNKNOWN_ENCODER_DECODER)
DECODER_ONLY = (*LATER_DECODER_ONLY, *UNKNOWN_DECODER_ONLY)


def facts_of(model: LanguageModel) -> ModelFacts:
    config = model.network.config.to_dict()
    return ModelFacts(name=model.name, family=model.family, num_layers=model.num_layers, config=config)


def fitting_settings(rnd: random.Random, config_of, model: LanguageModel) -> RunConfig:
    """Draw configurations until one fits the model; where its layers differ in width, not all do."""
    while True:
        config = config_of(rnd)
        try:
            check_against_model(config, facts_of(model))
        except ConfigurationError:
            continue
        return config


@pytest.mark.parametrize("model", ["dist_sim", "dist_gen"])
@pytest.mark.parametrize("family", [*LATER, *UNKNOWN])
def test_random_settings_agree_with_the_plain_way(family, model, data_dir):
    tasks = {"dist_sim": ["hellaswag_d"], "dist_gen": ["hellaswag_dg", "webqs_dg"]}[model]

    def draw(rnd: random.Random) -> RunConfig:
        settings = random_settings(rnd, family, model)
        if not drawn and model == "dist_gen":  # for each family once
            settings["WORD_AGG_SCHEME"] = "chunk2"
        settings["ADD_POS"] = rnd.choice(["True", None]) if family in ("opt", "gpt_bigcode") else None
        return make_config(
            data_dir, model, rnd.choice(tasks), rnd.choice(SEGMENTING_SCHEMES), settings,
            num_fewshot=rnd.choice([0, 2]), limit=rnd.choice(["1", "1:3"]),
        )  # fmt: skip

    rnd, loaded, drawn = random.Random(f"{family} {model}"), load(family), list[RunConfig]()
    while len(drawn) < 3:
        drawn.append(fitting_settings(rnd, draw, loaded))
        assert_agrees(evaluate(drawn[-1:], loaded, Execution())[0], judge(drawn[-1], loaded))


@pytest.mark.parametrize("family", [*LATER, *UNKNOWN])
def test_contexts_longer_than_the_model_takes_agree_with_the_plain_way(family, data_dir):
    loaded = load(family, SHORT)
    for scheme in ("cross_encoding", "concat_each_example"):
        settings = {} if scheme == "cross_encoding" else {"WORD_AGG_SCHEME": "concat", "NORM": "zNorm"}
        config = make_config(data_dir, "dist_gen", "hellaswag_dg", scheme, settings, limit="1")
        assert_agrees(evaluate([config], loaded, Execution())[0], judge(config, loaded))


@pytest.mark.parametrize("family", [*LATER, *UNKNOWN])
def test_neither_batch_size_nor_company_changes_a_score(family, data_dir):
    loaded = load(family)
    layers = ("E", None, "-1") if family == "opt_narrow" else ("E", "1", None)
    configs = [
        make_config(
            data_dir, "dist_gen", "hellaswag_dg", "sentence_level_segmentation",
            {"WORD_AGG_SCHEME": scheme, "ENCODING_LAYER": layer}, limit="2",
        )
        for scheme, layer in zip(("mean", "w1mean", "concat"), layers, strict=True)
    ]  # fmt: skip
    alone = [evaluate([config], loaded, Execution(batch_size=1))[0] for config in configs]
    for execution in (Execution(), Execution(batch_size=7)):
        together = evaluate(configs, loaded, execution)
        assert scores_of(together) == pytest.approx(scores_of(alone), rel=TOLERANCE, abs=TOLERANCE)


@pytest.mark.parametrize("family", DECODER_ONLY)
def test_all_token_embeddings_in_place_of_tokens_are_the_baseline(family, data_dir):
    settings = {"WORD_AGG_SCHEME": "concat", "ENCODING_LAYER": "E"}
    vectors = make_config(data_dir, "dist_gen", "hellaswag_dg", "concat_all_examples", settings)
    baseline = make_config(data_dir, "dist_gen", "hellaswag_dg", "cross_encoding", {})
    found = [evaluate([config], load(family), Execution()) for config in (vectors, baseline)]
    assert scores_of(found[0]) == pytest.approx(scores_of(found[1]), rel=TOLERANCE, abs=TOLERANCE)


@pytest.mark.parametrize("family", [*LATER, *UNKNOWN])
def test_every_promise_of_a_row_holds(family):
    loaded = load(family)
    faults = [check for check in check_structure(loaded) if check.fault is not None]
    if family == "opt_narrow":
        assert [check.what for check in faults] == ["embeddings are as wide as hidden states"]
    else:
        assert faults == []
    assert check_sharing(loaded).fault is None


@pytest.mark.parametrize("family", ["llama", "opt", "gemma3", "bart", "t5gemma"])
def test_hooks_that_move_tensors_between_devices_are_left_in_place(family):
    network, tokenizer = tiny_model(family)
    attach_align_device_hook(network, execution_device="cpu", offload=False)
    add_hook_to_module(network, AlignDevicesHook(io_same_device=True), append=True)
    hooked = {name: module.__dict__.get("forward") for name, module in network.named_modules()}
    loaded = wrap_model(network, tokenizer, name=family)
    assert [check for check in (*check_structure(loaded), check_sharing(loaded)) if check.fault is not None] == []
    assert {name: module.__dict__.get("forward") for name, module in network.named_modules()} == hooked


def test_a_release_that_gets_a_family_wrong_is_refused_not_used(monkeypatch):
    wrong = Check(what="choices share a context", fault="values differ by 2.3e-02, more than 1e-04")
    monkeypatch.setattr("lm_eval.inference.conformance.check_sharing", lambda _model: wrong)
    with pytest.raises(ConfigurationError, match=r"scores its choices otherwise in a batch than alone \(values"):
        wrap_model(*tiny_model("umt5"), name="mine")
    wrap_model(*tiny_model("llama"), name="mine")  # known to be right


def test_lengths_that_turn_the_rotation_are_never_mixed():
    loaded = load("phi3_turning")
    assert (loaded.turning_length, loaded.family.sharing) == (24, "none")
    assert loaded.batched_together([30, 24, 3, 25]) == [[1, 2], [0, 3]]
    assert loaded.batched_together([30, 25]) == [[0, 1]]
    assert load("llama").batched_together([30, 24, 3]) == [[0, 1, 2]]
    assert load("llama").batched_together([]) == []


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("dist_sim", {"SIMILARITY_FUNC": "dot_product", "OUT_ENCODING_LAYER": "OE"}, "OUT_ENCODING_LAYER=OE: the enc"),
        ("dist_gen", {"DECODING_SCHEME": "parameterless_attention"}, "DECODING_SCHEME=parameterless_attention: the"),
        ("dist_gen", {}, None),
    ],
)
def test_an_encoder_wider_than_its_decoder_goes_as_far_as_it_can(model, settings, message, data_dir):
    task = {"dist_sim": "hellaswag_d", "dist_gen": "hellaswag_dg"}[model]
    config = make_config(data_dir, model, task, "concat_each_example", {"WORD_AGG_SCHEME": "mean", **settings})
    loaded = load("t5gemma_unbalanced")
    if message is not None:
        with pytest.raises(ConfigurationError, match=re.escape(message)):
            check_against_model(config, facts_of(loaded))
        return
    check_against_model(config, facts_of(loaded))
    assert_agrees(evaluate([config], loaded, Execution())[0], judge(config, loaded))


def test_every_row_of_the_table_is_tried():
    tried = {load(family).network.config.model_type for family in LATER}
    assert set(TABLE) - tried == {"gpt2", "gpt_neo", "gptj", "gpt_neox", "bloom", "t5", "mt5"}


@pytest.mark.parametrize(
    ("family", "sharing"), [("cohere", "row"), ("gpt_oss", "none"), ("codegen", "row"), ("blenderbot", "none")]
)
def test_a_family_without_a_row_takes_the_fastest_way_that_is_exact(family, sharing, caplog):
    network, tokenizer = tiny_model(family)
    loaded = wrap_model(network, tokenizer, name="mine")
    assert loaded.family.is_generic
    assert loaded.family.sharing == sharing
    assert f"mine: its type '{network.config.model_type}' has no row in the table of families" in caplog.text


@pytest.mark.parametrize(("family", "sharing"), [("mistral", "cache"), ("mistral_full", "row"), ("qwen2", "row")])
def test_a_window_of_attention_decides_how_a_context_is_shared(family, sharing):
    assert load(family).family.sharing == sharing


def test_a_wrong_way_of_sharing_is_noticed():
    for family, wrong in (("mpt", "row"), ("bart", "row"), ("falcon_alibi", "row"), ("mistral", "row")):
        loaded = load(family)
        assert check_sharing(replace(loaded, family=replace(loaded.family, sharing=wrong))).fault is not None


def test_a_family_that_the_experiment_does_not_fit_is_refused_with_the_reason():
    network, tokenizer = tiny_model("cohere")
    network.model.layers[1].register_forward_hook(lambda _module, _args, output: output + torch.randn(output.shape))
    message = "mine: its type 'cohere' has no row in the table of families, and the experiment doesn't fit it: "
    with pytest.raises(ConfigurationError, match=re.escape(message) + r"[a-z ]+: values differ by"):
        wrap_model(network, tokenizer, name="mine")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"model_type": "bert", "architectures": ["BertForMaskedLM"]},
            "x: model type 'bert' (BertForMaskedLM) scores no text; choose a causal or a sequence-to-sequence",
        ),
        ({}, "x: its config names no model_type"),
    ],
)
def test_what_scores_no_text_is_refused_by_its_config(config, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        find_family(config, "x")


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        (
            "dist_gen",
            {"ENCODING_LAYER": "1"},
            "ENCODING_LAYER=1: the inner layers of opt_narrow have 32 components, its",
        ),
        (
            "dist_sim",
            {"ENCODING_LAYER": "1", "OUT_ENCODING_LAYER": "E", "SIMILARITY_FUNC": "dot_product"},
            "ENCODING_LAYER=1, OUT_ENCODING_LAYER=E: the inner layers of opt_narrow have 32 components, E, OE and",
        ),
        ("dist_gen", {"ENCODING_LAYER": "E", "ADD_POS": "True"}, "the position embeddings of opt_narrow have 32"),
    ],
)
def test_layers_of_another_width_are_refused_before_anything_runs(model, settings, message, data_dir):
    task = {"dist_sim": "hellaswag_d", "dist_gen": "hellaswag_dg"}[model]
    config = make_config(data_dir, model, task, "concat_each_example", {"WORD_AGG_SCHEME": "mean", **settings})
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        check_against_model(config, facts_of(load("opt_narrow")))
