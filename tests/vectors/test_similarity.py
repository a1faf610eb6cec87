"""Test 2's scores, with numbers that can be checked by hand."""

import math

import pytest
import torch

from lm_eval.vectors.aggregation import Contexts
from lm_eval.vectors.similarity import PREPARATIONS as SIMILARITIES
from lm_eval.vectors.similarity import score_similarity, soft_cluster

LOG2, LOG3 = math.log(2), math.log(3)


def tensor(*rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32)


def scores(context, choices, similarity_func="dot_product", example_agg=None) -> list[float]:
    return together([(context, choices)], similarity_func, example_agg)[0]


def together(documents, similarity_func="dot_product", example_agg=None) -> list[list[float]]:
    contexts, choices = (
        Contexts(torch.cat(side), torch.tensor([len(vectors) for vectors in side]))
        for side in zip(*documents, strict=True)
    )
    return [row.scores.tolist() for row in score_similarity(contexts, choices, similarity_func, example_agg)]


def test_dot_products_become_scores_by_a_softmax_over_the_choices():
    assert scores(tensor([1, 0]), tensor([LOG3, 7], [0, 9])) == pytest.approx([0.75, 0.25])


def test_a_choice_is_compared_with_its_nearest_context_vector():
    context = tensor([1, 0], [0, 1])
    assert scores(context, tensor([LOG3, -5], [-5, LOG2], [0, 0])) == pytest.approx([3 / 6, 2 / 6, 1 / 6])


def test_cosine_similarity_passes_over_lengths():
    context, choices = tensor([2, 0]), tensor([5, 0], [0, 3], [-7, 0])
    powers = [math.e, 1, 1 / math.e]
    expected = [power / sum(powers) for power in powers]
    assert scores(context, choices, "cosine_sim") == pytest.approx(expected)
    assert scores(9 * context, choices, "cosine_sim") == pytest.approx(expected)
    assert scores(context, tensor([1, 0], [0, 1], [-1, 0]), "cosine_sim") == pytest.approx(expected)


def test_soft_cluster_compares_each_choice_with_a_vector_of_its_own():
    context = tensor([1, 0], [0, 1])
    choices = tensor([LOG3, 0], [0, 0])  # their vectors: (3/4, 1/4) and (1/2, 1/2)
    power = 3**0.75
    expected = [power / (power + 1), 1 / (power + 1)]
    assert scores(context, choices, example_agg="soft_cluster") == pytest.approx(expected)


def test_soft_cluster_weighs_by_dot_products_also_where_cosines_are_compared():
    context = tensor([3, 0], [0, 4])
    choices = tensor([0, 5], [0, 0.1])
    weights = [[1 / (1 + math.exp(20)), 1 / (1 + math.exp(-20))], [1 / (1 + math.exp(0.4)), 1 / (1 + math.exp(-0.4))]]
    cosines = [4 * b / math.hypot(3 * a, 4 * b) for a, b in weights]
    total = sum(map(math.exp, cosines))
    expected = [math.exp(cosine) / total for cosine in cosines]
    assert scores(context, choices, "cosine_sim", "soft_cluster") == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("similarity_func", SIMILARITIES)
@pytest.mark.parametrize("example_agg", [None, "mean", "soft_cluster"])
def test_a_single_context_vector_scores_alike_however_examples_are_aggregated(similarity_func, example_agg):
    context, choices = tensor([1, -2, 0.5]), tensor([1, 0, 0], [0, 1, 0], [2, 2, 2], [0, 0, -1])
    assert scores(context, choices, similarity_func, example_agg) == pytest.approx(
        scores(context, choices, similarity_func)
    )


@pytest.mark.parametrize("similarity_func", SIMILARITIES)
@pytest.mark.parametrize("example_agg", [None, "soft_cluster"])
def test_scores_are_probabilities_in_the_order_of_the_choices(similarity_func, example_agg):
    generator = torch.Generator().manual_seed(0)
    context, choices = torch.randn(6, 8, generator=generator), torch.randn(4, 8, generator=generator)
    found = scores(context, choices, similarity_func, example_agg)
    assert sum(found) == pytest.approx(1)
    assert min(found) > 0
    assert scores(context.flip(0), choices, similarity_func, example_agg) == pytest.approx(found)
    assert scores(context, choices.flip(0), similarity_func, example_agg) == pytest.approx(found[::-1])


def test_repeating_context_vectors_changes_nothing():
    context, choices = tensor([1, 2], [3, 0]), tensor([1, 0], [0, 1])
    assert scores(torch.cat([context, context]), choices) == pytest.approx(scores(context, choices))


@pytest.mark.parametrize("similarity_func", SIMILARITIES)
@pytest.mark.parametrize("example_agg", [None, "soft_cluster"])
def test_documents_of_other_sizes_beside_it_change_no_score(similarity_func, example_agg):
    generator = torch.Generator().manual_seed(0)
    sizes = [(1, 4), (7, 2), (3, 5), (2, 1)]
    documents = [
        (torch.randn(vectors, 8, generator=generator) - 2, torch.randn(choices, 8, generator=generator) - 2)
        for vectors, choices in sizes
    ]
    found = together(documents, similarity_func, example_agg)
    assert [len(row) for row in found] == [choices for _, choices in sizes]
    for row, document in zip(found, documents, strict=True):
        assert row == pytest.approx(scores(*document, similarity_func, example_agg), rel=1e-6)


def soft_clusters(context, choices) -> torch.Tensor:
    is_vector = torch.ones(1, len(context), dtype=torch.bool)
    return soft_cluster(context.unsqueeze(0), is_vector, choices.unsqueeze(0))[0]


def test_soft_cluster_weighs_vectors_by_softmax_of_dot_products_with_a_choice():
    choices = tensor([LOG3, 0], [0, 0], [0, 2 * LOG3])  # dot products (ln 3, 0), (0, 0), (0, ln 9)
    found = soft_clusters(tensor([1, 0], [0, 1]), choices)
    assert torch.allclose(found, tensor([0.75, 0.25], [0.5, 0.5], [0.1, 0.9]))


def test_soft_cluster_of_a_single_vector_is_that_vector():
    assert torch.allclose(soft_clusters(tensor([3, 4]), tensor([1, 1], [-5, 2])), tensor([3, 4], [3, 4]))
