"""Figures: what they show is what the table holds; gaps, stars, marks; one model and twenty; bad tables."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from lm_eval.analysis import figures
from lm_eval.analysis.checkpoints import architecture_of
from lm_eval.analysis.figures.score_toggle import without_buttons
from lm_eval.analysis.figures.selection import best_ablations, main_rows, sort_models
from lm_eval.analysis.figures.style import TEMPLATE, look_of
from lm_eval.analysis.scores import add_scores
from lm_eval.errors import ConfigurationError
from tests.support.results import BASELINE, table_of

GEN = {"ENCODING_LAYER": "0"}
SCHEMES = ("concat_all_examples", "concat_each_example", "segment_each_example", "sentence_level_segmentation")


def model(name: str, size_b: float | None = 1.0, family: str | None = None) -> dict:
    return {
        "pretrained": f"some/{name}",
        "model": name,
        "family": family or name.partition("-")[0],
        "size_b": np.nan if size_b is None else size_b,
    }


def scored(*rows: dict) -> pd.DataFrame:
    return add_scores(table_of(*rows).astype({"size_b": float})).table


def one_model() -> pd.DataFrame:
    """Main configurations of a model at 0 and 5 shots, and a better ablation at 5."""
    rows = [{**model("tiny-1b"), **BASELINE, "num_fewshot": number} for number in (0, 5)]
    rows += [{**model("tiny-1b"), **GEN, "num_fewshot": 5, "encoding_scheme": scheme} for scheme in SCHEMES]
    rows += [{**model("tiny-1b"), **GEN, "num_fewshot": 0, "encoding_scheme": scheme} for scheme in SCHEMES[::3]]
    rows += [{**model("tiny-1b"), **GEN, "NORM": "L2", "acc": 0.45}]
    return scored(*rows)


def first_shown(figure: go.Figure, kind: str, name: str | None = None) -> list:
    """The traces of a type that a reader sees first, the normalised score's."""
    return [t for t in figure.data if t.type == kind and t.visible is not False and name in (None, t.name)]


def corrected(figure: go.Figure, kind: str, name: str | None = None) -> list:
    return [t for t in figure.data if t.type == kind and t.visible is False and name in (None, t.name)]


def values(traces: list) -> list[float]:
    return [float(value) for trace in traces for value in trace.y if value is not None]


def test_bars_show_the_scores_of_the_table_with_their_errors():
    table = one_model()
    bars = first_shown(figures.main_bars(table), "bar")
    assert sorted(values(bars)) == pytest.approx([0.8] * 6)
    row = table[table["encoding_scheme"] == "concat_each_example"].iloc[0]
    (trace,) = [bar for bar in bars if bar.name == look_of("concat_each_example").label]
    assert list(trace.y) == [row["normalised"]]
    assert list(trace.error_y.array) == [row["normalised_stderr"]]


def test_the_buttons_change_to_the_chance_corrected_score_and_its_lines():
    figure = figures.main_bars(one_model())
    assert sorted(values(corrected(figure, "bar"))) == pytest.approx([0.6] * 6)
    assert set(values(first_shown(figure, "scatter", "chance (guessing)"))) == {0.5}
    assert set(values(corrected(figure, "scatter", "chance (guessing)"))) == {0.0}
    first, second = figure.layout.updatemenus[0].buttons
    assert [trace.visible is not False for trace in figure.data] == list(first.args[0]["visible"])
    assert [trace.visible is False for trace in figure.data] == list(second.args[0]["visible"])
    assert second.args[1]["yaxis"]["title"]["text"] == "chance-corrected score"


def test_a_star_and_its_line_stand_at_the_best_ablation_of_models_that_have_any():
    figure = figures.main_bars(one_model())
    stars = [
        t for t in first_shown(figure, "scatter", "best ablation") if t.marker.symbol == "star" and t.x[0] is not None
    ]
    assert values(stars) == pytest.approx([0.9])  # of 5 shots; at 0 shots there are only main configurations
    table = one_model()
    assert list(best_ablations(table, "normalised")["NORM"]) == ["L2"]
    assert best_ablations(table[table["NORM"].isna()], "normalised").empty


def test_the_means_of_every_grid_make_no_model_an_ablated_one_but_count_where_it_is():
    means = [{"SEGMENT_AGG_SCHEME": s, "EXAMPLE_AGG_SCHEME": e} for s in (None, "mean") for e in (None, "mean")]
    rows = [{**model("a"), **BASELINE}]
    for number, means_of in enumerate(means):
        scheme = "sentence_level_segmentation"
        rows.append({**model("a"), **GEN, **means_of, "encoding_scheme": scheme, "acc": 0.3 + number / 100})
    assert best_ablations(scored(*rows), "normalised").empty
    for other in ({"WORD_AGG_SCHEME": "last"}, {"ENCODING_LAYER": "E"}, {"EXAMPLE_AGG_SCHEME": "soft_cluster"}):
        (best,) = best_ablations(scored(*rows, {**model("a"), **GEN, **other, "acc": 0.2}), "normalised")["acc"]
        assert best == pytest.approx(0.33)


