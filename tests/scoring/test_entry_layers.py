"""Vectors that enter the residual stream at a block (`DECODING_LAYER`, experiment §10)."""

import pytest

from lm_eval.config.layer import Layer
from lm_eval.config.runtime import Execution
from lm_eval.config.settings import VectorSettings
from lm_eval.errors import ConfigurationError, RunError
from lm_eval.models.compatibility import check_against_model
from lm_eval.models.families import FAMILIES
from lm_eval.models.info import ModelFacts
from lm_eval.results.canonical_form import canonical
from lm_eval.tasks.registry import find_task
from tests.support.judging import TOLERANCE, load, make_config, scores_of
from tests.support.runs import evaluate
from tests.support.tiny_families import LATER_DECODER_ONLY, PAPER_DECODER_ONLY

CHANGES_EMBEDDINGS = ("gpt2", "gpt_neo", "bloom", "gpt_bigcode", "opt")
"""Families that do something to `inputs_embeds` before their first block."""
ATTENDING = [family for family in (*PAPER_DECODER_ONLY, *LATER_DECODER_ONLY) if family not in ("mamba", "opt_narrow")]


def config_of(data_dir, scheme="concat_each_example", **settings):
    return make_config(data_dir, "dist_gen", "hellaswag_dg", scheme, {"WORD_AGG_SCHEME": "mean", **settings})


def scores(config, model, **execution):
    return scores_of(evaluate([config], model, Execution(**execution)))


@pytest.mark.parametrize("family", ATTENDING)
def test_entering_at_block_0_is_standing_as_an_embedding_where_these_are_left_alone(family, data_dir):
    model = load(family)
    entering, standing = (config_of(data_dir, ENCODING_LAYER="1", DECODING_LAYER=layer) for layer in ("0", None))
    are_equal = scores(entering, model) == pytest.approx(scores(standing, model), rel=TOLERANCE, abs=TOLERANCE)
    assert are_equal is (family not in CHANGES_EMBEDDINGS)


@pytest.mark.parametrize("family", ATTENDING)
def test_all_states_that_enter_where_they_come_from_are_the_baseline(family, data_dir):
    model = load(family)
    every = {"WORD_AGG_SCHEME": "concat", "ENCODING_LAYER": "0", "DECODING_LAYER": "same"}
    baseline = make_config(data_dir, "dist_gen", "hellaswag_dg", "cross_encoding", {})
    found = scores(config_of(data_dir, "concat_all_examples", **every), model)
    assert found == pytest.approx(scores(baseline, model), rel=TOLERANCE, abs=TOLERANCE)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neo", "bloom", "gpt_neox", "llama", "gemma3_text", "mpt"])
