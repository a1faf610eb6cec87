"""Settings: which values they take, and their `KEY=value` form."""

import os
import pickle
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_eval.common.text import format_pairs, parse_pairs, read_pairs
from lm_eval.config.layer import Layer
from lm_eval.config.settings import SETTING_NAMES, SETTINGS, VectorSettings
from lm_eval.config.token_aggregation import TokenAggregation
from lm_eval.errors import ConfigurationError

PREFIXES = (
    *("", "relu|", "relu+|", "-relu|", "-relu+|", "relu|zNorm|", "relu|zNorm+|", "-relu|zNorm|", "-relu|zNorm+|"),
)

keys = st.text("ABCdef_", min_size=1)
values = st.text("abcXYZ012 ./|+-=:", min_size=1).map(str.strip).filter(lambda text: text not in ("", "None"))


def test_pairs_are_read_with_blanks_and_further_equals_signs():
    assert parse_pairs("NORM=L2, pretrained=a/b=c ,", "model_args") == {"NORM": "L2", "pretrained": "a/b=c"}


def test_none_stands_for_no_value():
    assert parse_pairs("NORM=None", "model_args") == {"NORM": None}
    with pytest.raises(ConfigurationError, match="model_args: dtype= has no value; write dtype=None or leave it out"):
        parse_pairs("dtype=", "model_args")


@pytest.mark.parametrize("text", [None, "", " ", ",", " , "])
def test_no_text_is_no_pairs(text):
    assert parse_pairs(text, "task_args") == {}


@given(st.dictionaries(keys, st.none() | values))
def test_what_is_formatted_is_parsed_back(pairs):
    assert parse_pairs(format_pairs(pairs), "model_args") == pairs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("NORM", "model_args: expected KEY=value,KEY=value, got 'NORM' (values cannot contain a comma)"),
        ("NORM=L2,x", "model_args: expected KEY=value,KEY=value, got 'x' (values cannot contain a comma)"),
        ("=L2", "model_args: expected KEY=value,KEY=value, got '=L2'"),
        (" =L2", "model_args: expected KEY=value,KEY=value, got ' =L2'"),
        ("NORM=L2,dtype=float16,NORM=L2", "model_args: NORM is given twice"),
        ("NORM=L2, NORM=None", "model_args: NORM is given twice"),
    ],
)
def test_pairs_of_another_form_are_refused(text, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        parse_pairs(text, "model_args")


def test_keywords_mean_what_the_same_text_means():
    keywords = {"NORM": "L2", "ENCODING_LAYER": 0, "ADD_POS": True, "dtype": None, "revision": "None"}
    assert read_pairs(keywords, "model_args") == parse_pairs(format_pairs(keywords), "model_args")
    assert read_pairs("NORM=L2", "model_args") == {"NORM": "L2"}
    assert read_pairs(None, "task_args") == {}
    with pytest.raises(ConfigurationError, match="model_args: dtype= has no value; write dtype=None or leave it out"):
        read_pairs({"dtype": ""}, "model_args")


VALID = {
    "WORD_AGG_SCHEME": [
        prefix + base for prefix in PREFIXES for base in ("mean", "w1mean", "last", "concat", "chunk12")
    ],
    "SEGMENT_AGG_SCHEME": ["mean"],
    "EXAMPLE_AGG_SCHEME": ["mean", "soft_cluster"],
    "NORM": ["L2", "varNorm", "zNorm"],
    "SIMILARITY_FUNC": ["dot_product", "cosine_sim"],
    "ENCODING_LAYER": ["middle", "E", "0", "7", "-1", "-12"],
    "OUT_WORD_AGG_SCHEME": ["mean", "relu+|last"],
    "OUT_ENCODING_LAYER": ["middle", "E", "OE", "0", "-2"],
    "ADD_POS": ["True"],
    "ADD_BOS": ["True", "False"],
    "DECODING_SCHEME": ["parameterless_attention"],
    "DECODING_LAYER": ["middle", "same", "0", "7", "-2"],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, several in VALID.items() for value in several])
def test_a_valid_value_is_kept_under_its_public_name(key, value):
    settings = VectorSettings.parse(**{key.lower(): value})
    assert settings.public() == {**dict.fromkeys(SETTING_NAMES), key: value}


def test_every_setting_is_tested_above_and_is_none_unless_given():
    assert tuple(VALID) == tuple(VectorSettings().public()) != ()
    assert set(VectorSettings().public().values()) == {None}


def test_add_pos_false_is_the_same_as_none():
    assert VectorSettings.parse(add_pos="False") == VectorSettings()


def test_settings_are_read_by_public_names_or_in_lower_case_and_none_is_no_value():
    settings = VectorSettings.parse(WORD_AGG_SCHEME="relu|last", norm="L2", ENCODING_LAYER=-2, add_pos=True, NORM=None)
    assert settings == VectorSettings(
        word_agg_scheme=TokenAggregation("last", "relu|"), norm="L2", encoding_layer=Layer(-2), add_pos=True
    )
    assert VectorSettings.parse(**settings.public()) == settings
    assert VectorSettings.parse(norm="None") == VectorSettings()


def test_an_unknown_setting_is_refused_with_the_known_ones():
    with pytest.raises(ConfigurationError, match="unknown setting NOISE; choose from WORD_AGG_SCHEME, SEGMENT_AGG_SCH"):
        VectorSettings.parse(noise="1")


@pytest.mark.parametrize(
    "given", [{"word_agg_scheme": "mean"}, {"encoding_layer": "-1"}, {"add_pos": "False"}, {"add_pos": "True"}]
)
def test_text_in_place_of_a_value_is_refused(given):
    ((key, text),) = given.items()
    with pytest.raises(ConfigurationError, match=f"{key.upper()}: '{text}' is text, which VectorSettings.parse reads"):
        VectorSettings(**given)


