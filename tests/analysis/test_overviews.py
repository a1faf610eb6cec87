"""Figures of many runs: all models at a glance, the specification curve, the ten best; and what they find in words."""

import numpy as np
import pytest

from lm_eval.analysis import figures
from lm_eval.analysis.figures.style import BEST, INK, TRIED
from lm_eval.analysis.findings import best_by_architecture, count_tried, say_best
from lm_eval.analysis.scores import INTERVAL, add_scores
from lm_eval.errors import ConfigurationError
from tests.support.figures import GEN, SIM, first_shown, layered, model, one_model, scored, texts
from tests.support.results import BASELINE

T5 = {"architecture": "encoder-decoder"}


def two_tests() -> list[dict]:
    """Of a decoder and an encoder-decoder: a baseline of 0.5, main runs and others, in Test 1 and Test 2."""
    rows = []
    for of_model in (model("gpt"), {**model("t5"), **T5}):
        rows += [{**of_model, **BASELINE}]
        rows += [{**of_model, **GEN, "acc": 0.3}, {**of_model, "ENCODING_LAYER": "1", "acc": 0.35}]
    rows += [{**model("gpt"), **SIM, "acc": acc, "NORM": norm} for acc, norm in ((0.3, None), (0.2, "L2"))]
    t5 = {**model("t5"), **T5, **SIM, "WORD_AGG_SCHEME": "mean"}
    rows += [{**t5, "acc": acc, "NORM": norm} for acc, norm in ((0.4, None), (0.45, "L2"), (0.22, "zNorm"))]
    return rows


def test_at_a_glance_shows_what_was_tried_main_settings_and_the_best_with_its_number():
    figure = figures.at_a_glance(scored(*two_tests()))
    tried, main, best = (
        [t for t in first_shown(figure, "scatter") if t.xaxis == "x2" and colour in (t.marker.color, t.line.color)]
        for colour in (TRIED, INK, BEST)
    )
    assert list(tried[0].x) == pytest.approx([-0.2, 0.2, None, -0.12, 0.8, None])
    assert list(main[0].x) == pytest.approx([0.2, 0.2, None, 0.6, 0.6, None])
    assert sorted(zip(best[0].customdata, best[0].x, strict=True)) == [(2, pytest.approx(0.2)), (3, pytest.approx(0.8))]
    assert list(figure.layout.yaxis.ticktext) == ["<b>decoder-only</b>", "<b>encoder-decoders</b>", "gpt", "t5"]
    written = texts(figure)
    for text in ("<b>Test 1<br>5 shots</b>", "<b>Test 2<br>5 shots</b>", "hellaswag_dg, hellaswag_d", "5 shots"):
        assert text in written
    assert "Test 2, best runs: encoder-decoders keep 80 %, decoders 20 %" in written


def test_where_a_test_has_several_tasks_each_panel_names_its_own():
    webqs = {"task": "webqs_dg", "dataset": "webqs", "rand_acc": 0.0}
    more = [{**model("gpt"), **row, **webqs} for row in (BASELINE, GEN)]
    written = texts(figures.at_a_glance(scored(*two_tests(), *more))).split("\n")
    heads = [text for text in written if text.startswith("<b>Test")]
    assert sorted(heads) == [
        "<b>Test 1<br>hellaswag_dg<br>5 shots</b>",
        "<b>Test 1<br>webqs_dg<br>5 shots</b>",
        "<b>Test 2<br>5 shots</b>",
    ]


def test_what_the_best_runs_keep_is_told_by_architecture():
    table = scored(*two_tests())
    rows = {(row["kind"], row["architecture"]): row for row in best_by_architecture(table).to_dict("records")}
    assert rows["dist_sim", "encoder-decoder"]["high"] == pytest.approx(0.8)
    assert rows["dist_gen", "decoder-only"]["low"] == pytest.approx(0.4)
    assert say_best(table)[0] == "Test 1, best runs: decoders keep 40 %, encoder-decoders 40 %"


def test_runs_that_differ_in_a_layers_name_alone_count_once():
    of_model = model("a", num_layers=4)
    rows = [{**of_model, "ENCODING_LAYER": layer} for layer in ("4", "-1", None, "1")]
    (best,) = count_tried(scored({**of_model, **BASELINE}, *rows)).to_dict("records")
    assert best["num_runs"] == 2


