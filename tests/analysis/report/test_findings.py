"""What a report says it found: sentences made of the runs, with numbers that can be checked by hand."""

import pandas as pd
import pytest

from lm_eval.analysis.report.findings import say_findings, say_title
from lm_eval.analysis.scores import add_scores
from tests.support.results import BASELINE, table_of

T5, GPT = {"pretrained": "a/t5", "model": "t5"}, {"pretrained": "b/gpt", "model": "gpt"}
ARCHITECTURES = {"a/t5": "encoder-decoder", "b/gpt": "decoder-only"}
SIMILARITY = {"kind": "dist_sim", "task": "hellaswag_d"}
EXACT = {"acc_stderr": 0.0}


def find(*rows: dict) -> list[str]:
    table = table_of(*rows)
    return say_findings(table, add_scores(table).table, ARCHITECTURES)


def test_a_title_says_which_models_ran_what():
    table = table_of({**T5, **SIMILARITY}, {**GPT, "num_fewshot": 0}, {**BASELINE, **GPT})
    assert say_title(table) == "t5 and gpt on hellaswag: Test 1 (generation) and Test 2 (similarity), 0 and 5 shots"
    many = pd.concat([table, table_of({"model": "third", "pretrained": "c/third"})])
    assert say_title(many).startswith("3 models on hellaswag: ")


def test_the_best_of_each_architecture_is_told_with_intervals_and_of_how_many():
    baselines = [{**BASELINE, **EXACT, **model} for model in (T5, GPT)]
    first, second, third = find(
        {**T5, "acc": 0.45, "acc_stderr": 0.01},
        {**T5, "acc": 0.30, "acc_stderr": 0.01, "NORM": "L2"},
        {**GPT, "acc": 0.20, "acc_stderr": 0.01},
        {**GPT, "acc": 0.30, "acc_stderr": 0.02, "NORM": "L2"},
        *baselines,
    )
    # (0.45 - 0.25) / (0.5 - 0.25) = 0.8, and 1.96 * 0.01 / 0.25 = 8 points
    assert first == (
        "In Test 1 (generation), t5 keeps 80 % of the baseline at best, gpt 20 % (95 % intervals: ± 8 to 16 points)."
    )
    assert second == "Of 4 runs, 3 lie above guessing, 1 below it, and 0 can't be told from it (95 %)."
    assert third.startswith("Each share of the baseline is the best of up to 2 runs over the same documents, and so")


def test_both_tests_and_the_main_settings_make_three_sentences():
    main = {**GPT, "ENCODING_LAYER": "0", "acc": 0.35}
    similarity = {**GPT, **SIMILARITY, "WORD_AGG_SCHEME": "w1mean", "SIMILARITY_FUNC": "dot_product", "acc": 0.2}
    best = {**similarity, "NORM": "L2", "acc": 0.45}
    first, second, third = find(main, similarity, best, {**BASELINE, **GPT})
    assert first.startswith("In Test 1 (generation), gpt keeps 40 % of the baseline at best (")
    assert second.startswith("In Test 2 (similarity), gpt keeps 80 % of the baseline at best (")
    assert third == (
        "In both tests, each share of the baseline is the best of up to 2 runs over the same documents, and so "
        "rather too high; "
        "with the paper's main settings, gpt keeps nothing in Test 2."
    )


@pytest.mark.parametrize(
    ("scores", "said"),
    [((0.2, 0.24), "keep nothing"), ((0.2, 0.375), "keep at most 50 %"), ((0.3, 0.375), "keep 20 to 50 %")],
)
def test_a_range_that_begins_below_guessing_is_told_by_its_upper_end(scores, said):
    models = [{"pretrained": f"b/{name}", "model": name} for name in ("one", "two")]
    rows = [{**model, "acc": acc} for model, acc in zip(models, scores, strict=True)]
    sentence = find(*rows, *({**BASELINE, **model} for model in models))[0]
    assert f"2 decoder-only models {said} of the baseline at best" in sentence


def test_runs_without_a_baseline_clear_of_guessing_are_told_by_their_accuracy():
    (sentence,) = find({**GPT, "acc": 0.3}, {**BASELINE, **GPT, "acc": 0.26})
    lacking = "there is no baseline above guessing to compare with"
    assert sentence == f"In Test 1 (generation), accuracy is 0.300; {lacking}."
    (one, *_) = find({**GPT, "acc": 0.3}, {**GPT, "acc": 0.2, "NORM": "L2"}, {**BASELINE, **GPT, "acc": 0.26})
    assert "accuracy is between 0.200 and 0.300; " in one


def test_a_single_share_is_the_best_of_its_runs_and_a_single_run_was_not_picked():
    one, other = {**GPT, "acc": 0.3}, {**GPT, "acc": 0.35, "NORM": "L2"}
    assert find(one, other, {**BASELINE, **GPT})[-1].startswith("The share of the baseline is the best of 2 runs over")
    of_only = "the share of the baseline is of a model's only run at its number of shots."
    assert find(one, {**BASELINE, **GPT})[-1] == f"Nothing was picked: {of_only}"


def test_where_there_are_several_slices_the_one_with_the_most_runs_is_told_and_named():
    others = [{**GPT, "limit": "100", "acc": 0.4}, {**GPT, "limit": "100", "NORM": "L2"}]
    sentence = find({**GPT, "acc": 0.3}, *others, {**BASELINE, **GPT}, {**BASELINE, **GPT, "limit": "100"})[0]
    assert sentence.startswith("In Test 1 (generation) with --limit 100, gpt keeps 60 % of the baseline")


def test_errors_that_are_not_known_are_said_to_be_unknown():
    row = {**GPT, "acc": 0.3, "acc_stderr": float("nan")}
    assert "their errors are not known" in find(row, {**BASELINE, **GPT, "acc_stderr": float("nan")})[0]


@pytest.mark.reference
def test_the_published_study_is_told_as_its_paper_tells_it(study):
    architectures = dict(zip(study.table["pretrained"], study.table["architecture"], strict=True))
    _, second, _ = say_findings(study.table, add_scores(study.table).table, architectures)
    assert "3 encoder-decoder models keep 60 to 93 % of the baseline at best" in second
    assert "11 decoder-only models at most 51 %" in second
