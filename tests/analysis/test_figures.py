"""All figures alike: what they refuse, what stands on each, buttons, files; sizes, and the table of the best."""

import re

import numpy as np
import pandas as pd
import pytest

from lm_eval.analysis import figures
from lm_eval.analysis.checkpoints import architecture_of
from lm_eval.analysis.figures.score_toggle import without_buttons
from lm_eval.analysis.figures.style import TEMPLATE, look_of
from lm_eval.analysis.scores import add_scores
from lm_eval.errors import ConfigurationError
from tests.support.figures import (
    GEN,
    SCHEMES,
    first_shown,
    layered,
    many_models,
    model,
    one_model,
    other_shown,
    scored,
    texts,
    values,
)
from tests.support.results import BASELINE


def test_the_row_of_buttons_is_added_above_and_taken_away_again_for_pictures():
    figure = figures.main_bars(one_model())
    still = without_buttons(figure)
    assert not still.layout.updatemenus
    row = figure.layout.height - still.layout.height
    assert row > 0
    assert figure.layout.margin.t - still.layout.margin.t == row
    assert figure.layout.title.pad.t - still.layout.title.pad.t == row
    below_top = [(1 - one.layout.legend.y) * one.layout.height for one in (figure, still)]
    assert below_top[0] - below_top[1] == pytest.approx(row)
    (menu,) = figure.layout.updatemenus
    panels = figure.layout.height - figure.layout.margin.t - figure.layout.margin.b
    assert (menu.y - 1) * panels == pytest.approx(figure.layout.margin.t)  # the upper edge


def test_axes_have_types_of_their_own_so_that_hidden_traces_cannot_decide_them():
    for draw in (figures.main_bars, figures.effects, figures.scaling):
        layout = draw(one_model()).layout
        assert layout.yaxis.type == "linear"
        assert layout.xaxis.type in ("linear", "log")


def test_scores_over_size_are_those_of_the_table():
    table = many_models()
    table.loc[table["model"] == "d-19b", "size_b"] = np.nan
    figure = figures.scaling(table)
    points = [t for t in first_shown(figure, "scatter") if t.error_y.array is not None]
    shown = {(float(x), round(float(y), 6)) for t in points for x, y in zip(t.x, t.y, strict=True)}
    known = table[table["size_b"].notna()]
    assert shown == {(s, round(n, 6)) for s, n in zip(known["size_b"], known["chance_corrected"], strict=True)}
    assert {t.line.color for t in points} == {look_of(scheme).colour for scheme in SCHEMES}
    assert "not shown (no size, no baseline or no run): d-19b" in figure.layout.title.text


def test_the_table_of_best_settings_has_a_row_for_each_model_and_number_of_shots():
    table = one_model()
    best = figures.best_settings(table)
    assert list(best["num_fewshot"]) == [0, 5]
    assert list(best["num_runs"]) == [2, 5]
    assert list(best["NORM"].fillna("none")) == ["none", "L2"]
    (drawn,) = figures.best_table(table).data
    cells = dict(zip(drawn.header["values"], drawn.cells["values"], strict=True))
    assert list(cells["<b>acc</b>"]) == ["0.400", "0.450"]
    assert list(cells["<b>norm-<br>alised</b>"]) == ["0.800", "0.900"]
    assert list(cells["<b>chance-<br>corr.</b>"]) == ["0.600", "0.800"]


DRAWING = {
    "main_bars": figures.main_bars,
    "effects": figures.effects,
    "at_a_glance": figures.at_a_glance,
    "depth_lines": figures.depth_lines,
    "specification_curve": lambda table: figures.specification_curve(table, num_fewshot=5),
    "layer_heat_map": figures.layer_heat_map,
    "layer_lines": figures.layer_lines,
    "parallel_settings": lambda table: figures.parallel_settings(table, num_fewshot=5),
    "scaling": figures.scaling,
    "best_table": figures.best_table,
}


@pytest.mark.parametrize("draw", DRAWING.values(), ids=DRAWING)
def test_an_empty_table_says_what_makes_results(draw):
    with pytest.raises(ConfigurationError, match="the table is empty; scripts/run_parallel"):
        draw(one_model().head(0))


