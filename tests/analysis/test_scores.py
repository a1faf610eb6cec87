"""Scores beside their baselines, by hand and against the published study; the paper's main configurations; the best."""

import numpy as np
import pytest

from lm_eval.analysis.scores import add_scores, find_best, is_baseline, is_main, state_documents
from lm_eval.config.run_config import RunConfig
from lm_eval.config.settings import VectorSettings
from tests.support.published_study import SETTINGS, read_csv
from tests.support.results import BASELINE, table_of
from tests.support.runs import canonical


def test_a_score_is_put_beside_its_baseline():
    (row,) = add_scores(table_of({}, BASELINE)).table.to_dict("records")
    assert row["baseline"] == 0.5
    assert row["normalised"] == pytest.approx(0.8)
    assert row["normalised_stderr"] == pytest.approx(np.hypot(0.01 / 0.5, 0.4 / 0.25 * 0.02))
    assert row["chance_corrected"] == pytest.approx(0.6)  # 0.15 / 0.25
    assert row["chance_corrected_stderr"] == pytest.approx(np.hypot(0.01 / 0.25, 0.15 / 0.0625 * 0.02))


def test_errors_are_propagated_as_a_simulation_finds_them():
    rnd = np.random.default_rng(0)
    acc, base = rnd.normal(0.4, 0.01, 200_000), rnd.normal(0.5, 0.02, 200_000)
    (row,) = add_scores(table_of({}, BASELINE)).table.to_dict("records")
    assert row["normalised_stderr"] == pytest.approx((acc / base).std(), rel=0.02)
    assert row["chance_corrected_stderr"] == pytest.approx(((acc - 0.25) / (base - 0.25)).std(), rel=0.03)


@pytest.mark.parametrize(
    ("difference", "nearest"),
    [
        ({"num_fewshot": 0}, " (there is one of 0 shots)"),
        ({"pretrained": "other/model"}, ""),
        ({"limit": "100"}, " (there is one of --limit 100)"),
        ({"data": "abd"}, " (there is one of other data)"),
        ({"dtype": "bfloat16"}, " (there is one of bfloat16)"),
        ({"description": "Read."}, " (there is one of another description)"),
        ({"dtype": "bfloat16", "num_fewshot": 0}, ""),
        ({"DECODING_SCHEME": "parameterless_attention"}, ""),
    ],
)
def test_a_baseline_of_something_else_is_none_and_the_missing_one_is_named(difference, nearest):
    scored = add_scores(table_of({}, {**BASELINE, **difference}))
    assert f"model, hellaswag, 5 shots, float32{nearest}" in scored.missing
    assert np.isnan(scored.table["normalised"][0])
    assert np.isnan(scored.table["chance_corrected"][0])


def test_the_dtype_may_be_unknown_on_one_side_and_an_equal_one_comes_first():
    scored = add_scores(table_of({}, {**BASELINE, "acc": 0.8, "dtype": None}, BASELINE))
    assert list(scored.table["baseline"]) == [0.5]
    older = add_scores(table_of({"dtype": None}, BASELINE))
    assert list(older.table["baseline"]) == [0.5]


def test_what_cannot_be_divided_by_is_left_open():
    scored = add_scores(table_of({}, {**BASELINE, "acc": 0.25}))
    assert scored.table["normalised"][0] == pytest.approx(1.6)
    assert np.isnan(scored.table["chance_corrected"][0])
    assert np.isnan(add_scores(table_of({}, {**BASELINE, "acc": 0.0})).table["normalised"][0])


def test_a_run_below_chance_is_told_also_where_an_older_file_does_not_state_chance():
    scored = add_scores(table_of({"acc": 0.2, "rand_acc": None}, {"acc": 0.3, "rand_acc": None}, BASELINE))
    assert list(scored.table["versus_chance"]) == ["below", "above"]


def test_the_best_ablation_is_the_highest_of_each_model_and_number_of_shots():
    table = table_of({"acc": 0.3}, {"acc": 0.6}, {"acc": 0.5, "num_fewshot": 0}, {"acc": 0.1, "pretrained": "b"})
    assert sorted(find_best(table)["acc"]) == [0.1, 0.5, 0.6]
    assert len(find_best(table_of({"encoding_scheme": "no_context"}))) == 0


@pytest.mark.parametrize(
    ("row", "is_one"),
    [
        ({"ENCODING_LAYER": "0"}, True),
        ({"ENCODING_LAYER": None}, False),
        ({"ENCODING_LAYER": "0", "NORM": "L2"}, False),
        ({"ENCODING_LAYER": "0", "WORD_AGG_SCHEME": "last"}, False),
        ({"ENCODING_LAYER": "0", "encoding_scheme": "segment_each_example", "SEGMENT_AGG_SCHEME": "mean"}, False),
        ({"ENCODING_LAYER": "0", "encoding_scheme": "concat_each_example", "EXAMPLE_AGG_SCHEME": "mean"}, False),
        ({"ENCODING_LAYER": "0", "DECODING_SCHEME": "parameterless_attention"}, False),
        ({"ENCODING_LAYER": "0", "kind": "dist_sim"}, False),
    ],
)
def test_main_configurations_are_told_by_their_settings(row, is_one):
    assert list(is_main(table_of(row), "dist_gen", "decoder-only")) == [is_one]


def canonical_row(row: dict[str, str]) -> dict[str, str | None]:
    config = RunConfig(
        model=row["model_type"],
        pretrained=row["model"],
        task=row["task"],
        encoding_scheme=row["encoding_scheme"],
        num_fewshot=int(row["num_fewshot"]),
        vectors=VectorSettings.parse(**{name.lower(): row[name] or None for name in SETTINGS}),
    )
    form = canonical(config)
    return {"encoding_scheme": form.encoding_scheme, **{name: form.vectors.public()[name] for name in SETTINGS}}


