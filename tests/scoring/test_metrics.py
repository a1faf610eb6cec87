"""Metrics of a document and of a run, by hand."""

import math
import statistics

import numpy as np
import pytest

from lm_eval.errors import RunError
from lm_eval.scoring.metrics import METRICS, DocumentScores, Tally
from lm_eval.tasks.base import Example, OwnScoring
from lm_eval.tasks.registry import TASKS


def document(scores, *, gold=(0,), choices=None, is_exact_match=None) -> DocumentScores:
    texts = tuple(choices or (" text",) * len(scores))
    example = Example(question=("q",), choices=texts, gold=tuple(gold))
    matches = None if is_exact_match is None else tuple(is_exact_match)
    return DocumentScores(doc_id=0, example=example, scores=tuple(map(float, scores)), is_exact_match=matches)


def aggregate(documents, metrics, own=None) -> dict[str, float | None]:
    tally = Tally(metrics, own)
    for scored in documents:
        tally.add(scored)
    return tally.aggregate()


@pytest.mark.parametrize(
    ("scores", "gold", "acc"),
    [
        ([0.1, 0.7, 0.2], [1], 1),
        ([0.1, 0.7, 0.2], [2], 0),
        ([-9, -3, -5], [1], 1),
        ([0.1, 0.2, 0.7], [0, 2], 1),
        ([0.5, 0.5], [0], 1),
        ([0.5, 0.5], [1], 0),
        ([0.2, 0.4, 0.4], [1], 1),
        ([0.2, 0.4, 0.4], [2], 0),
    ],
)
def test_acc_takes_the_best_score_and_the_first_of_equals(scores, gold, acc):
    assert METRICS["acc"].of(document(scores, gold=gold)) == acc


@pytest.mark.parametrize(("num_choices", "expected"), [(1, 1), (2, 0.5), (4, 0.25)])
def test_rand_acc_is_one_over_the_number_of_choices(num_choices, expected):
    assert METRICS["rand_acc"].of(document([0.0] * num_choices)) == expected


def test_acc_norm_counts_the_leading_blank_and_its_unspaced_form_does_not():
    # per character as scored: -6/2 = -3 and -10/3 = -3.33; without the blank: -6/1 = -6 and -10/2 = -5
    scored = document([-6, -10], gold=[0], choices=[" a", " bb"])
    assert METRICS["acc_norm"].of(scored) == 1
    assert METRICS["acc_norm_unspaced"].of(scored) == 0


def test_acc_norm_prefers_the_longer_of_choices_with_equal_scores():
    scored = document([-6, -6], gold=[1], choices=[" a", " bb"])
    assert METRICS["acc"].of(scored) == 0
    assert METRICS["acc_norm"].of(scored) == 1


def test_acc_norm_counts_characters_not_bytes():
    scored = document([-4, -5], gold=[0], choices=[" éé", " bbb"])  # -4/3 < -5/4, though -4/5 > -5/4
    assert METRICS["acc_norm"].of(scored) == 0


@pytest.mark.parametrize(
    ("matches", "gold", "em"),
    [
        ([False, True, False], [1], 1),
        ([False, True, False], [0], 0),
        ([False, True], [0, 1], 1),
        ([False, False], [0, 1], 0),
    ],
)
def test_em_asks_whether_some_right_choice_is_matched_exactly(matches, gold, em):
    scored = document([-9.0] * len(matches), gold=gold, is_exact_match=matches)
    assert METRICS["em"].of(scored) == METRICS["acc_em"].of(scored) == em


@pytest.mark.parametrize(("right", "error"), [("RWWR", math.sqrt(1 / 3) / 2), ("RR", 0), ("WWW", 0), ("R", None)])
def test_standard_error_is_the_sample_deviation_over_the_root_of_n(right, error):
    documents = [document([1, 0], gold=[0 if letter == "R" else 1]) for letter in right]
    assert aggregate(documents, ["acc"])["acc_stderr"] == pytest.approx(error)


def test_counted_values_give_what_the_list_of_them_gives():
    documents = [document([0.0] * num_choices) for num_choices in [3, 4, 3, 7, 4, 4, 3]]
    values = [METRICS["rand_acc"].of(scored) for scored in documents]
    found = aggregate(documents, ["rand_acc"])
    assert found["rand_acc"] == pytest.approx(statistics.fmean(values), rel=1e-15)
    assert found["rand_acc_stderr"] == pytest.approx(statistics.stdev(values) / math.sqrt(len(values)), rel=1e-14)


def test_a_metric_that_never_varies_has_no_error_at_all():
    documents = [document([0.0] * 3) for _ in range(10)]
    assert aggregate(documents, ["rand_acc"]) == {"rand_acc": 1 / 3, "rand_acc_stderr": 0}


def test_a_run_reports_the_mean_and_the_standard_error_of_each_metric():
    documents = [document([1, 0], is_exact_match=[True, False]), document([0, 1], is_exact_match=[False, True])]
    found = aggregate(documents, TASKS["hellaswag_dg"].metrics)
    assert found == {
        "acc": 0.5,
        "acc_stderr": pytest.approx(0.5),
        "rand_acc": 0.5,
        "rand_acc_stderr": 0,
        "acc_norm": 0.5,
        "acc_norm_stderr": pytest.approx(0.5),
        "em": 0.5,
        "em_stderr": pytest.approx(0.5),
    }
    assert list(found)[::2] == ["acc", "rand_acc", "acc_norm", "em"]


