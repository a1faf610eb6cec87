"""The main bars: what they show is what the table holds; gaps, stars, marks; one model and twenty."""

import pandas as pd
import pytest

from lm_eval.analysis import figures
from lm_eval.analysis.figures.selection import main_rows, sort_models
from lm_eval.analysis.figures.style import look_of
from lm_eval.analysis.scores import INTERVAL
from tests.support.figures import (
    GEN,
    SCHEMES,
    first_shown,
    many_models,
    model,
    one_model,
    other_shown,
    scored,
    values,
)
from tests.support.results import BASELINE


def test_bars_show_the_scores_of_the_table_with_their_errors():
    table = one_model()
    bars = first_shown(figures.main_bars(table), "bar")
    assert sorted(values(bars)) == pytest.approx([0.6] * 6)
    row = table[table["encoding_scheme"] == "concat_each_example"].iloc[0]
    (trace,) = [bar for bar in bars if bar.name == look_of("concat_each_example").label]
    assert list(trace.y) == [row["chance_corrected"]]
    assert list(trace.error_y.array) == [INTERVAL * row["chance_corrected_stderr"]]


def test_the_buttons_change_to_the_normalised_score_and_its_lines():
    figure = figures.main_bars(one_model())
    assert sorted(values(other_shown(figure, "bar"))) == pytest.approx([0.8] * 6)
    assert set(values(first_shown(figure, "scatter", "chance (guessing)"))) == {0.0}
    assert set(values(other_shown(figure, "scatter", "chance (guessing)"))) == {0.5}
    first, second = figure.layout.updatemenus[0].buttons
    assert [trace.visible is not False for trace in figure.data] == list(first.args[0]["visible"])
    assert [trace.visible is False for trace in figure.data] == list(second.args[0]["visible"])
    assert second.args[1]["yaxis"]["title"]["text"] == "normalised score"
    assert {trace.meta["score"] for trace in figure.data} == {"chance_corrected", "normalised"}


def test_missing_runs_and_missing_baselines_are_marked():
    table = scored(
        *({**model("a"), **GEN, "encoding_scheme": scheme} for scheme in SCHEMES[:2]),
        {**model("a"), **BASELINE},
        {**model("b"), **BASELINE, "num_fewshot": 0},
        {**model("b"), **GEN, "num_fewshot": 0, "encoding_scheme": SCHEMES[0]},
        {**model("b"), **GEN, "encoding_scheme": SCHEMES[0]},
        {**model("c"), **GEN, "encoding_scheme": SCHEMES[0]},
    )
    figure = figures.main_bars(table)
    of_a, of_b = first_shown(figure, "scatter", "no run or no baseline")
    assert len(of_a.x) == 1
    assert "some/a, concat all examples: no run" in of_a.hovertext[0]
    assert len(of_b.x) == 2
    assert "but no baseline to hold it against" in of_b.hovertext[0]
    assert "no baseline clear of chance: b (acc 0.40), c (acc 0.40)" in figure.layout.title.text
    assert list(figure.layout.xaxis.ticktext) == ["a", "b"]  # what has no bar at all takes no room


def test_a_model_with_a_control_alone_has_no_place_among_accuracies():
    control = {"encoding_scheme": "no_context", "WORD_AGG_SCHEME": None, "num_fewshot": 0, "acc": 0.3}
    weak = [{**model("a"), **BASELINE, "acc": 0.26}, {**model("a"), **GEN, "acc": 0.24}]
    figure = figures.main_bars(scored(*weak, {**model("a"), **control}, {**model("b"), **control}))
    lines = [trace for trace in figure.data if trace.name == "no context at all" and trace.meta["score"] == "acc"]
    assert {y for line in lines for y in line.y if y is not None} == {0.3}
    assert all(len(line.x) == 3 for line in lines)


def test_published_values_stand_beside_their_bars_in_the_normalised_score_alone():
    published = pd.DataFrame(
        [
            {
                "task": "hellaswag_dg", "kind": "dist_gen", "pretrained": "some/tiny-1b", "num_fewshot": 5,
                "encoding_scheme": scheme, "normalised": 0.7 + number / 10,
            }
            for number, scheme in enumerate(SCHEMES[:2])
        ]
    )  # fmt: skip
    figure = figures.main_bars(one_model(), published=published)
    (trace,) = other_shown(figure, "scatter", "published")
    assert list(trace.y) == pytest.approx([0.7, 0.8])
    bar = other_shown(figure, "bar", look_of(SCHEMES[1]).label)[0]
    assert trace.x[1] == pytest.approx(bar.x[0])
    assert not first_shown(figure, "scatter", "published")


def test_a_control_without_context_is_a_line_of_its_own_in_every_panel_and_no_bar():
    table = scored(
        *({**model("a"), **BASELINE, "num_fewshot": shots, "acc": acc} for shots, acc in ((0, 0.4), (5, 0.5))),
        *({**model("a"), **GEN, "num_fewshot": shots} for shots in (0, 5)),
        {**model("a"), "encoding_scheme": "no_context", "acc": 0.3, "num_fewshot": 0},
    )
    figure = figures.main_bars(table)
    lines = other_shown(figure, "scatter", "no context at all")
    assert [set(values([line])) for line in lines] == [{0.3 / 0.4}, {0.3 / 0.5}]
    assert [values([line])[0] for line in first_shown(figure, "scatter", "no context at all")] == pytest.approx(
        [0.05 / 0.15, 0.05 / 0.25]
    )
    assert len(values(first_shown(figure, "bar"))) == 2
    assert "no_context" not in set(main_rows(table)["encoding_scheme"])


