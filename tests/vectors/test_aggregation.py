"""Token vectors → concept vectors, with numbers that can be checked by hand."""

import pytest
import torch

from lm_eval.config.token_aggregation import ACTIVATION_PREFIXES, TokenAggregation
from lm_eval.vectors.aggregation import (
    PREFIXES,
    Reduction,
    aggregate_contexts,
    aggregate_tokens,
    last,
    mean,
    mean_of_groups,
    w1mean,
)
from lm_eval.vectors.norms import NORMS, l2_norm, var_norm, z_norm

SCHEMES = [prefix + base for prefix in ACTIVATION_PREFIXES for base in ("mean", "w1mean", "last", "concat", "chunk2")]


def tensor(*rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32)


def close(found: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-6) -> bool:
    return found.shape == expected.shape and torch.allclose(found, expected, rtol=0, atol=tolerance)


def relu(x: torch.Tensor) -> torch.Tensor:
    return x.clamp(min=0)


def aggregate(scheme: str, norm: str | None, tokens: torch.Tensor, act=relu) -> torch.Tensor:
    """The vectors of one segment without padding."""
    mask = torch.ones(1, len(tokens), dtype=torch.bool)
    reduction = Reduction.of(TokenAggregation.parse(scheme), norm)
    return aggregate_tokens(tokens.unsqueeze(0), mask, [reduction], act)[reduction]


def aggregate_context(samples, segment_agg: str | None, example_agg: str | None, norm: str | None) -> torch.Tensor:
    """The concept vectors of one document; another one beside it must not matter."""
    beside = [[tensor([70, -80])], [tensor([90, 10]), tensor([5, 5])]]
    counts = [sum(map(len, sample)) for sample in [*beside, *samples, *beside]]
    found = aggregate_contexts(
        torch.cat([vectors for sample in [*beside, *samples, *beside] for vectors in sample]),
        torch.tensor(counts),
        torch.tensor([len(beside), len(samples), len(beside)]),
        segment_agg=segment_agg,
        example_agg=example_agg,
        norm=norm,
    )
    return found.split()[1]


def test_shapes_are_checked_while_tests_run():
    with pytest.raises(TypeError, match="mask"):
        mean(torch.zeros(2, 3, 4), torch.ones(2, 5, dtype=torch.bool))
    with pytest.raises(TypeError, match="aggregation"):
        Reduction("mean")


# --- norms ---


def test_l2_norm_scales_to_length_1():
    assert close(l2_norm(tensor([3, 4], [0, -2])), tensor([0.6, 0.8], [0, -1]))


def test_var_norm_divides_by_the_unbiased_deviation_without_centring():
    assert close(var_norm(tensor([1, 3])), tensor([1, 3]) / 2**0.5)
    assert close(var_norm(tensor([1, 2, 3])), tensor([1, 2, 3]))


def test_z_norm_centres_and_divides_by_the_biased_deviation():
    assert close(z_norm(tensor([1, 3])), tensor([-1, 1]) / (1 + 1e-5) ** 0.5)
    assert close(z_norm(tensor([0, 0.002])), tensor([-0.001, 0.001]) / (1e-6 + 1e-5) ** 0.5)
    assert close(z_norm(tensor([5, 5])), tensor([0, 0]))


@pytest.mark.parametrize("norm", NORMS.values())
def test_every_vector_is_normalised_by_itself(norm):
    rows = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    assert close(norm(rows), torch.cat([norm(row.unsqueeze(0)) for row in rows]))


# --- token aggregation ---


