"""Layers that a grid names for models of any depth."""

import re

import pytest

from lm_eval.config.layer_lists import spread_layers
from lm_eval.errors import ConfigurationError


@pytest.mark.parametrize(
    ("values", "num_layers", "layers"),
    [
        (["all"], 3, [0, 1, 2, None]),
        (["every 1"], 3, [0, 1, 2, None]),
        (["every 2"], 3, [0, 2]),
        (["every 2"], 4, [0, 2, None]),
        (["every2"], 4, [0, 2, None]),
        (["every 9"], 4, [0]),
        (["E", "all", 1, None], 2, ["E", 0, 1, None]),
        ([0, "middle", -1], 2, [0, "middle", -1]),
    ],
)
def test_all_and_every_stand_for_hidden_states_of_a_model_each_once(values, num_layers, layers):
    assert spread_layers(values, num_layers, "ENCODING_LAYER") == layers


def test_of_the_choices_layers_the_last_is_named_as_none_means_the_context_s():
    assert spread_layers(["all", None], 2, "OUT_ENCODING_LAYER") == [0, 1, -1, None]


@pytest.mark.parametrize(("value", "layers"), [("all", [0, 1, 2, 3]), ("every 2", [0, 2]), ("every 4", [0])])
def test_vectors_enter_at_blocks_alone(value, layers):
    assert spread_layers([value], 4, "DECODING_LAYER") == layers


def test_other_settings_have_no_such_values():
    assert spread_layers(["all"], 4, "NORM") == ["all"]


@pytest.mark.parametrize("value", ["every", "every 0", "every -1", "every x", "every 1.5", "every  2"])
def test_every_needs_a_whole_number(value):
    message = f"ENCODING_LAYER: {value!r} must be every N, N a whole number of at least 1, as in 'every 4'"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        spread_layers([value], 4, "ENCODING_LAYER")