def test_twenty_models_stand_by_family_and_size_and_nothing_is_lost():
    table = many_models()
    order = sort_models(table)
    assert list(order["family"].unique()) == ["a", "b", "c", "d"]
    assert list(order["size_b"][:5]) == [1, 5, 9, 13, 17]
    figure = figures.main_bars(table)
    assert sorted(values(first_shown(figure, "bar"))) == pytest.approx(sorted(table["chance_corrected"]))
    assert list(figure.layout.xaxis.ticktext) == list(order["model"])
    assert figure.layout.width > figures.main_bars(one_model()).layout.width  # so much room as the bars need


def test_a_star_stands_at_the_best_of_every_model_with_how_many_it_is_the_best_of():
    more = [{**model("b"), **BASELINE}, {**model("b"), **GEN}]
    rows = [{**model("a"), **GEN, "ENCODING_LAYER": str(layer), "acc": 0.3 + layer / 1000} for layer in range(100)]
    table = scored({**model("a"), **BASELINE}, *rows, *more)
    (stars,) = first_shown(figures.main_bars(table), "scatter", "best run, of how many")
    assert list(stars.y) == pytest.approx([(0.399 - 0.25) / 0.25, 0.6])
    assert list(stars.text) == ["100", "1"]
    assert stars.marker.size[0] > 1.3 * stars.marker.size[1]
    assert stars.hovertext[0].startswith("the best of 100 runs<br><b>a</b>, 5 shots")


def test_bars_are_full_above_chance_pale_where_that_is_not_told_and_hollow_below():
    accs = {"concat_all_examples": 0.3, "concat_each_example": 0.26, "sentence_level_segmentation": 0.2}
    rows = [{**model("a"), **GEN, "encoding_scheme": scheme, "acc": acc} for scheme, acc in accs.items()]
    figure = figures.main_bars(scored({**model("a"), **BASELINE}, *rows))
    drawn = [bar for bar in first_shown(figure, "bar") if values([bar])]
    full, pale, hollow = sorted(drawn, key=lambda bar: -bar.y[0])
    assert full.marker.color == look_of("concat_all_examples").colour
    assert pale.marker.color not in ("white", look_of("concat_each_example").colour)
    assert hollow.marker.color == "white"
    states = {"pale: not told from chance", "hollow: below chance"}
    assert states <= {trace.name for trace in figure.data}
    assert not states & {trace.name for trace in figures.main_bars(one_model()).data}


def test_an_error_that_is_not_known_is_not_drawn_and_not_told():
    unknown = {"acc_stderr": None}
    figure = figures.main_bars(scored({**model("a"), **BASELINE, **unknown}, {**model("a"), **GEN, **unknown}))
    (bar,) = [bar for bar in first_shown(figure, "bar") if values([bar])]
    assert bar.error_y.array is None
    assert "nan" not in bar.hovertext[0]
    assert "chance-corrected score 0.600<br>acc 0.400, baseline 0.500" in bar.hovertext[0]


def test_where_no_baseline_is_clear_of_chance_the_accuracy_is_drawn():
    rows = ({**model("a"), **BASELINE, "acc": 0.28}, {**model("a"), **GEN, "acc": 0.27})
    figure = figures.main_bars(scored(*rows))
    assert values(first_shown(figure, "bar")) == [0.27]
    assert figure.layout.yaxis.title.text == "accuracy"
    assert set(values(first_shown(figure, "scatter", "baseline"))) == {0.28}


def test_runs_of_another_dtype_stand_apart_and_take_no_baseline_away():
    rows = [{**model("a"), **BASELINE}, {**model("a"), **GEN}, {**model("a"), **GEN, "dtype": "bfloat16", "acc": 0.3}]
    alone = figures.main_bars(scored(*rows[:2]))
    mixed = figures.main_bars(scored(*rows))
    assert values(first_shown(mixed, "bar")) == values(first_shown(alone, "bar"))
    assert "a (bfloat16) (acc 0.30)" in mixed.layout.title.text
    both = figures.main_bars(scored(*rows, {**model("a"), **BASELINE, "dtype": "bfloat16", "acc": 0.45}))
    assert sorted(values(first_shown(both, "bar"))) == pytest.approx([0.25, 0.6])
    assert list(both.layout.xaxis.ticktext) == ["a (bfloat16)", "a (float32)"]


def test_a_quantised_model_is_drawn_beside_the_whole_one_by_its_own_baseline():
    bits = {"loading": "load_in_4bit=True"}
    rows = [{**model("a"), **BASELINE}, {**model("a"), **GEN}, {**model("a"), **GEN, **bits, "acc": 0.3}]
    figure = figures.main_bars(scored(*rows, {**model("a"), **BASELINE, **bits, "acc": 0.35}))
    assert sorted(values(first_shown(figure, "bar"))) == pytest.approx([0.5, 0.6])
    assert list(figure.layout.xaxis.ticktext) == ["a", "a (load_in_4bit=True)"]


def test_runs_with_a_text_before_the_shots_stand_apart_by_its_first_words():
    text = {"description": "Finish the story in the way that is most likely.\n"}
    rows = [{**model("a"), **BASELINE}, {**model("a"), **GEN}, {**model("a"), **GEN, **text, "acc": 0.3}]
    figure = figures.main_bars(scored(*rows, {**model("a"), **BASELINE, **text, "acc": 0.35}))
    assert sorted(values(first_shown(figure, "bar"))) == pytest.approx([0.5, 0.6])
    assert list(figure.layout.xaxis.ticktext) == ["a (after 'Finish the …')", "a (no description)"]