@pytest.mark.reference
def test_every_published_value_of_the_main_charts_comes_out(study, reference):
    scored = add_scores(study.table).table
    main = [row for row in read_csv(reference / "paper" / "charts.csv") if "ablations" not in row["chart"]]
    differences = []
    for row in main:
        chosen = (scored["pretrained"] == row["model"]) & (scored["task"] == row["task"])
        chosen &= scored["num_fewshot"] == int(row["num_fewshot"])
        chosen &= is_main(scored, row["model_type"], "decoder-only")
        chosen &= scored["encoding_scheme"] == canonical_row(row)["encoding_scheme"]
        (found,) = scored[chosen]["normalised"]
        differences.append(abs(found - float(row["normalised"])))
    assert len(differences) == 129
    assert max(differences) <= 0.0015


@pytest.mark.reference
def test_the_published_best_ablations_are_among_the_highest_scores(study, reference):
    scored = add_scores(study.table).table
    for row in read_csv(reference / "paper" / "charts.csv"):
        if row["chart"] == "dist_sim_gpt_5_ablations":
            chosen = (scored["pretrained"] == row["model"]) & (scored["num_fewshot"] == 5)
            chosen &= scored["kind"] == "dist_sim"
            for name, value in canonical_row(row).items():
                chosen &= scored[name].isna() if value is None else scored[name] == value
            (found,) = scored[chosen]["normalised"]
            assert found == pytest.approx(float(row["normalised"]), abs=0.0015)


@pytest.mark.reference
def test_nearly_half_of_the_published_similarity_runs_lie_below_chance(study):
    scored = add_scores(study.table).table
    similarity = scored[scored["kind"] == "dist_sim"]
    below = similarity["acc"] < similarity["chance"]
    assert below.mean() == pytest.approx(0.458, abs=0.001)  # 0.437 with repetitions


def test_the_control_without_context_is_never_a_baseline():
    control = {"encoding_scheme": "no_context", "WORD_AGG_SCHEME": None, "num_fewshot": 0, "acc": 0.3}
    table = table_of(control, {**BASELINE, "num_fewshot": 0})
    assert list(is_baseline(table)) == [False, True]
    (row,) = add_scores(table).table.to_dict("records")
    assert (row["encoding_scheme"], row["normalised"]) == ("no_context", pytest.approx(0.6))


@pytest.mark.parametrize(
    ("acc", "state"), [(0.28, "above"), (0.265, "not told apart"), (0.235, "not told apart"), (0.22, "below")]
)
def test_where_a_run_lies_against_chance_is_told_by_its_interval(acc, state):
    assert list(add_scores(table_of({"acc": acc}, BASELINE)).table["versus_chance"]) == [state]  # 1.96 * 0.01


def test_without_an_error_no_run_is_told_apart_from_chance():
    rows = ({"acc": 0.4, "acc_stderr": None}, {"dataset": "webqs", "rand_acc": None})
    assert list(add_scores(table_of(*rows)).table["versus_chance"]) == ["not told apart", None]


@pytest.mark.parametrize(("acc", "has_score"), [(0.2899, False), (0.2901, True)])
def test_a_baseline_must_be_clear_of_chance_by_two_standard_errors(acc, has_score):
    (row,) = add_scores(table_of({}, {**BASELINE, "acc": acc, "acc_stderr": 0.02})).table.to_dict("records")
    assert np.isfinite(row["chance_corrected"]) == has_score
    assert np.isfinite(row["normalised"])


def test_what_an_older_file_leaves_open_follows_from_runs_over_the_same_documents():
    """The error of 0.4 over 601 documents is 0.02, so that of 0.5 is sqrt(0.25 / 600)."""
    table = table_of({"acc_stderr": 0.02}, {"acc": 0.5, "acc_stderr": None, "num_fewshot": 0})
    filled = state_documents(table)
    assert list(filled["num_documents"]) == pytest.approx([601, 601])
    assert list(filled["acc_stderr"]) == pytest.approx([0.02, np.sqrt(0.25 / 600)])
    other = state_documents(table.assign(data=["abc", "other"]))
    assert np.isnan(other["acc_stderr"][1])
    at_odds = table_of({"acc_stderr": 0.02}, {"acc_stderr": 0.03}, {"acc_stderr": None})
    assert np.isnan(state_documents(at_odds)["acc_stderr"][2])


def test_the_best_of_a_model_is_told_for_each_dtype_by_itself():
    table = table_of({"acc": 0.3}, {"acc": 0.6}, {"acc": 0.5, "dtype": "bfloat16"})
    assert sorted(find_best(table)["acc"]) == [0.5, 0.6]


@pytest.mark.parametrize(
    ("run", "baseline", "are_together"),
    [
        ({"ADD_BOS": "True", "bos": "True"}, {"bos": "True"}, True),
        ({"ADD_BOS": "False", "bos": "False"}, {"bos": "False"}, True),
        ({"bos": "True"}, {"ADD_BOS": "True", "bos": "True"}, True),
        ({}, {"bos": "True"}, True),
        ({"ADD_BOS": "False", "bos": "False"}, {"bos": "True"}, False),
        ({"bos": "False"}, {"bos": "True"}, False),
    ],
    ids=["stated", "stated that there are none", "stated by the baseline", "open", "another value", "before the rules"],
)
def test_a_baseline_belongs_to_runs_of_the_same_tokens_in_front(run, baseline, are_together):
    scored = add_scores(table_of(run, {**BASELINE, **baseline}))
    assert scored.table["normalised"].notna().tolist() == [are_together]
    assert len(scored.missing) == (0 if are_together else 1)
