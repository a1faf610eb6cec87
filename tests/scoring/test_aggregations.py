"""F1, Matthews' correlation and errors by leaving out, against their definitions written out."""

import itertools
import math
import random
import statistics
from collections import Counter

import pytest
from sklearn import metrics

from lm_eval.scoring.aggregations import f1, jackknife, mcc, mean, standard_error


def made_up(labels: int, number: int = 40) -> list[tuple[int, int]]:
    rnd = random.Random(labels)
    rights = [rnd.randrange(labels) for _ in range(number)]
    return [(right, right if rnd.random() < 0.6 else rnd.randrange(labels)) for right in rights]


def correlation_of_indicators(pairs: list[tuple[int, int]]) -> float:
    """Gorodkin's R_K as its name says: the correlation of what is right and chosen as vectors of indicators."""
    labels = sorted({label for pair in pairs for label in pair})

    def covariance(first: int, second: int) -> float:
        total = 0.0
        for label in labels:
            one = [float(pair[first] == label) for pair in pairs]
            two = [float(pair[second] == label) for pair in pairs]
            total += statistics.fmean(a * b for a, b in zip(one, two, strict=True)) - statistics.fmean(
                one
            ) * statistics.fmean(two)
        return total

    return covariance(0, 1) / math.sqrt(covariance(0, 0) * covariance(1, 1))


@pytest.mark.parametrize("labels", [2, 3, 5])
def test_matthews_correlation_is_that_of_indicators(labels):
    pairs = made_up(labels)
    assert mcc(Counter(pairs)) == pytest.approx(correlation_of_indicators(pairs), rel=1e-12)


@pytest.mark.parametrize(
    ("pairs", "value"),
    [
        ([(0, 0), (1, 1)], 1.0),
        ([(0, 1), (1, 0)], -1.0),
        ([(1, 1), (1, 1)], 0.0),
        ([(0, 1), (1, 1)], 0.0),
        ([(1, 1), (1, 1), (1, 0), (0, 0), (0, 0), (0, 1)], 1 / 3),
    ],
)
def test_matthews_correlation_by_hand(pairs, value):
    assert mcc(Counter(pairs)) == pytest.approx(value)


@pytest.mark.parametrize(
    ("pairs", "value"),
    [
        ([(1, 1), (0, 0)], 1.0),
        ([(1, 1), (1, 0), (0, 1), (0, 0), (1, 1)], 2 / 3),  # precision 2/3, recall 2/3
        ([(1, 1), (0, 1), (0, 1), (0, 1)], 2 * (1 / 4) * 1 / (1 / 4 + 1)),
        ([(0, 0), (0, 0)], 0.0),
    ],
)
def test_f1_is_the_harmonic_mean_of_precision_and_recall_of_choice_1(pairs, value):
    assert f1(Counter(pairs)) == pytest.approx(value)


def test_f1_and_correlation_are_undefined_where_labels_do_not_allow_them():
    assert f1(Counter([(2, 0), (1, 1)])) is None
    assert f1(Counter([((0, 1), 1)])) is None
    assert mcc(Counter([((0, 1), 1)])) is None


def test_leaving_out_gives_of_a_mean_its_standard_error():
    values = Counter([0.0, 1.0, 1.0, 0.25, 0.25, 0.25, 3.0])
    assert jackknife(values, mean) == pytest.approx(standard_error(values), rel=1e-12)
    assert jackknife(Counter([1.0]), mean) is None


def test_leaving_out_counts_documents_one_by_one():
    pairs = made_up(2, 12)
    left = [f1(Counter(pairs[:place] + pairs[place + 1 :])) for place in range(len(pairs))]
    spread = sum((value - statistics.fmean(left)) ** 2 for value in left)
    assert jackknife(Counter(pairs), f1) == pytest.approx(math.sqrt(spread * (len(pairs) - 1) / len(pairs)), rel=1e-12)


def test_both_equal_scikit_learn():
    for labels, number in itertools.product([2, 4], [5, 60]):
        pairs = made_up(labels, number)
        rights, chosen = zip(*pairs, strict=True)
        assert mcc(Counter(pairs)) == pytest.approx(metrics.matthews_corrcoef(rights, chosen))
        if labels == 2:
            assert f1(Counter(pairs)) == pytest.approx(metrics.f1_score(rights, chosen))
