"""Suggestions in messages."""

import pytest

from lm_eval.common.text import did_you_mean

NAMES = ("concat_all_examples", "concat_each_example", "NORM", "L2", "mean", "w1mean", "same", "middle")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("norm", "NORM"),
        ("l2", "L2"),
        ("Mean", "mean"),
        ("midle", "middle"),
        ("concat_all", "concat_all_examples"),
        ("concat_e", "concat_each_example"),
        ("concat-all-examples", "concat_all_examples"),
    ],
)
def test_the_nearest_name_is_found_whatever_its_case_and_by_its_beginning(name, nearest):
    assert did_you_mean(name, NAMES) == f" (did you mean {nearest!r}?)"
    assert did_you_mean(name, {known: f"--{known}" for known in NAMES}) == f" (did you mean --{nearest}?)"


@pytest.mark.parametrize("name", ["", "-", "x", "m", "zz", "nothing of it"])
def test_a_name_that_is_near_to_none_gets_no_suggestion(name):
    assert did_you_mean(name, NAMES) == ""