@pytest.mark.parametrize("draw", DRAWING.values(), ids=DRAWING)
@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("task", "webqs_dg", "mixes tasks hellaswag_dg, webqs_dg"),
        ("kind", "dist_sim", "mixes tests dist_gen, dist_sim"),
        ("limit", "20", r"mixes slices of documents \(--limit\) 20, None"),
    ],
)
def test_a_mixed_table_is_refused_with_the_way_to_choose(draw, column, value, message):
    if draw is figures.at_a_glance and column != "limit":
        pytest.skip("shows all tests and tasks together")
    table = one_model()
    table.loc[0, column] = value
    with pytest.raises(ConfigurationError, match=message + ".*choose one, as in table"):
        draw(table)


@pytest.mark.parametrize(
    "name", ["at_a_glance", "depth_lines", "layer_heat_map", "layer_lines", "parallel_settings", "scaling"]
)
def test_scores_without_any_baseline_are_refused_with_the_script_that_makes_it(name):
    with pytest.raises(ConfigurationError, match=r"none of 2 runs has a baseline.*run_parallel_baseline"):
        DRAWING[name](scored({**model("a"), **GEN}, {**model("a"), **GEN, "NORM": "L2"}))


def test_without_any_baseline_accuracies_are_drawn():
    table = scored({**model("a"), **GEN}, {**model("a"), **GEN, "NORM": "L2", "acc": 0.3})
    for name in ("main_bars", "effects", "specification_curve"):
        assert "accuracy" in texts(DRAWING[name](table)), name
    assert values(first_shown(figures.main_bars(table), "bar")) == [0.4]
    assert list(figures.best_table(table).data[0].cells["values"][3]) == ["0.400"]


def test_a_single_value_or_layer_or_unknown_name_is_refused():
    same = scored({**model("a"), **BASELINE}, {**model("a"), **GEN})
    with pytest.raises(ConfigurationError, match="all runs of some/a are of layer 0"):
        figures.layer_lines(same)
    with pytest.raises(ConfigurationError, match="no scored runs of some/b; the table has some/a"):
        figures.layer_lines(layered(), model="some/b")
    with pytest.raises(ConfigurationError, match="none of 1 shot with a score, only of 5"):
        figures.parallel_settings(same, num_fewshot=1)
    with pytest.raises(ConfigurationError, match="of a model of known size"):
        figures.scaling(scored({**model("x", None), **BASELINE}, {**model("x", None), **GEN}))


@pytest.mark.parametrize(
    ("pretrained", "architecture"),
    [
        ("EleutherAI/pythia-12b-deduped", "decoder-only"),
        ("google/flan-ul2", "encoder-decoder"),
        ("bigscience/mt0-large", "encoder-decoder"),
        ("t5-3B", "encoder-decoder"),
        ("google/mt5-small", "encoder-decoder"),
        ("/elsewhere/models/demo-t5", "encoder-decoder"),
        ("/elsewhere/models/tiny-t5", "encoder-decoder"),
        ("bigscience/bloomz-1b1", "decoder-only"),
    ],
)
def test_architectures_are_known_by_the_list_or_the_name(pretrained, architecture):
    assert architecture_of(pretrained) == architecture


def test_all_figures_have_one_template_and_letters_that_survive_a_column():
    assert TEMPLATE.layout.font.size * 241 / TEMPLATE.layout.width >= 6  # points, where 85 mm are 241 of them
    for name, draw in DRAWING.items():
        figure = draw(two_models())
        assert figure.layout.template == TEMPLATE, name


@pytest.mark.parametrize("name", DRAWING)
def test_each_figure_alone_tells_task_documents_and_shots_and_hides_no_template(name):
    figure = DRAWING[name](two_models().assign(num_documents=1200.0))
    assert "hellaswag_dg, 1,200 documents, 5 shots" in texts(figure).replace("<br>", " ")
    told = figure.to_json()
    assert not re.search(r"customdata\}|Count: |nan", told)
    assert "s.e., baseline 0.500, n = 1,200" in told or name in ("effects", "best_table")


@pytest.mark.parametrize("name", DRAWING)
def test_names_stand_in_figures_as_they_are(name):
    table = two_models().replace({"model": {"a-1b": "a<b>&c"}, "family": {"a": "a<i>"}})
    told = DRAWING[name](table.replace({"pretrained": {"some/a-1b": "some/a<b>&c"}})).to_json()
    told = told.encode().decode("unicode_escape")
    assert "a<b>" not in told
    assert "a<i>" not in told
    assert "a&lt;b&gt;&amp;c" in told or name == "effects"