def test_bars_below_chance_are_hollow():
    figure = figures.main_bars(scored({**model("a"), **BASELINE}, {**model("a"), **GEN, "acc": 0.2}))
    named, hollow = first_shown(figure, "bar")
    assert (values([named]), values([hollow])) == ([], [0.4])
    assert (named.showlegend, hollow.marker.color) == (True, "white")
    assert "hollow: below chance" in {trace.name for trace in figure.data}
    above = figures.main_bars(one_model())
    assert "hollow: below chance" not in {trace.name for trace in above.data}


def test_missing_runs_and_missing_baselines_are_marked():
    table = scored(
        *({**model("a"), **GEN, "encoding_scheme": scheme} for scheme in SCHEMES[:2]),
        {**model("a"), **BASELINE},
        {**model("b"), **GEN, "encoding_scheme": SCHEMES[0]},
    )
    marks = first_shown(figures.main_bars(table), "scatter", "no run or no baseline")
    (mark,) = marks
    assert len(mark.x) == 2
    assert "but no baseline" in mark.hovertext[0]
    assert "no run" in mark.hovertext[1]


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
    (trace,) = first_shown(figure, "scatter", "published")
    assert list(trace.y) == pytest.approx([0.7, 0.8])
    bar = first_shown(figure, "bar", look_of(SCHEMES[1]).label)[0]
    assert trace.x[1] == pytest.approx(bar.x[0])
    assert not corrected(figure, "scatter", "published")


def test_a_control_without_context_is_a_line_of_its_own_in_every_panel_and_no_bar():
    table = scored(
        *({**model("a"), **BASELINE, "num_fewshot": shots, "acc": acc} for shots, acc in ((0, 0.4), (5, 0.5))),
        *({**model("a"), **GEN, "num_fewshot": shots} for shots in (0, 5)),
        {**model("a"), "encoding_scheme": "no_context", "acc": 0.3, "num_fewshot": 0},
    )
    figure = figures.main_bars(table)
    lines = first_shown(figure, "scatter", "no context at all")
    assert [set(values([line])) for line in lines] == [{0.3 / 0.4}, {0.3 / 0.5}]
    assert [values([line])[0] for line in corrected(figure, "scatter", "no context at all")] == pytest.approx(
        [0.05 / 0.15, 0.05 / 0.25]
    )
    assert len(values(first_shown(figure, "bar"))) == 2
    assert "no_context" not in set(main_rows(table)["encoding_scheme"])


def many_models(number: int = 20) -> pd.DataFrame:
    rows = []
    for index in range(number):
        of_model = model(f"{'abcd'[index % 4]}-{index}b", float(index + 1))
        rows.append({**of_model, **BASELINE})
        rows += [{**of_model, **GEN, "encoding_scheme": scheme, "acc": 0.3 + index / 100} for scheme in SCHEMES]
    return scored(*rows)


def test_twenty_models_stand_by_family_and_size_and_nothing_is_lost():
    table = many_models()
    order = sort_models(table)
    assert list(order["family"].unique()) == ["a", "b", "c", "d"]
    assert list(order["size_b"][:5]) == [1, 5, 9, 13, 17]
    figure = figures.main_bars(table)
    assert sorted(values(first_shown(figure, "bar"))) == pytest.approx(sorted(table["normalised"]))
    assert list(figure.layout.xaxis.ticktext) == list(order["model"])
    assert figure.layout.width > figures.main_bars(one_model()).layout.width  # so much room as the bars need


