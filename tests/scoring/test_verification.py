"""What `--verify` makes of scores beside those of the plain way."""

import pytest

from lm_eval.errors import RunError
from lm_eval.scoring.verification import Verification


def test_differences_are_relative_to_scores_that_are_larger_than_one():
    verification = Verification()
    verification.compare(3, [-10.0, -2.0], [-10.5, -2.0])
    verification.compare(4, [0.25, 0.5], [0.5, 0.25])
    assert verification.largest_difference == 0.25
    assert verification.flipped == [4]
    assert str(verification).startswith("verified 2 documents the plain way: largest difference 2.5e-01, different")


@pytest.mark.parametrize("plain", [[float("nan"), -2.0], [-10.0, float("nan")], [float("-inf"), -2.0]])
def test_a_plain_score_that_is_no_number_is_no_small_difference(plain):
    with pytest.raises(RunError, match=r"document 3: the plain way scores its choices .*, which are not all numbers"):
        Verification().compare(3, [-10.0, -2.0], plain)