@pytest.mark.parametrize("given", [{"norm": "l2"}, {"encoding_layer": Layer("OE")}, {"add_pos": 1.5}])
def test_a_value_that_its_setting_does_not_take_is_refused(given):
    with pytest.raises(ConfigurationError, match="unknown value"):
        VectorSettings(**given)


def test_choices_are_encoded_like_the_context_unless_said_otherwise():
    like = VectorSettings.parse(word_agg_scheme="mean")
    assert (like.context_layer, like.choice_layer) == (Layer(-1), Layer(-1))
    assert like.choice_aggregation == like.context_aggregation == TokenAggregation("mean")
    other = VectorSettings.parse(
        word_agg_scheme="mean", encoding_layer="0", out_encoding_layer="OE", out_word_agg_scheme="last"
    )
    assert (other.context_layer, other.choice_layer) == (Layer(0), Layer("OE"))
    assert other.choice_aggregation == TokenAggregation("last")


def test_what_a_configuration_must_have_is_named_where_it_is_missing():
    with pytest.raises(ConfigurationError, match="WORD_AGG_SCHEME= is missing"):
        _ = VectorSettings().context_aggregation
    with pytest.raises(ConfigurationError, match="SIMILARITY_FUNC= is missing"):
        _ = VectorSettings().similarity


_TOKEN_AGGREGATIONS = (
    "choose from mean, w1mean, last, concat, chunkN, optionally after one of relu|, relu+|, -relu|, -relu+|"
)

INVALID = [
    *(
        ("word_agg_scheme", value, _TOKEN_AGGREGATIONS)
        for value in ("median", "", "Mean", "|mean", "relu|", "relu mean")
    ),
    *(("word_agg_scheme", value, _TOKEN_AGGREGATIONS) for value in ("gelu|mean", "relu||mean", "+relu|mean")),
    *(("word_agg_scheme", value, _TOKEN_AGGREGATIONS) for value in ("zNorm|mean", "relu+|zNorm|mean", "relu|L2|mean")),
    ("out_word_agg_scheme", "max", _TOKEN_AGGREGATIONS),
    ("segment_agg_scheme", "last", "choose from None, mean"),
    ("segment_agg_scheme", "soft_cluster", "choose from None, mean"),
    ("example_agg_scheme", "concat", "choose from None, mean, soft_cluster"),
    ("norm", "l2", "choose from None, L2, varNorm, zNorm"),
    ("norm", "", "choose from None, L2, varNorm, zNorm"),
    ("similarity_func", "cosine", "choose from None, dot_product, cosine_sim"),
    ("add_pos", "true", "choose from None, True, False"),
    ("add_pos", "1", "choose from None, True, False"),
    ("decoding_scheme", "greedy", "choose from None, parameterless_attention"),
    ("encoding_layer", "OE", "choose from None, middle, E, or an integer"),
    ("encoding_layer", "1.5", "choose from None, middle, E, or an integer"),
    ("encoding_layer", "+1", "choose from None, middle, E, or an integer"),
    ("encoding_layer", "", "choose from None, middle, E, or an integer"),
    ("decoding_layer", "last", "choose from None, middle, same, or an integer"),
    ("out_encoding_layer", "--1", "choose from None, middle, E, OE, or an integer"),
]


@pytest.mark.parametrize("key", SETTING_NAMES)
def test_what_tables_show_for_a_setting_that_is_not_set_leaves_it_so(key):
    for text in (SETTINGS[key].unset, "none", "None", "NONE"):
        assert VectorSettings.parse(**{key: text}) == VectorSettings()


def test_the_last_layer_may_be_named():
    assert VectorSettings.parse(out_encoding_layer="last") == VectorSettings.parse(out_encoding_layer="-1")


@pytest.mark.parametrize(("key", "value", "valid"), INVALID)
def test_another_value_is_refused_with_the_valid_ones(key, value, valid):
    refused = re.escape(f"{key.upper()}: unknown value {value!r}")
    with pytest.raises(ConfigurationError, match=rf"{refused}( \(did you mean '[^']+'\?\))?; {re.escape(valid)}"):
        VectorSettings.parse(**{key: value})


def test_settings_from_another_process_are_found_among_equal_ones():
    settings = VectorSettings.parse(WORD_AGG_SCHEME="mean", ENCODING_LAYER="3")
    assert hash(settings) == hash(VectorSettings.parse(word_agg_scheme="mean", encoding_layer=3))
    program = (
        "import pickle, sys; from lm_eval.config.settings import VectorSettings;"
        "print(pickle.load(sys.stdin.buffer) in {VectorSettings.parse(WORD_AGG_SCHEME='mean', ENCODING_LAYER='3')})"
    )
    for seed in "12":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        call = [sys.executable, "-c", program]
        ended = subprocess.run(call, input=pickle.dumps(settings), env=environment, capture_output=True, check=True)
        assert ended.stdout.strip() == b"True"


def test_nobody_changes_settings_through_what_they_tell():
    settings = VectorSettings.parse(WORD_AGG_SCHEME="mean")
    for told in (settings.public(), settings.stated()):
        with pytest.raises(TypeError):
            told["NORM"] = "L2"


@pytest.mark.parametrize("text", ["10000", "-99999", "9" * 5000])
def test_a_layer_has_at_most_four_digits(text):
    with pytest.raises(ConfigurationError, match="or an integer of at most 4 digits"):
        VectorSettings.parse(ENCODING_LAYER=text)