def test_boxes_of_ablations_hold_the_quartiles_of_the_table_and_few_runs_are_points():
    rnd = np.random.default_rng(0)
    norms = ["L2"] * 40 + ["zNorm"] * 3
    accs = rnd.uniform(0.2, 0.5, len(norms))
    table = scored(
        {**model("a"), **BASELINE},
        *({**model("a"), "NORM": n, "acc": float(a)} for n, a in zip(norms, accs, strict=True)),
    )
    figure = figures.ablations(table)
    (box,) = first_shown(figure, "box")
    of_l2 = table[table["NORM"] == "L2"]["normalised"]
    assert (box.q1[0], box.median[0], box.q3[0]) == pytest.approx(tuple(of_l2.quantile([0.25, 0.5, 0.75])))
    assert (box.lowerfence[0], box.upperfence[0]) == pytest.approx((of_l2.min(), of_l2.max()))
    points = [t for t in first_shown(figure, "scatter") if t.error_x.array is not None]
    shown = {round(float(x), 6): t.marker.symbol for t in points for x in t.x}
    few = table[table["NORM"] == "zNorm"]
    assert sorted(shown) == pytest.approx(sorted(few["normalised"]), abs=1e-6)
    for run in few.to_dict("records"):
        assert ("open" in shown[round(run["normalised"], 6)]) == run["below_chance"]
    assert any(
        t.marker.symbol == "star" and list(t.x) == [table["normalised"].max()] for t in first_shown(figure, "scatter")
    )


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
    for draw in (figures.main_bars, figures.ablations, figures.scaling):
        layout = draw(one_model()).layout
        assert layout.yaxis.type == "linear"
        assert layout.xaxis.type in ("linear", "log")


def layered() -> pd.DataFrame:
    rows = [{**model("a"), **BASELINE}]
    for layer, acc in {"E": 0.2, "0": 0.3, "1": 0.35, "3": 0.4, "middle": 0.33, None: 0.45}.items():
        rows.append({**model("a"), "ENCODING_LAYER": layer, "acc": acc})
        rows.append({**model("a"), "ENCODING_LAYER": layer, "acc": acc - 0.05, "NORM": "L2"})
    return scored(*rows)


def test_the_heat_map_shows_the_best_of_each_layer_and_leaves_gaps_open():
    figure = figures.layer_heat_map(layered())
    (heat,) = first_shown(figure, "heatmap")
    assert list(heat.x) == ["E", "0", "1", "2", "3", "middle", "last"]
    assert list(heat.z[0]) == pytest.approx([0.4, 0.6, 0.7, np.nan, 0.8, 0.66, 0.9], nan_ok=True)
    (marks,) = [t for t in first_shown(figure, "scatter") if t.marker.symbol == "x-thin"]
    assert list(marks.x) == ["E"]


def test_lines_over_layers_are_broken_where_a_layer_lacks_and_hollow_below_chance():
    lines = first_shown(figures.layer_lines(layered()), "scatter", look_of("concat_all_examples").label)
    joined, apart = lines
    assert list(joined.x) == ["E", "0", "1", "2", "3"]
    assert list(joined.y) == pytest.approx([0.4, 0.6, 0.7, np.nan, 0.8], nan_ok=True)
    assert joined.marker.symbol[0] == "circle-open"
    assert joined.marker.symbol[1] == "circle"
    assert list(apart.x) == ["middle", "last"]
    assert "lines" not in apart.mode


def test_parallel_categories_hold_the_best_runs_in_order():
    figure = figures.parallel_settings(layered(), num_fewshot=5, best=3)
    (trace,) = first_shown(figure, "parcats")
    assert list(trace.line.color) == pytest.approx([0.9, 0.8, 0.8])
    layers = next(d for d in trace.dimensions if d.label == "layer")
    assert list(layers["values"])[:1] == ["last"]
    everything = first_shown(figures.parallel_settings(layered(), num_fewshot=5, best=None), "parcats")[0]
    assert len(everything.line.color) == 12


def test_many_runs_are_joined_between_neighbouring_settings_and_none_is_lost():
    settings = [
        (norm, word, layer) for norm in (None, "L2", "zNorm") for word in ("mean", "last") for layer in range(9)
    ]
    rows = [
        {**model("a"), "NORM": norm, "WORD_AGG_SCHEME": word, "ENCODING_LAYER": str(layer), "acc": 0.3 + place / 1000}
        for place, (norm, word, layer) in enumerate(settings)
    ]
    table = scored({**model("a"), **BASELINE}, *rows)
    (trace,) = first_shown(figures.parallel_settings(table, num_fewshot=5, best=None), "sankey")
    labels = [label.strip() for label in trace.node.label]
    assert labels[:3] == ["last", "mean", "zNorm"]  # by their best runs
    between = {(labels[s], labels[t]): 0 for s, t in zip(trace.link.source, trace.link.target, strict=True)}
    for source, target, number in zip(trace.link.source, trace.link.target, trace.link.value, strict=True):
        between[labels[source], labels[target]] += number
    assert between["mean", "L2"] == between["last", "none"] == 9
    assert between["L2", "0"] == 2
    assert sum(between.values()) == 2 * len(settings)  # each run passes both gaps
    assert figures.parallel_settings(table, num_fewshot=5).data[0].type == "parcats"


