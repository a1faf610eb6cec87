"""Figures of compression, of where vectors enter, of margins and of a walk: they show what their tables hold."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lm_eval.analysis import figures
from lm_eval.analysis.figures.compression_curve import Curves
from lm_eval.analysis.figures.score_toggle import CHANCE_CORRECTED, NORMALISED
from lm_eval.analysis.movement import CONTEXT, Margins, Walk
from lm_eval.analysis.scores import add_scores
from lm_eval.analysis.walk_page import write_walk_page
from lm_eval.errors import ConfigurationError
from tests.support.results import BASELINE, table_of

SIZES = {"concat": 1.0, "chunk2": 2.0, "chunk4": 4.0, "mean": 30.0}
BY_LAYER = {"E": (0.5, 0.46, 0.35, 0.26), "middle": (0.44, 0.3, 0.28, 0.27)}


def compressed(**more) -> pd.DataFrame:
    rows = [BASELINE, {"encoding_scheme": "no_context", "WORD_AGG_SCHEME": None, "num_fewshot": 0, "acc": 0.3}]
    for layer, scores in BY_LAYER.items():
        for (words, size), acc in zip(SIZES.items(), scores, strict=True):
            of_run = {"WORD_AGG_SCHEME": words, "tokens_per_vector": size, "vectors_per_context": 30 / size}
            rows.append({"ENCODING_LAYER": layer, "acc": acc, **of_run, **more})
    return add_scores(table_of(*rows).astype({"tokens_per_vector": float, "vectors_per_context": float})).table


def shown(figure, name):
    (trace,) = [trace for trace in figure.data if trace.name == name and trace.meta["score"] == "normalised"]
    return trace


def test_a_line_a_layer_shows_the_scores_with_95_percent_intervals():
    table = compressed()
    figure = figures.compression_curve(table)
    line = shown(figure, "layer E")
    assert list(line.x) == [1.0, 2.0, 4.0, 30.0]
    assert list(line.y) == pytest.approx([1.0, 0.92, 0.7, 0.52])
    errors = table[table["ENCODING_LAYER"] == "E"]["normalised_stderr"]
    assert list(line.error_y.array) == pytest.approx(list(1.96 * errors))
    assert set(shown(figure, "no context (control)").y) == {0.6}
    assert set(shown(figure, "baseline = 1").y) == {1.0}
    assert figure.layout.xaxis.type == "log"


def test_marks_stand_at_the_last_point_that_keeps_a_level_of_the_baseline():
    curves = Curves.choose(compressed(), by="ENCODING_LAYER")
    kept = curves.kept(NORMALISED).set_index(["ENCODING_LAYER", "level"])["tokens_per_vector"]
    assert kept["E", 0.9] == 2.0
    assert np.isnan(kept["middle", 0.9])
    assert np.isnan(kept["E", 0.5])  # guessing gives as much
    kept = curves.kept(CHANCE_CORRECTED).set_index(["ENCODING_LAYER", "level"])["tokens_per_vector"]
    assert (kept["E", 0.9], kept["E", 0.5], kept["middle", 0.5]) == (1.0, 2.0, 1.0)
    figure = figures.compression_curve(compressed())
    assert list(shown(figure, "keeps 90 % up to here").x) == [2.0]
    said = figure.layout.title.text.replace("<br>", " ")
    assert "90 % up to 1 (layer E), 50 % up to 2 (layer E)" in said  # the chance-corrected one's


def test_prefixes_and_weights_of_tokens_are_no_degrees_of_compression():
    table = compressed()
    better = table[table["WORD_AGG_SCHEME"] == "mean"].assign(WORD_AGG_SCHEME="relu|mean", acc=0.45)
    both = add_scores(pd.concat([table, better, table_of(BASELINE)], ignore_index=True)[list(table_of({}))]).table
    line = shown(figures.compression_curve(both), "layer E")
    assert list(line.x) == [1.0, 2.0, 4.0, 30.0]
    assert line.y[-1] == pytest.approx(0.9)
    of_mean = both[both["tokens_per_vector"] == 30.0]
    with pytest.raises(ConfigurationError, match="have one degree"):
        figures.compression_curve(of_mean)


def test_the_control_of_a_model_of_two_dtypes_stays_beside_its_curve():
    table = compressed()
    names = {trace.name for trace in figures.compression_curve(table).data}
    of_two = pd.concat([table, table[table["ENCODING_LAYER"] == "E"].assign(dtype="bfloat16")], ignore_index=True)
    figure = figures.compression_curve(of_two, model="some/model (float32)")
    assert {trace.name for trace in figure.data} == names
    assert "no context (control)" in names


@pytest.mark.parametrize("draw", [figures.compression_curve, figures.entry_map])
def test_maps_and_curves_tell_task_and_shots_and_the_settings_of_each_run(draw):
    table = compressed() if draw is figures.compression_curve else entered()
    figure = draw(table.assign(num_documents=1200.0))
    assert "hellaswag_dg, 1,200 documents, 5 shots" in figure.layout.title.text.replace("<br>", " ")
    assert "s.e., baseline 0.500, n = 1,200" in figure.to_json()


def test_a_layer_named_middle_is_the_one_with_its_number():
    both = pd.concat([compressed(), compressed().replace({"ENCODING_LAYER": {"middle": "2"}})])
    curves = Curves.choose(both.assign(num_layers=4.0).reset_index(drop=True), by="ENCODING_LAYER")
    assert curves.values == ["E", "2"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (add_scores(table_of(BASELINE, {})).table, "no run states tokens_per_vector.*--compression does"),
        (compressed().query("WORD_AGG_SCHEME in ['mean', 'x']"), "have one degree; add chunk2"),
    ],
)
def test_without_degrees_of_compression_there_is_no_curve(table, message):
    with pytest.raises(ConfigurationError, match=message):
        figures.compression_curve(table)


def entered() -> pd.DataFrame:
    rows = [BASELINE]
    for words in ("concat", "chunk2"):
        for layer in ("0", "1", None):
            for entry in ("0", "1", "same" if layer else None):
                acc = 0.2 if layer is None else 0.45 if words == "concat" else 0.35
                rows.append({"WORD_AGG_SCHEME": words, "ENCODING_LAYER": layer, "DECODING_LAYER": entry, "acc": acc})
    return add_scores(table_of(*rows)).table


def test_the_map_has_a_cell_for_each_layer_and_block_a_panel_for_each_compression():
    figure = figures.entry_map(entered())
    maps = [trace for trace in figure.data if trace.type == "heatmap" and trace.meta["score"] == "normalised"]
    assert len(maps) == 2
    assert list(maps[0].x) == ["inputs", "0", "1"]
    assert list(maps[0].y) == ["0", "1", "last"]
    cells = pd.DataFrame(maps[0].z, index=maps[0].y, columns=maps[0].x)
    shown_first = "concat" if "concat" in figure.layout.annotations[0].text else "chunk2"
    assert cells.loc["0", "0"] == pytest.approx({"concat": 0.9, "chunk2": 0.7}[shown_first])
    assert np.isnan(cells.loc["0", "inputs"])
    crosses = [trace for trace in figure.data if trace.type == "scatter" and trace.meta["score"] == "normalised"]
    assert set(crosses[0].y) == {"last"}


def test_where_vectors_enter_at_one_place_there_is_no_map():
    with pytest.raises(ConfigurationError, match="enter at one place; add values of DECODING_LAYER"):
        figures.entry_map(compressed())


def margins() -> Margins:
    rows = [(doc, layer, (doc - 1.5) * size, doc > 1) for layer, size in (("E", 1), ("0", 10)) for doc in range(4)]
    table = pd.DataFrame(rows, columns=["doc_id", "layer", "margin", "right"])
    return Margins(table=table, model="some/model", task="hellaswag_d", settings="w1mean")


def test_documents_are_sorted_by_their_margins_and_the_share_right_stands_above():
    figure = figures.margin_map(margins(), chance=0.25)
    share, line, cells = figure.data
    assert list(share.x) == ["E", "0"]
    assert list(share.y) == [0.5, 0.5]
    assert set(line.y) == {0.25}
    assert list(cells.y) == ["0", "1", "2", "3"]
    assert np.array(cells.customdata)[:, 1].tolist() == [-15.0, -5.0, 5.0, 15.0]
    assert np.abs(np.array(cells.z)).max() <= 1
    assert figure.layout.yaxis2.type == "category"


def test_without_a_margin_there_is_no_map():
    empty = Margins(table=margins().table.assign(margin=np.nan), model="m", task="t", settings="")
    with pytest.raises(ConfigurationError, match="no document has a wrong choice"):
        figures.margin_map(empty)


def walk() -> Walk:
    points = [(CONTEXT, False), ("1", False), ("2", True)]
    rows = [
        (point, right, layer, float(number), float(index), ["<b>", " a"], [2.0, 1.0])
        for index, layer in enumerate(("E", "0", "1"))
        for number, (point, right) in enumerate(points)
    ]
    columns = ["point", "is_right", "layer", "x", "y", "nearest", "products"]
    return Walk(
        table=pd.DataFrame(rows, columns=columns),
        scales=pd.DataFrame({"layer": ["E", "0", "1"], "mean_length": [1.0, 2, 3], "spread": [0.5, 1, 1.5]}),
        explained=(0.6, 0.25),
        num_documents=20,
        doc_id=7,
        context="A <walk>",
        choices=[" to town", " home"],
        gold=[1],
        model="some/model",
        task="hellaswag_d",
        settings="w1mean",
    )


def test_a_walk_is_drawn_from_layer_to_layer_with_the_right_choice_marked():
    figure = figures.walk_map(walk())
    by_name = {trace.name: trace for trace in figure.data}
    assert set(by_name) == {"context", "right choice", "wrong choices"}
    assert list(by_name["right choice"].x) == [2.0] * 3
    assert list(by_name["right choice"].y) == [0.0, 1.0, 2.0]
    sizes = list(by_name["context"].marker.size)
    assert sizes == sorted(sizes)
    assert "85 % of the variance" in figure.layout.title.text
    assert "(60 %)" in figure.layout.xaxis.title.text


def test_tokens_and_choices_stand_in_a_walk_as_they_are():
    steps = walk()
    told = str([trace.hovertext for trace in figures.walk_map(replace(steps, choices=[" %{x} <i>", " home"])).data])
    assert "wrong choices: %{x} &lt;i&gt;" in told
    assert "nearest: '&lt;b&gt;', ' a'" in told
    assert "<b>" not in told


def test_the_page_of_a_walk_needs_nothing_beside_it_and_shows_texts_as_they_are(tmp_path):
    path = tmp_path / "walk.html"
    write_walk_page(walk(), margins(), path)
    page = path.read_text(encoding="utf-8")
    assert "A &lt;walk&gt;" in page
    assert "<code>&lt;b&gt;</code>" in page
    assert re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=", page) == []
    assert page.count("<th class=right>choice 2</th>") == 1
    assert page.count('"displayModeBar": false') == 2
    assert "layer E" in page  # whose documents are right most often, the first of equals
