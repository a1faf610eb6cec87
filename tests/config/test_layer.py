"""Layers: their text, and what they are in a model."""

import re

import pytest

from lm_eval.config.layer import LAST, OUTPUT_MATRIX, Layer
from lm_eval.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "of_four", "of_five"),
    [
        ("0", 0, 0),
        ("4", 4, 4),
        ("-1", 4, 5),
        ("-5", 0, 1),
        ("middle", 2, 3),
        ("E", "E", "E"),
        ("OE", "OE", "OE"),
    ],
)
def test_a_layer_is_found_in_models_of_any_depth(text, of_four, of_five):
    layer = Layer.parse(text)
    assert str(layer) == text
    assert (layer.resolve(4), layer.resolve(5)) == (of_four, of_five)


def test_the_named_layers_are_what_their_text_says():
    assert (Layer.parse("-1"), Layer.parse("OE")) == (LAST, OUTPUT_MATRIX)


@pytest.mark.parametrize("index", [5, -6])
@pytest.mark.parametrize(("key", "names"), [("ENCODING_LAYER", "middle, E"), ("OUT_ENCODING_LAYER", "middle, E, OE")])
def test_an_index_outside_the_hidden_states_is_refused_with_what_there_is(index, key, names):
    message = f"{key}={index}: out of range; choose from -5 to 4, {names} or None, for gpt has 4 layers"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        Layer(index).resolve(4, key, "gpt")


def test_an_index_has_one_spelling():
    assert [str(Layer.parse(text)) for text in ("07", "-0", "-012")] == ["7", "0", "-12"]