def test_mean_w1mean_and_last_pass_over_the_padding():
    tokens = tensor([[1, 2], [3, 8], [9, 9]], [[4, 0], [9, 9], [9, 9]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    assert close(mean(tokens, mask), tensor([2, 5], [4, 0]))
    assert close(w1mean(tokens, mask), tensor([7 / 3, 6], [4, 0]))
    assert close(last(tokens, mask), tensor([3, 8], [4, 0]))


def test_w1mean_weighs_tokens_1_2_3():
    assert close(aggregate("w1mean", None, tensor([6, 0], [0, 6], [6, 6])), tensor([4, 5]))


def test_concat_keeps_every_token():
    tokens = tensor([1, 2], [3, 8])
    assert close(aggregate("concat", None, tokens), tokens)


ROOT = (2.25 + 1e-5) ** 0.5
HALF = (0.25 + 1e-5) ** 0.5
PREFIXED = {
    "": [3, -1],
    "relu|": [3, 0],
    "relu+|": [6, -1],
    "-relu|": [0, -1],
    "-relu+|": [3, -2],
    "relu|zNorm|": [1.5 / ROOT, -1.5 / ROOT],
    "relu|zNorm+|": [3 + 1.5 / ROOT, -1 - 1.5 / ROOT],
    "-relu|zNorm|": [0.5 / HALF, -0.5 / HALF],
    "-relu|zNorm+|": [3 + 0.5 / HALF, -1 - 0.5 / HALF],
}


@pytest.mark.parametrize("prefix", ACTIVATION_PREFIXES)
@pytest.mark.parametrize("base", ["mean", "w1mean", "last", "concat", "chunk2"])
def test_a_prefix_transforms_each_token_before_it_is_aggregated(prefix, base):
    assert close(aggregate(prefix + base, None, tensor([3, -1])), tensor(PREFIXED[prefix]))
    tokens = tensor([3, -1], [-2, 5])
    transformed = torch.cat([aggregate(prefix + "concat", None, row.unsqueeze(0)) for row in tokens])
    assert close(aggregate(prefix + base, None, tokens), aggregate(base, None, transformed))


def test_there_is_a_rule_for_every_prefix_and_norm_that_settings_allow():
    assert set(PREFIXES) == set(ACTIVATION_PREFIXES) == set(PREFIXED)
    assert set(NORMS) == {"L2", "varNorm", "zNorm"}


def test_the_activation_is_the_one_that_is_given():
    assert close(aggregate("-relu+|mean", None, tensor([2, -3]), lambda x: x * x), tensor([2 - 4, -3 - 9]))


def test_the_norm_comes_after_the_aggregation_of_tokens():
    tokens = tensor([6, 0], [0, 8])
    assert close(aggregate("mean", "L2", tokens), tensor([0.6, 0.8]))
    assert close(aggregate("w1mean", "L2", tensor([9, 0], [0, 6])), tensor([0.6, 0.8]))


def test_concat_normalises_each_token():
    assert close(aggregate("concat", "L2", tensor([3, 4], [0, 2])), tensor([0.6, 0.8], [0, 1]))


def test_chunks_are_averages_of_adjoining_tokens_and_the_last_may_be_shorter():
    tokens = tensor([1, 0], [3, 2], [5, 4], [0, 8], [6, 8])
    assert close(aggregate("chunk2", None, tokens), tensor([2, 1], [2.5, 6], [6, 8]))
    assert close(aggregate("chunk2", "L2", tokens[3:]), tensor([3 / 73**0.5, 8 / 73**0.5]))
    assert close(aggregate("chunk1", None, tokens), tokens)
    for size in (5, 6, 999_999_999):
        assert close(aggregate(f"chunk{size}", None, tokens), aggregate("mean", None, tokens))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("prefix", ACTIVATION_PREFIXES)
def test_last_skips_the_norm_with_every_prefix(prefix, norm):
    tokens = tensor([1, 2], [3, -8])
    assert close(aggregate(prefix + "last", norm, tokens), aggregate(prefix + "last", None, tokens))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("norm", [None, *NORMS])
def test_padding_on_the_right_changes_no_value(scheme, norm):
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(3, 6, 8, generator=generator)
    lengths = [6, 1, 4]
    mask = torch.arange(6) < torch.tensor(lengths).unsqueeze(1)
    tokens[~mask] = 1e4 * torch.randn(int((~mask).sum()), 8, generator=generator)
    reduction = Reduction.of(TokenAggregation.parse(scheme), norm)
    matrix = aggregate_tokens(tokens, mask, [reduction], torch.nn.functional.gelu)[reduction]
    padded = matrix.split([reduction.aggregation.num_vectors(length) for length in lengths])
    for vectors, row, length in zip(padded, tokens, lengths, strict=True):
        assert close(vectors, aggregate(scheme, norm, row[:length], torch.nn.functional.gelu), 1e-5)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_vectors_are_computed_in_float32(scheme):
    tokens = tensor([1000.5, -0.125], [3, 7]).to(torch.bfloat16)
    assert close(aggregate(scheme, None, tokens), aggregate(scheme, None, tokens.float()))
    assert aggregate(scheme, None, tokens).dtype == torch.float32


def test_aggregations_made_together_are_what_each_is_alone():
    tokens = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(5) < torch.tensor([[5], [2]])
    wanted = [Reduction.of(TokenAggregation.parse(scheme), norm) for scheme in SCHEMES for norm in (None, *NORMS)]
    together = aggregate_tokens(tokens, mask, wanted, torch.nn.functional.gelu)
    assert set(together) == set(wanted)
    for reduction, vectors in together.items():
        alone = aggregate_tokens(tokens, mask, [reduction], torch.nn.functional.gelu)[reduction]
        assert torch.equal(vectors, alone)


# --- samples and contexts ---


def test_groups_of_adjoining_vectors_are_averaged():
    vectors = tensor([1, 0], [3, 2], [7, 7], [0, 0], [0, 3], [3, 0])
    assert close(mean_of_groups(vectors, torch.tensor([2, 1, 3])), tensor([2, 1], [7, 7], [1, 1]))


def test_without_aggregation_every_vector_is_kept_in_order():
    samples = [[tensor([1, 0]), tensor([2, 0], [3, 0])], [tensor([4, 0])]]
    assert close(aggregate_context(samples, None, None, "L2"), tensor([1, 0], [2, 0], [3, 0], [4, 0]))


def test_segment_means_are_flat_within_a_sample():
    samples = [[tensor([1, 0], [2, 0], [3, 6]), tensor([6, 6])], [tensor([4, 0])]]
    assert close(aggregate_context(samples, "mean", None, None), tensor([3, 3], [4, 0]))


def test_example_means_are_flat_so_that_a_longer_sample_weighs_more():
    samples = [[tensor([0, 0]), tensor([0, 3]), tensor([3, 0])], [tensor([9, 9])]]
    assert close(aggregate_context(samples, None, "mean", None), tensor([3, 3]))
    assert close(aggregate_context(samples, "mean", "mean", None), tensor([5, 5]))


def test_the_norm_follows_each_mean():
    samples = [[tensor([6, 0]), tensor([0, 8])], [tensor([-6, 0]), tensor([0, 8])]]
    assert close(aggregate_context(samples, "mean", None, "L2"), tensor([0.6, 0.8], [-0.6, 0.8]))
    assert close(aggregate_context(samples, "mean", "mean", "L2"), tensor([0, 1]))
    assert close(aggregate_context(samples, None, "mean", "L2"), tensor([0, 1]))


@pytest.mark.parametrize("example_agg", [None, "mean"])
def test_a_single_vector_is_neither_averaged_nor_normalised_by_example_aggregation(example_agg):
    assert close(aggregate_context([[tensor([3, 4])]], None, example_agg, "L2"), tensor([3, 4]))


def test_segment_aggregation_normalises_a_single_vector_too():
    """So a vector from `last`, which skipped its norm, gets it here."""
    vector = aggregate("last", "L2", tensor([9, 9], [3, 4]))
    assert close(vector, tensor([3, 4]))
    assert close(aggregate_context([[vector]], "mean", None, "L2"), tensor([0.6, 0.8]))
    assert close(aggregate_context([[vector]], "mean", "mean", "L2"), tensor([0.6, 0.8]))


def test_soft_cluster_leaves_the_vectors_to_the_choices():
    samples = [[tensor([3, 4])], [tensor([1, 2])]]
    assert close(aggregate_context(samples, None, "soft_cluster", "L2"), tensor([3, 4], [1, 2]))
    assert close(aggregate_context(samples, "mean", "soft_cluster", None), tensor([3, 4], [1, 2]))
