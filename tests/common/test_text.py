"""Suggestions in messages."""

import pytest

from lm_eval.common.text import count_of, csv_cell, did_you_mean, say_cut

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


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"), ("+1", "+1"), ("-1", "-1"), ("-1.5e-3", "-1.5e-3"), ("-relu|mean", "'-relu|mean"),
        ("@SUM(A1)", "'@SUM(A1)"), ("\tx", "'\tx"), ("\r=x", "'\r=x"), ("-1-1", "'-1-1"), ("+", "'+"), ("-", "-"),
        ("a=b", "a=b"),
        (-2, -2), (-0.5, -0.5), (None, None),
    ],
)  # fmt: skip
def test_a_text_of_a_csv_begins_no_formula_and_a_number_stays_one(value, cell):
    assert csv_cell(value) == cell


def test_one_is_said_of_one():
    assert [count_of(number, "shot") for number in (0, 1, 2, 1000)] == ["0 shots", "1 shot", "2 shots", "1,000 shots"]
    assert say_cut(1, "it takes") == "1 segment was longer than it takes and was cut from the left"
    assert say_cut(2, "it takes") == "2 segments were longer than it takes and were cut from the left"