def test_scores_over_size_are_those_of_the_table():
    table = many_models()
    table.loc[table["model"] == "d-19b", "size_b"] = np.nan
    figure = figures.scaling(table)
    points = [t for t in first_shown(figure, "scatter") if t.error_y.array is not None]
    shown = {(float(x), round(float(y), 6)) for t in points for x, y in zip(t.x, t.y, strict=True)}
    known = table[table["size_b"].notna()]
    assert shown == {(s, round(n, 6)) for s, n in zip(known["size_b"], known["normalised"], strict=True)}
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


DRAWING = {
    "main_bars": figures.main_bars,
    "ablations": figures.ablations,
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
    table = one_model()
    table.loc[0, column] = value
    with pytest.raises(ConfigurationError, match=message + ".*choose one, as in table"):
        draw(table)


@pytest.mark.parametrize("name", ["ablations", "layer_heat_map", "layer_lines", "parallel_settings", "scaling"])
def test_scores_without_any_baseline_are_refused_with_the_script_that_makes_it(name):
    with pytest.raises(ConfigurationError, match=r"none of 2 runs has a baseline.*run_parallel_baseline"):
        DRAWING[name](scored({**model("a"), **GEN}, {**model("a"), **GEN, "NORM": "L2"}))


def test_without_any_baseline_the_main_chart_is_gaps_and_the_table_accuracies():
    table = scored({**model("a"), **GEN})
    figure = figures.main_bars(table)
    assert values(first_shown(figure, "bar")) == []
    assert len(first_shown(figure, "scatter", "no run or no baseline")[0].x) == 1
    assert list(figures.best_table(table).data[0].cells["values"][3]) == ["0.400"]


def test_a_single_value_or_layer_or_unknown_name_is_refused():
    same = scored({**model("a"), **BASELINE}, {**model("a"), **GEN})
    with pytest.raises(ConfigurationError, match="are the same in all 1 runs"):
        figures.ablations(same)
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
        figure = draw(layered().assign(**GEN) if name == "scaling" else layered())
        assert figure.layout.template == TEMPLATE, name


def test_a_figure_is_saved_as_picture_print_and_page(tmp_path):
    figure = figures.main_bars(one_model())
    files = figures.save(figure, tmp_path / "charts" / "gpt-neo-2.7B")
    assert [file.name for file in files] == ["gpt-neo-2.7B.png", "gpt-neo-2.7B.pdf", "gpt-neo-2.7B.html"]
    assert files[0].read_bytes().startswith(b"\x89PNG")
    assert files[1].read_bytes().startswith(b"%PDF")
    assert "updatemenus" in files[2].read_text()
    assert set((tmp_path / "charts").iterdir()) == {*files, tmp_path / "charts" / "plotly.min.js"}
    assert figure.layout.updatemenus  # saving takes the buttons from the pictures alone


def test_all_figures_at_once_are_those_that_can_be_drawn():
    other = one_model().assign(task="hellaswag_d", kind="dist_sim")
    drawn = figures.draw_all(pd.concat([one_model(), other, scored({**model("z"), **GEN, "task": "webqs_dg"})]))
    assert [title for title in drawn if title.startswith("Test 1, generation (hellaswag_dg): ")] == [
        f"Test 1, generation (hellaswag_dg): {what}"
        for what in (
            *("main configurations", "score and model size", "by setting"),
            *("best settings, 0 shots", "best settings, 5 shots"),
        )
    ]
    assert not any("webqs" in title for title in drawn)
    assert figures.draw_all(one_model().head(0)) == {}


@pytest.mark.slow
@pytest.mark.reference
def test_the_published_study_gives_the_papers_charts(study, reference):
    table = add_scores(study.table).table
    published = pd.read_csv(reference / "paper" / "charts.csv")
    for task in ("hellaswag_dg", "hellaswag_d"):
        runs = table[table["task"] == task]
        figure = figures.main_bars(runs)
        main = published[(published["task"] == task) & ~published["chart"].str.contains("ablations")]
        shown = np.array(values(first_shown(figure, "bar")))
        assert all(np.abs(shown - value).min() <= 0.0015 for value in main["normalised"])
        best = published[published["chart"].str.contains("5_ablations") & (published["task"] == task)][
            "normalised"
        ].max()
        neo = runs[runs["pretrained"] == "EleutherAI/gpt-neo-1.3B"]
        stars = [
            t for t in first_shown(figures.main_bars(neo), "scatter", "best ablation") if t.marker.symbol == "star"
        ]
        assert np.abs(np.array(values(stars)) - best).min() <= 0.0015
        ten = figures.parallel_settings(neo, num_fewshot=5)
        assert max(first_shown(ten, "parcats")[0].line.color) == pytest.approx(best, abs=0.0015)