def test_one_document_has_no_standard_error():
    assert aggregate([document([1, 0])], ["acc", "rand_acc"]) == {
        "acc": 1,
        "acc_stderr": None,
        "rand_acc": 0.5,
        "rand_acc_stderr": None,
    }


@pytest.mark.parametrize("task", ["webqs_dg", "webqs"])
def test_webquestions_reports_exact_match_as_its_acc_and_nothing_else(task):
    documents = [
        document([-1, -9], gold=[0, 1], is_exact_match=[False, False]),
        document([-1, -9], gold=[0, 1], is_exact_match=[False, True]),
        document([-1, -9], gold=[0, 1], is_exact_match=[False, True]),
        document([-1, -9], gold=[0, 1], is_exact_match=[False, False]),
    ]
    assert aggregate(documents, TASKS[task].metrics) == {"acc": 0.5, "acc_stderr": pytest.approx(math.sqrt(1 / 3) / 2)}


def test_standard_hellaswag_counts_characters_without_the_leading_blank():
    documents = [document([-6, -10], gold=[1], choices=[" a", " bb"])]
    assert aggregate(documents, TASKS["hellaswag"].metrics) == {
        "acc": 0,
        "acc_stderr": None,
        "acc_norm": 1,
        "acc_norm_stderr": None,
    }


def of_own_lengths(scores, texts, contexts=()):
    example = Example(
        question=("q",), choices=tuple(f" {text}" for text in texts), gold=(0,), contexts=tuple(contexts),
        lengths=tuple(map(len, contexts or texts)),
    )  # fmt: skip
    return DocumentScores(doc_id=0, example=example, scores=tuple(scores))


def test_acc_bytes_counts_the_bytes_of_the_own_texts_of_choices():
    scored = of_own_lengths([-5.0, -4.0], ["éé", "bbb"])  # per byte -5/4 > -4/3, per character -5/2 < -4/3
    assert (METRICS["acc_bytes_own"].of(scored), METRICS["acc_norm_own"].of(scored)) == (1, 0)
    assert METRICS["acc_bytes_own"].of(of_own_lengths([-5.0, -4.0], ["x", "x"], ["ééé", "bb"])) == 1  # -5/6 > -4/2


def test_a_metric_that_is_not_defined_is_left_out_and_said(caplog):
    documents = [document([1, 0, 0], gold=[2]), document([0, 0, 1], gold=[0])]
    assert set(aggregate(documents, ["acc", "f1"])) == {"acc", "acc_stderr"}
    assert "f1 is left out: it isn't defined for these documents" in caplog.text


def test_a_tasks_own_functions_make_its_values_and_its_numbers():
    asked = []

    def process(row, scored, source):
        asked.append((row, scored, source))
        return {"mass": math.exp(scored[0][0]), "pairs": (row["key"], scored[1][1])}

    own = OwnScoring(process_results=process, made=("mass", "pairs"), aggregations={"pairs": len})
    documents = [
        DocumentScores(
            doc_id=number,
            example=Example(question=(), choices=(" a", " b"), gold=(0,), row={"key": number}, source=f"row {number}"),
            scores=(-float(number), -1.5),
            is_exact_match=(False, True),
        )
        for number in range(3)
    ]
    found = aggregate(documents, ["acc", "mass", "pairs"], own)
    assert found["acc"] == pytest.approx(2 / 3)
    assert found["mass"] == pytest.approx((1 + math.exp(-1) + math.exp(-2)) / 3)
    assert (found["pairs"], found["pairs_stderr"]) == (3.0, None)
    assert asked[1] == ({"key": 1}, [(-1.0, False), (-1.5, True)], "row 1")


def test_values_that_a_task_makes_become_one_number_as_those_of_their_name_do():
    made = {"perplexity": -2.0, "f1": (np.int64(1), 1), "mcc": (0, 1)}
    own = OwnScoring(process_results=lambda row, scored, source: made, made=tuple(made))
    found = aggregate([document([0, 1], is_exact_match=[True, True])] * 2, ["acc", *made], own)
    assert (found["perplexity"], found["f1"], found["mcc"]) == (pytest.approx(math.exp(2)), 1.0, 0.0)


def test_an_own_value_that_is_no_number_costs_its_metric_and_of_acc_the_run():
    scored = DocumentScores(
        doc_id=0,
        example=Example(question=(), choices=(" a",), gold=(0,), row={}),
        scores=(-1.0,),
        is_exact_match=(True,),
    )
    own = OwnScoring(process_results=lambda row, results, source: {"acc": math.nan, "mass": math.nan}, made=("mass",))
    assert set(aggregate([scored], ["acc", "mass"], own)) == {"acc", "acc_stderr"}
    with pytest.raises(RunError, match="acc is no number for some documents"):
        aggregate([scored], ["acc"], OwnScoring(process_results=own.process_results, made=("acc",)))


def test_a_function_that_fails_costs_its_metric_alone(caplog):
    own = OwnScoring(aggregations={"f1": lambda pairs: 1 / 0})
    assert aggregate([document([1, 0])], ["acc", "f1"], own) == {"acc": 1, "acc_stderr": None}
    assert "the function of the metric f1 failed (ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("sum_up", "what"), [(lambda values: 1 / 0, r"failed \(ZeroDivisionError"), (lambda values: math.nan, "gave nan")]
)
def test_where_the_function_of_acc_fails_the_error_names_it(sum_up, what):
    with pytest.raises(RunError, match=rf"acc: its aggregation, the function <lambda>, {what}.*; correct it"):
        aggregate([document([1, 0])], ["acc"], OwnScoring(aggregations={"acc": sum_up}))
