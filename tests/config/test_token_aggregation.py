"""Token aggregations: their text, and what they make of a segment."""

import pytest

from lm_eval.config.token_aggregation import ACTIVATION_PREFIXES, TOKEN_AGGREGATIONS, TokenAggregation


@pytest.mark.parametrize("prefix", ACTIVATION_PREFIXES)
@pytest.mark.parametrize("base", TOKEN_AGGREGATIONS)
def test_an_aggregation_is_parsed_back_from_its_text(prefix, base):
    aggregation = TokenAggregation.parse(prefix + base)
    assert aggregation == TokenAggregation(base, prefix)
    assert str(aggregation) == prefix + base


@pytest.mark.parametrize(
    ("base", "makes_one_vector", "takes_norm", "of_five_tokens"),
    [("mean", True, True, 1), ("w1mean", True, True, 1), ("last", True, False, 1), ("concat", False, True, 5)],
)
def test_an_aggregation_says_what_it_makes_of_a_segment(base, makes_one_vector, takes_norm, of_five_tokens):
    for prefix in ACTIVATION_PREFIXES:
        aggregation = TokenAggregation(base, prefix)
        assert aggregation.makes_one_vector is makes_one_vector
        assert aggregation.takes_norm is takes_norm
        assert aggregation.num_vectors(5) == of_five_tokens
        assert aggregation.num_vectors(1) == 1