@pytest.mark.parametrize(("architecture", "own", "other"), [("decoder-only", "E", "2"), ("encoder-decoder", None, "2")])
def test_the_whole_context_handed_over_as_it_is_is_no_best_run(architecture, own, other):
    of_model = {**model("a", num_layers=4), "architecture": architecture, "encoding_scheme": "concat_all_examples"}
    whole = {**of_model, "WORD_AGG_SCHEME": "concat", "acc": 0.5}
    rows = [{**whole, "ENCODING_LAYER": own}, {**whole, "ENCODING_LAYER": other, "acc": 0.4}, {**of_model, "acc": 0.3}]
    (best,) = count_tried(scored({**of_model, **BASELINE}, *rows)).to_dict("records")
    assert (best["ENCODING_LAYER"], best["acc"], best["num_runs"]) == (other, 0.4, 2)


def test_a_model_without_a_clear_baseline_is_named_with_its_accuracies():
    rows = [{**model("weak"), **BASELINE, "acc": 0.26}, {**model("weak"), **GEN, "acc": 0.27}]
    figure = figures.at_a_glance(scored(*two_tests(), *rows))
    assert "not drawn, no baseline clear of chance: weak (acc 0.27)" in texts(figure)


def test_slices_of_documents_are_not_shown_together():
    with pytest.raises(ConfigurationError, match="mixes slices of documents"):
        figures.at_a_glance(scored(*two_tests(), {**model("a"), **GEN, "limit": "20"}))


def many_runs(number: int) -> list[dict]:
    norms = (None, "L2", "zNorm")
    rows = [{**model("a"), "ENCODING_LAYER": str(place), "NORM": norms[place * 3 // number]} for place in range(number)]
    return [{**row, "acc": 0.26 + place / 1000} for place, row in enumerate(rows)]


def test_the_curve_holds_all_runs_in_order_with_their_intervals():
    table = scored({**model("a"), **BASELINE}, *many_runs(12))
    figure = figures.specification_curve(table, num_fewshot=5)
    (points,) = first_shown(figure, "scatter")
    assert list(points.y) == pytest.approx(sorted(table["chance_corrected"]))
    assert list(points.error_y.array) == pytest.approx(INTERVAL * table["chance_corrected_stderr"])
    assert points.hovertext[-1].startswith("place 1 of 12<br><b>a</b>, 5 shots")
    (cells,) = first_shown(figure, "heatmap")
    rows = dict(zip(figure.layout.yaxis2.ticktext, cells.z, strict=True))
    assert list(rows["zNorm"] > 0) == [False] * 8 + [True] * 4
    assert list(rows["none"] > 0) == [True] * 4 + [False] * 8
    assert "hellaswag_dg" in texts(figure)


def test_of_many_runs_the_matrix_says_how_much_more_common_a_value_is_at_each_height():
    figure = figures.specification_curve(scored({**model("a"), **BASELINE}, *many_runs(96)), num_fewshot=5)
    (cells,) = first_shown(figure, "heatmap")
    rows = dict(zip(figure.layout.yaxis2.ticktext, cells.z, strict=True))
    assert rows["L2"][24] == pytest.approx(np.log2(3))  # all of the slice, a third of all
    assert rows["L2"][0] == -2  # never: as pale as can be
    place = list(figure.layout.yaxis2.ticktext).index("L2")
    assert cells.hovertext[place][24] == "norm: L2<br>100% of the runs here, 33% of all"
    assert "<b>norm</b>" in rows
    assert "0 to 4" in rows


def test_ribbons_are_the_best_runs_and_end_at_their_scores():
    table = layered(num_layers=4)
    figure = figures.parallel_settings(table, num_fewshot=5, best=3)
    (points,) = [t for t in first_shown(figure, "scatter") if t.mode == "markers"]
    assert list(points.x) == pytest.approx([0.8, 0.6, 0.6])
    errors = table.sort_values("chance_corrected", ascending=False)["chance_corrected_stderr"]
    assert list(points.error_x.array) == pytest.approx(INTERVAL * errors.iloc[:3])
    assert len([t for t in first_shown(figure, "scatter") if t.mode == "lines"]) == 3
    written = texts(figure)
    assert "the 3 best of 12 runs" in written
    for text in ("<b>norm</b>", "<b>layer</b>", "L2", "3", "4"):
        assert text in written.split("\n")
    assert points.hovertext[0].startswith("place 1 of 12<br>")


@pytest.mark.slow
@pytest.mark.reference
def test_the_published_study_at_a_glance(study):
    table = add_scores(study.table).table
    written = texts(figures.at_a_glance(table[table["task"] != "webqs_dg"]))
    assert "Test 2, best runs: encoder-decoders keep 60 to 93 %, decoders −13 to 51 %" in written  # noqa: RUF001
    assert "10,042 documents" in written


def test_a_single_run_makes_no_curve():
    with pytest.raises(ConfigurationError, match="has 1 run of 5 shots"):
        figures.specification_curve(one_model().iloc[-1:], num_fewshot=5)
