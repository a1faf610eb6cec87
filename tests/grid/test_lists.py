"""The lists of a grid as flags."""

import re

import pytest

from lm_eval.errors import ConfigurationError
from lm_eval.grid.lists import LIST_FLAGS, read_list, replace_lists
from tests.support.grids import grid


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("num_fewshot", "0,5", [0, 5]),
        ("num_fewshot", " 3 ", [3]),
        ("encoding_scheme", "concat_all_examples,cross_encoding", ["concat_all_examples", "cross_encoding"]),
        ("NORM", "None,L2", [None, "L2"]),
        ("ENCODING_LAYER", "0,middle,-1,E,None", [0, "middle", -1, "E", None]),
        ("NORM", "none,L2", [None, "L2"]),
        ("ENCODING_LAYER", "last,0", [None, 0]),
        ("ENCODING_LAYER", "all", ["all"]),
        ("DECODING_LAYER", "every2,same", ["every 2", "same"]),
        ("WORD_AGG_SCHEME", "mean,relu|zNorm+|chunk4", ["mean", "relu|zNorm+|chunk4"]),
        ("ADD_POS", "True,False,None", [True, False, None]),
    ],
)
def test_values_are_those_that_a_script_would_state(name, text, values):
    assert read_list(name, text) == values
    assert [type(value) for value in read_list(name, text)] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("NORM", "l2", "--NORM: unknown value 'l2' (did you mean 'L2'?); choose from None, L2, varNorm, zNorm"),
        ("NORM", "L2,", "--NORM 'L2,': a value is empty"),
        ("NORM", "L2,None,L2", "--NORM: L2 is given twice"),
        ("num_fewshot", "5,-1", "--num_fewshot: '-1' must be a non-negative integer"),
        ("num_fewshot", "None", "--num_fewshot: 'None' must be a non-negative integer"),
        (
            "encoding_scheme",
            "concat_all",
            "--encoding_scheme: unknown value 'concat_all' (did you mean 'concat_all_examples'?); choose from concat_",
        ),
        (
            "ENCODING_LAYER",
            "midle",
            "(did you mean 'middle'?); choose from None, middle, E, or an integer of at most 4 digits, or, in a grid",
        ),
        ("ENCODING_LAYER", "every x", "--ENCODING_LAYER: 'every x' must be every N"),
        ("WORD_AGG_SCHEME", "relu|mea", "--WORD_AGG_SCHEME: unknown value 'relu|mea' (did you mean 'relu|mean'?)"),
        ("ADD_POS", "yes", "--ADD_POS: unknown value 'yes'; choose from None, True, False"),
    ],
)
def test_a_value_that_the_list_cannot_have_is_refused_with_the_nearest(name, text, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        read_list(name, text)


def test_a_flag_replaces_that_list_of_the_script_and_no_other():
    before = grid(num_fewshot=[5, 0], settings={"WORD_AGG_SCHEME": ["mean"], "NORM": ["L2"]})
    after = replace_lists(before, {"num_fewshot": [1], "NORM": [None], "ENCODING_LAYER": ["all"]})
    assert after == grid(
        num_fewshot=[1], settings={"WORD_AGG_SCHEME": ["mean"], "NORM": [None], "ENCODING_LAYER": ["all"]}
    )
    assert replace_lists(before, {}) == before


def test_every_list_of_a_grid_but_its_models_has_such_a_flag():
    replaced = replace_lists(grid(), {name: [7] if name == "num_fewshot" else [name] for name in LIST_FLAGS})
    assert (replaced.num_fewshot, replaced.encoding_scheme) == ([7], ["encoding_scheme"])
    assert {"num_fewshot", "encoding_scheme", *replaced.settings} == set(LIST_FLAGS)
