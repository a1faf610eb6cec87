"""Token aggregations: their text, and what they make of a segment."""

import pytest

from lm_eval.config.token_aggregation import ACTIVATION_PREFIXES, SINGLE_VECTOR_AGGREGATIONS, TokenAggregation
from lm_eval.errors import ConfigurationError


@pytest.mark.parametrize("prefix", ACTIVATION_PREFIXES)
@pytest.mark.parametrize("base", [*SINGLE_VECTOR_AGGREGATIONS, "concat"])
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


@pytest.mark.parametrize("prefix", ACTIVATION_PREFIXES)
def test_chunks_of_several_tokens_are_as_many_as_it_takes(prefix):
    aggregation = TokenAggregation.parse(f"{prefix}chunk3")
    assert aggregation == TokenAggregation("chunk", prefix, 3)
    assert str(aggregation) == f"{prefix}chunk3"
    assert [aggregation.num_vectors(number) for number in (1, 3, 4, 6, 7)] == [1, 1, 2, 2, 3]
    assert not aggregation.makes_one_vector
    assert aggregation.takes_norm


def test_a_chunk_of_one_token_is_concat():
    assert TokenAggregation.parse("relu|chunk1") == TokenAggregation.parse("relu|concat")


@pytest.mark.parametrize("text", ["chunk", "chunk0", "chunk-1", "chunk01", "chunk2.5", "chunkN", "chunk\u0662"])
def test_a_chunk_has_a_whole_number_of_tokens(text):
    with pytest.raises(ConfigurationError, match="N of chunkN must be a whole number of at least 1, as in chunk4"):
        TokenAggregation.parse(text)
