"""Paired comparisons: against scipy and statsmodels on known cases, and by simulation."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_of_statsmodels

from lm_eval.analysis.compare import (
    Samples,
    compare,
    compare_answers,
    compare_many,
    mcnemar,
    paired_bootstrap,
    read_samples,
)
from lm_eval.errors import ConfigurationError


def samples(right: dict[int, bool], documents: str = "same") -> Samples:
    is_right = pd.Series(right, dtype=bool)
    margins = is_right.map({True: 1.0, False: -1.0}).astype(float)
    return Samples(path=Path("x"), task="hellaswag_d", is_right=is_right, margins=margins, documents=documents)


def write_result(path: Path, rows: list[dict], task: str = "hellaswag_d", **more) -> Path:
    path.write_text(json.dumps({"samples": {task: rows}, **more}))
    return path


def test_a_document_is_right_where_its_best_score_is_a_right_choice_s(tmp_path):
    rows = [
        {"doc_id": 3, "gold": [1], "scores": [0.1, 0.9]},
        {"doc_id": 4, "gold": [1], "scores": [0.5, 0.5]},  # the first of equals counts
        {"doc_id": 5, "gold": [0, 1], "scores": [0.1, 0.9]},
    ]
    read = read_samples(write_result(tmp_path / "a.json", rows))
    assert dict(read.is_right) == {3: True, 4: False, 5: True}


def test_questions_are_right_where_an_accepted_answer_is_matched_exactly(tmp_path):
    rows = [
        {"doc_id": 0, "gold": [0, 1], "scores": [0.0, 1.0], "is_exact_match": [False, True]},
        {"doc_id": 1, "gold": [0], "scores": [1.0], "is_exact_match": [False]},
    ]
    read = read_samples(write_result(tmp_path / "a.json", rows, "webqs_dg"))
    assert dict(read.is_right) == {0: True, 1: False}


def test_a_file_without_samples_is_refused_with_the_flag_that_makes_them(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(
        ConfigurationError, match="holds no scores of single documents; run it again with --log_samples"
    ):
        read_samples(tmp_path / "a.json")
    path = tmp_path / "two.json"
    path.write_text(json.dumps({"samples": {"one": [], "other": []}}))
    with pytest.raises(ConfigurationError, match="holds documents of several tasks; name one: one, other"):
        read_samples(path)
    path = write_result(tmp_path / "b.json", [])
    with pytest.raises(ConfigurationError, match="for task webqs; it has those of hellaswag_d"):
        read_samples(path, "webqs")


def test_two_runs_are_compared_over_the_documents_that_both_have():
    a = samples({0: True, 1: True, 2: False, 3: False, 9: True})
    b = samples({0: True, 1: False, 2: True, 3: True, 8: True})
    found = compare(a, b)
    assert (found.num_documents, found.only_a, found.only_b) == (4, 1, 2)
    assert (found.acc_a, found.acc_b, found.difference) == (0.5, 0.75, 0.25)
    assert found.p_value == 1.0  # 1 of 3 against a fair coin


def test_runs_of_other_documents_are_not_compared():
    with pytest.raises(ConfigurationError, match="have no document in common; compare runs of the same limit"):
        compare(samples({0: True}), samples({1: True}))
    with pytest.raises(ConfigurationError, match=r"are of other data \(same; other\)"):
        compare(samples({0: True}), samples({0: True}, "other"))


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (5, 5), (10, 2), (40, 61), (0, 30)])
def test_the_exact_test_is_statsmodels(only_a, only_b):
    expected = mcnemar_of_statsmodels([[50, only_a], [only_b, 50]], exact=True).pvalue
    assert mcnemar(only_a, only_b) == pytest.approx(min(1.0, expected))


def test_the_bootstrap_is_scipy_s():
    rnd = np.random.default_rng(1)
    differences = rnd.choice([-1.0, 0.0, 1.0], p=[0.1, 0.7, 0.2], size=400)
    expected = bootstrap((differences,), np.mean, method="percentile", n_resamples=20_000, rng=rnd).confidence_interval
    low, high = paired_bootstrap(differences)
    assert low == pytest.approx(expected.low, abs=0.004)
    assert high == pytest.approx(expected.high, abs=0.004)


def test_identical_runs_do_not_differ():
    answers = np.array([True, False, True])
    found = compare_answers(answers, answers)
    assert (found.difference, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


def simulate(rnd: np.random.Generator, only_a: float, only_b: float, number: int = 300):
    outcome = rnd.choice(3, p=[only_a, only_b, 1 - only_a - only_b], size=number)
    both = rnd.random(number) < 0.4
    return (outcome == 0) | ((outcome == 2) & both), (outcome == 1) | ((outcome == 2) & both)


def test_the_interval_covers_the_true_difference_about_as_often_as_it_says():
    rnd = np.random.default_rng(2)
    covered = 0
    for _ in range(400):
        a, b = simulate(rnd, 0.10, 0.15)
        low, high = paired_bootstrap(b.astype(float) - a.astype(float), resamples=1000)
        covered += low <= 0.05 <= high
    assert 0.92 <= covered / 400 <= 0.98


@pytest.mark.slow
def test_false_findings_are_no_more_frequent_than_the_level_and_true_ones_are_found():
    rnd = np.random.default_rng(3)
    false = [compare_answers(*simulate(rnd, 0.1, 0.1)).p_value < 0.05 for _ in range(400)]
    true = [compare_answers(*simulate(rnd, 0.05, 0.2)).p_value < 0.05 for _ in range(100)]
    assert np.mean(false) <= 0.06
    assert np.mean(true) >= 0.95


def test_many_comparisons_are_corrected_for_their_number():
    rnd = np.random.default_rng(4)
    pairs = []
    for _ in range(20):
        a, b = simulate(rnd, 0.1, 0.1)
        pairs.append((samples(dict(enumerate(a))), samples(dict(enumerate(b)))))
    a, b = simulate(rnd, 0.02, 0.3)
    pairs.append((samples(dict(enumerate(a))), samples(dict(enumerate(b)))))
    holm = compare_many(pairs)
    assert list(holm["is_different"]) == [False] * 20 + [True]
    smallest = holm["p_value"].idxmin()
    assert holm["p_corrected"][smallest] == pytest.approx(21 * holm["p_value"][smallest])
    hochberg = compare_many(pairs, correction="benjamini-hochberg")
    assert (hochberg["p_corrected"] <= holm["p_corrected"] + 1e-12).all()


def test_nothing_to_compare_is_an_empty_table_and_an_unknown_correction_is_refused():
    assert len(compare_many([])) == 0
    with pytest.raises(ConfigurationError, match="unknown correction 'none'; choose from holm, benjamini-hochberg"):
        compare_many([], correction="none")


def test_runs_of_another_seed_are_other_documents_under_the_same_numbers(tmp_path):
    rows = [{"doc_id": 0, "gold": [1], "scores": [0.1, 0.9]}]
    usual = read_samples(write_result(tmp_path / "a.json", rows, config={}))
    other = read_samples(write_result(tmp_path / "b.json", rows, config={"seed": 7}))
    with pytest.raises(ConfigurationError, match=r"are of other data .*--seed 7"):
        compare(usual, other)