def test_neither_batch_size_nor_company_changes_a_score_of_vectors_that_enter(family, data_dir):
    model = load(family)
    layers = ("0", "1", "middle", None)
    configs = [config_of(data_dir, ENCODING_LAYER="1", DECODING_LAYER=layer) for layer in layers]
    alone = [score for config in configs for score in scores(config, model, batch_size=1)]
    for size in (None, 7):
        together = scores_of(evaluate(configs, model, Execution(batch_size=size)))
        assert together == pytest.approx(alone, rel=TOLERANCE, abs=TOLERANCE)
    assert len({round(alone[start], 4) for start in range(0, len(alone), len(alone) // len(layers))}) > 2


@pytest.mark.parametrize("family", ["granite", "cohere", "mixtral", "gpt_oss", "codegen"])
def test_a_family_without_a_row_is_tried_before_vectors_enter_it(family, data_dir):
    model = load(family)
    entering, standing = (config_of(data_dir, ENCODING_LAYER="1", DECODING_LAYER=layer) for layer in ("0", None))
    are_equal = scores(entering, model) == pytest.approx(scores(standing, model), rel=TOLERANCE, abs=TOLERANCE)
    assert are_equal is (family != "granite")  # which scales its embeddings
    deeper = config_of(data_dir, ENCODING_LAYER="1", DECODING_LAYER="1")
    assert scores(deeper, model) == pytest.approx(scores(deeper, model, batch_size=1), rel=TOLERANCE, abs=TOLERANCE)


def test_a_model_whose_positions_cannot_be_hidden_is_refused(data_dir, monkeypatch):
    monkeypatch.setattr("lm_eval.inference.injection._without", lambda mask, _covered, _dtype: mask)
    with pytest.raises(RunError, match="granite: DECODING_LAYER=1: what stands behind hidden positions changes with"):
        scores(config_of(data_dir, ENCODING_LAYER="1", DECODING_LAYER="1"), load("granite"))


def test_no_hook_stays_behind(data_dir):
    model = load("gpt2")
    scores(config_of(data_dir, ENCODING_LAYER="1", DECODING_LAYER="2"), model)
    assert not any(block._forward_pre_hooks for block in model.blocks)


@pytest.mark.parametrize(
    ("layers", "same"),
    [({"ENCODING_LAYER": "E"}, "0"), ({"ENCODING_LAYER": "1"}, "1"), ({"ENCODING_LAYER": "-2"}, "-2")],
)
def test_same_names_the_layer_that_vectors_come_from(layers, same, data_dir):
    dataset = find_task("dist_gen", "hellaswag_dg", None).dataset
    forms = [canonical(config_of(data_dir, **layers, DECODING_LAYER=entry), dataset) for entry in ("same", same)]
    assert forms[0] == forms[1]
    assert forms[0].vectors.decoding_layer == Layer.parse(same)


@pytest.mark.parametrize(
    ("kind", "scheme", "settings", "message"),
    [
        ("dist_gen", "cross_encoding", {}, "cross_encoding aggregates nothing"),
        ("dist_gen", "no_context", {}, "no_context aggregates nothing"),
        (
            *("dist_gen", "concat_each_example"),
            {"WORD_AGG_SCHEME": "mean", "DECODING_SCHEME": "parameterless_attention"},
            "attention without parameters has no layers to enter",
        ),
        (
            *("dist_sim", "concat_each_example"),
            {"WORD_AGG_SCHEME": "mean", "SIMILARITY_FUNC": "cosine_sim"},
            "dist_sim decodes nothing",
        ),
    ],
)
def test_where_nothing_enters_a_layer_is_refused(kind, scheme, settings, message, data_dir):
    task = {"dist_gen": "hellaswag_dg", "dist_sim": "hellaswag_d"}[kind]
    with pytest.raises(ConfigurationError, match=f"DECODING_LAYER=1: {message}"):
        make_config(data_dir, kind, task, scheme, {**settings, "DECODING_LAYER": "1"})


@pytest.mark.parametrize("text", ["E", "OE", "last", "1.5"])
def test_a_value_that_is_no_block_is_refused_with_the_valid_ones(text):
    with pytest.raises(
        ConfigurationError, match=r"DECODING_LAYER: unknown value .* choose from None, middle, same, or an"
    ):
        VectorSettings.parse(DECODING_LAYER=text)


@pytest.mark.parametrize(
    ("family", "settings", "message"),
    [
        (
            "gpt2",
            {"DECODING_LAYER": "3"},
            r"has 3 blocks; choose from 0 to 2, -4 to -2, middle, or same for a layer that",
        ),
        ("gpt2", {"DECODING_LAYER": "-1"}, "has no block behind its last hidden state"),
        ("gpt2", {"DECODING_LAYER": "same"}, "has no block behind its last hidden state"),
        ("gpt2", {"DECODING_LAYER": "9"}, "has 3 blocks; choose from 0 to 2"),
        ("t5", {"DECODING_LAYER": "1"}, "is an encoder-decoder, whose decoder reads vectors in every block"),
        ("mamba", {"DECODING_LAYER": "1"}, "has blocks without attention, in which nothing can be hidden"),
    ],
)
def test_a_layer_that_nothing_can_enter_is_refused_before_a_model_is_loaded(family, settings, message, data_dir):
    facts = ModelFacts(name="tiny", family=FAMILIES[family], num_layers=3, config={})
    with pytest.raises(ConfigurationError, match=message):
        check_against_model(config_of(data_dir, **settings), facts)
