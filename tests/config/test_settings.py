"""Settings: which values they take, and their `KEY=value` form."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_eval.common.text import format_pairs, parse_pairs
from lm_eval.config.settings import SETTING_NAMES, VectorSettings
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


VALID = {
    "WORD_AGG_SCHEME": [prefix + base for prefix in PREFIXES for base in ("mean", "w1mean", "last", "concat")],
    "SEGMENT_AGG_SCHEME": ["mean"],
    "EXAMPLE_AGG_SCHEME": ["mean", "soft_cluster"],
    "NORM": ["L2", "varNorm", "zNorm"],
    "SIMILARITY_FUNC": ["dot_product", "cosine_sim"],
    "ENCODING_LAYER": ["middle", "E", "0", "7", "-1", "-12"],
    "OUT_WORD_AGG_SCHEME": ["mean", "relu+|last"],
    "OUT_ENCODING_LAYER": ["middle", "E", "OE", "0", "-2"],
    "ADD_POS": ["True"],
    "DECODING_SCHEME": ["parameterless_attention"],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, several in VALID.items() for value in several])
def test_a_valid_value_is_kept_under_its_public_name(key, value):
    settings = VectorSettings(**{key.lower(): value})
    assert settings.public() == {**dict.fromkeys(SETTING_NAMES), key: value}


def test_every_setting_is_tested_above_and_is_none_unless_given():
    assert tuple(VALID) == tuple(VectorSettings().public()) != ()
    assert set(VectorSettings().public().values()) == {None}


def test_add_pos_false_is_the_same_as_none():
    assert VectorSettings(add_pos="False") == VectorSettings()


_TOKEN_AGGREGATIONS = "choose from mean, w1mean, last, concat, optionally behind one of relu|, relu+|, -relu|, -relu+|"

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
    ("encoding_layer", "last", "choose from None, middle, E, or an integer"),
    ("out_encoding_layer", "--1", "choose from None, middle, E, OE, or an integer"),
]


@pytest.mark.parametrize(("key", "value", "valid"), INVALID)
def test_another_value_is_refused_with_the_valid_ones(key, value, valid):
    with pytest.raises(ConfigurationError, match=re.escape(f"{key.upper()}: unknown value {value!r}; {valid}")):
        VectorSettings(**{key: value})
