"""Tokens in front and blanks between texts, for every form of tokenizer, against the plain way (experiment §9)."""

import random

import pytest

from lm_eval.config.run_config import SEGMENTING_SCHEMES
from lm_eval.config.runtime import Execution
from lm_eval.errors import ConfigurationError
from tests.support.judging import SHORT, TOLERANCE, assert_agrees, judge, make_config, random_settings, scores_of
from tests.support.runs import evaluate
from tests.support.tokenizer_forms import AROUND, BODIES, HAVE_PREFIX, load_with_tokenizer

FORMS = [
    (body, around)
    for row, body in enumerate(BODIES)
    for column, around in enumerate(AROUND)
    if (row + column) % len(AROUND) in (0, 2)
]
"""Two a body, four or more of each way around."""


def draw(rnd: random.Random, family: str, model: str) -> dict:
    drawn = random_settings(rnd, family, model)
    free = [None, "True", "False"] if not drawn.get("DECODING_SCHEME") else [None, "False"]
    return {**drawn, "ADD_BOS": rnd.choice(free)}


@pytest.mark.parametrize("model", ["dist_sim", "dist_gen"])
@pytest.mark.parametrize(("body", "around"), FORMS)
def test_random_settings_agree_with_the_plain_way(body, around, model, data_dir):
    rnd = random.Random(f"{body} {around} {model}")
    task = {"dist_sim": "hellaswag_d", "dist_gen": "hellaswag_dg"}[model]
    family = rnd.choice(["llama", "gemma2", "mistral", "bloom", "gpt2", "opt", "qwen3", "mpt"])
    loaded = load_with_tokenizer(family, body, around)
    for _ in range(4):
        scheme = rnd.choice(SEGMENTING_SCHEMES)
        config = make_config(data_dir, model, task, scheme, draw(rnd, family, model), limit="2")
        assert_agrees(evaluate([config], loaded, Execution())[0], judge(config, loaded))


@pytest.mark.parametrize("scheme", ["cross_encoding", "no_context"])
@pytest.mark.parametrize(("body", "around"), FORMS)
def test_whole_contexts_and_none_agree_with_the_plain_way(body, around, scheme, data_dir):
    loaded = load_with_tokenizer("llama", body, around)
    for add_bos in (None, "True", "False"):
        config = make_config(data_dir, "dist_gen", "hellaswag_dg", scheme, {"ADD_BOS": add_bos}, limit="2")
        assert_agrees(evaluate([config], loaded, Execution())[0], judge(config, loaded))


@pytest.mark.parametrize("task", ["hellaswag", "webqs"])
@pytest.mark.parametrize(("body", "around"), FORMS)
def test_ordinary_scoring_agrees_with_the_plain_way(body, around, task, data_dir):
    loaded = load_with_tokenizer("llama", body, around)
    config = make_config(data_dir, "hf", task, None, {}, limit="2")
    assert_agrees(evaluate([config], loaded, Execution())[0], judge(config, loaded))


@pytest.mark.parametrize("scheme", [*SEGMENTING_SCHEMES, "cross_encoding"])
@pytest.mark.parametrize("family", ["llama", "bloom", "mistral", "gpt2"])
def test_what_is_too_long_is_cut_behind_the_tokens_in_front(family, scheme, data_dir):
    loaded = load_with_tokenizer(family, "prepend", "two in front", SHORT)
    settings = {"ADD_BOS": "True"} | ({} if scheme == "cross_encoding" else {"WORD_AGG_SCHEME": "concat"})
    config = make_config(data_dir, "dist_gen", "hellaswag_dg", scheme, settings, limit="2")
    assert_agrees(evaluate([config], loaded, Execution())[0], judge(config, loaded))


@pytest.mark.parametrize(("body", "around"), FORMS)
def test_all_token_embeddings_in_place_of_tokens_are_the_baseline(body, around, data_dir):
    loaded = load_with_tokenizer("llama", body, around)
    every = {"WORD_AGG_SCHEME": "concat", "ENCODING_LAYER": "E"}
    for add_bos in (None, "False"):
        stated = {"ADD_BOS": add_bos}
        vectors = make_config(data_dir, "dist_gen", "hellaswag_dg", "concat_all_examples", {**every, **stated})
        baseline = make_config(data_dir, "dist_gen", "hellaswag_dg", "cross_encoding", stated)
        scores, expected = (scores_of(evaluate([config], loaded, Execution())) for config in (vectors, baseline))
        assert scores == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE)


def test_layers_of_which_some_read_nothing_share_a_call_and_change_nothing(data_dir):
    loaded = load_with_tokenizer("llama", "metaspace first", "BOS", SHORT)
    fixed = {"WORD_AGG_SCHEME": "w1mean", "SIMILARITY_FUNC": "cosine_sim"}
    layers = [
        {"ENCODING_LAYER": layer, "OUT_ENCODING_LAYER": out} for layer in ("E", "1", None) for out in ("OE", None)
    ]
    configs = [
        make_config(data_dir, "dist_sim", "hellaswag_d", "concat_all_examples", {**fixed, **one}) for one in layers
    ]
    together = evaluate(configs, loaded, Execution())
    assert [evaluation.run.config for evaluation in together] == configs
    for config, evaluation in zip(configs, together, strict=True):
        assert_agrees(evaluation, judge(config, loaded))


@pytest.mark.parametrize("body", BODIES)
def test_a_choice_has_the_tokens_that_it_has_behind_text(body):
    model = load_with_tokenizer("llama", body, "BOS")
    context, choice = "A man is in a raft", " the water"
    joined, alone = model.tokenize([context + choice, context], special=False)
    assert joined == alone + model.tokenize([choice], special=False, goes_on=True)[0]
    assert model.borders.has_dummy_prefix is (body in HAVE_PREFIX)


def test_a_tokenizer_that_names_no_token_to_begin_with_is_refused(data_dir):
    loaded = load_with_tokenizer("llama", "byte level", "none")
    loaded.tokenizer.bos_token = None
    loaded.network.config.bos_token_id = None
    config = make_config(data_dir, "dist_gen", "hellaswag_dg", "cross_encoding", {"ADD_BOS": "True"})
    with pytest.raises(ConfigurationError, match="ADD_BOS=True: llama has a tokenizer that puts nothing in front"):
        evaluate([config], loaded, Execution())