def test_a_model_of_two_dtypes_is_not_said_to_lack_a_size():
    table = two_models()
    again = table[table["model"] == "a-1b"].assign(dtype="bfloat16")
    assert "not shown" not in texts(figures.scaling(pd.concat([table, again], ignore_index=True)))


def two_models() -> pd.DataFrame:
    """Runs of two models, so that every figure has something to draw."""
    rows = []
    for name, depth in (("a-1b", 4), ("b-2b", 8)):
        of_model = model(name, num_layers=depth)
        rows += [{**of_model, **BASELINE}]
        rows += [{**of_model, "ENCODING_LAYER": layer, "acc": 0.4} for layer in ("0", "middle", None)]
        rows += [{**of_model, **GEN, "NORM": "L2", "acc": 0.38}]
    return scored(*rows)


def test_pages_show_no_bar_of_buttons_over_figures(tmp_path):
    page = figures.save(figures.main_bars(one_model()), tmp_path / "a")[-1].read_text()
    assert '"displayModeBar": false' in page


def test_a_figure_is_saved_as_picture_print_and_page(tmp_path):
    figure = figures.main_bars(one_model())
    files = figures.save(figure, tmp_path / "charts" / "gpt-neo-2.7B")
    assert [file.name for file in files] == ["gpt-neo-2.7B.png", "gpt-neo-2.7B.pdf", "gpt-neo-2.7B.html"]
    assert files[0].read_bytes().startswith(b"\x89PNG")
    assert files[1].read_bytes().startswith(b"%PDF")
    assert "updatemenus" in files[2].read_text()
    assert set((tmp_path / "charts").iterdir()) == {*files, tmp_path / "charts" / "plotly.min.js"}
    assert figure.layout.updatemenus  # saving takes the buttons from the pictures alone


@pytest.mark.slow
def test_all_figures_at_once_are_those_that_can_be_drawn():
    other = one_model().assign(task="hellaswag_d", kind="dist_sim")
    drawn = figures.draw_all(pd.concat([one_model(), other, scored({**model("z"), **GEN, "task": "webqs_dg"})]))
    assert next(iter(drawn)) == "At a glance: all models"
    assert [title for title in drawn if title.startswith("Test 1, generation (hellaswag_dg): ")] == [
        f"Test 1, generation (hellaswag_dg): {what}"
        for what in (
            *("main configurations", "score and model size", "what each setting changes"),
            *("all runs, 0 shots", "best settings, 0 shots", "all runs, 5 shots", "best settings, 5 shots"),
        )
    ]
    assert not any("webqs" in title for title in drawn)
    assert figures.draw_all(one_model().head(0)) == {}


def test_of_baselines_and_controls_alone_there_is_nothing_to_draw():
    table = scored({**model("a"), **BASELINE}, {**model("a"), "encoding_scheme": "no_context", "num_fewshot": 0})
    assert figures.draw_all(table) == {}
    assert figures.largest_study(table).empty


@pytest.mark.slow
@pytest.mark.reference
def test_the_published_study_gives_the_papers_charts(study, reference):
    table = add_scores(study.table).table
    published = pd.read_csv(reference / "paper" / "charts.csv")
    for task in ("hellaswag_dg", "hellaswag_d"):
        runs = table[table["task"] == task]
        figure = figures.main_bars(runs)
        main = published[(published["task"] == task) & ~published["chart"].str.contains("ablations")]
        shown = np.array(values(other_shown(figure, "bar")))
        assert all(np.abs(shown - value).min() <= 0.0015 for value in main["normalised"])
        best = published[published["chart"].str.contains("5_ablations") & (published["task"] == task)][
            "normalised"
        ].max()
        neo = runs[runs["pretrained"] == "EleutherAI/gpt-neo-1.3B"]
        stars = other_shown(figures.main_bars(neo), "scatter", "best run, of how many")
        assert np.abs(np.array(values(stars)) - best).min() <= 0.0015
        ten = figures.parallel_settings(neo, num_fewshot=5)
        (points,) = [t for t in other_shown(ten, "scatter") if t.mode == "markers"]
        assert max(points.x) == pytest.approx(best, abs=0.0015)
