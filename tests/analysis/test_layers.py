"""Layers by their numbers, and the figures over layers: no false holes, fixed settings beside the best of all."""

import numpy as np
import pytest

from lm_eval.analysis import figures
from lm_eval.analysis.checkpoints import num_layers_of
from lm_eval.analysis.figures.style import TRIED, look_of
from lm_eval.analysis.layers import number_layers
from lm_eval.models.model_list import DEMO
from tests.support.figures import SIM, first_shown, layered, model, scored, texts, values
from tests.support.results import BASELINE, table_of


@pytest.mark.parametrize(
    ("layer", "number"), [(None, "24"), ("middle", "12"), ("-2", "23"), ("-1", "24"), ("7", "7"), ("E", "E")]
)
def test_layers_are_numbered_as_the_models_hidden_states_are(layer, number):
    table = table_of({"ENCODING_LAYER": layer, "num_layers": 24})
    assert list(number_layers(table)["ENCODING_LAYER"]) == [number]


def test_of_a_model_of_unknown_depth_layers_keep_their_names():
    table = table_of({"ENCODING_LAYER": "middle"}, {"ENCODING_LAYER": None})
    assert [layer or "last" for layer in number_layers(table)["ENCODING_LAYER"]] == ["middle", "last"]


def test_runs_that_differ_in_a_layers_name_alone_are_merged_and_the_last_row_stays():
    layers = [{"ENCODING_LAYER": layer, "num_layers": 4} for layer in ("4", "-1", None, "2")]
    table = table_of(*({**layer, "acc": number / 10} for number, layer in enumerate(layers)))
    merged = number_layers(table)
    assert dict(zip(merged["ENCODING_LAYER"], merged["acc"], strict=True)) == {"4": 0.2, "2": 0.3}


def test_choices_of_the_contexts_own_layer_are_of_the_same():
    rows = [{"ENCODING_LAYER": "middle", "OUT_ENCODING_LAYER": layer, "num_layers": 4} for layer in ("2", None, "OE")]
    assert list(number_layers(table_of(*rows))["OUT_ENCODING_LAYER"]) == [None, "OE"]


def test_depths_are_known_by_the_list_or_the_models_folder():
    assert num_layers_of("EleutherAI/gpt-neo-1.3B") == 24
    assert num_layers_of(str(DEMO / "models" / "demo-gpt")) == 4
    assert num_layers_of("some/other") is None
    assert num_layers_of("/no/such/folder") is None


def test_the_heat_map_shows_the_best_of_each_layer_and_leaves_gaps_open():
    (heat,) = first_shown(figures.layer_heat_map(layered(num_layers=4)), "heatmap")
    assert list(heat.x) == ["E", "0", "1", "2", "3", "4"]
    assert list(heat.z[0]) == pytest.approx([-0.2, 0.2, 0.4, 0.32, 0.6, 0.8])  # the middle of four blocks is 2
    assert heat.hovertext[0][3].startswith("the best of 2 runs at this layer<br><b>a</b>, 5 shots")
    assert "%{" not in heat.hovertext[0][3]
    figure = figures.layer_heat_map(layered())
    (heat,) = first_shown(figure, "heatmap")
    assert list(heat.x) == ["E", "0", "1", "2", "3", "middle", "last"]
    assert list(heat.z[0]) == pytest.approx([-0.2, 0.2, 0.4, np.nan, 0.6, 0.32, 0.8], nan_ok=True)
    assert "apart, as the model's depth isn't known: middle, last" in texts(figure)


def test_crosses_of_the_heat_map_lie_below_chance_and_dots_are_not_told_from_it():
    table = layered(num_layers=4)
    table.loc[table["ENCODING_LAYER"] == "0", "versus_chance"] = "not told apart"
    crosses, dots = first_shown(figures.layer_heat_map(table), "scatter")
    assert (crosses.marker.symbol, list(crosses.x)) == ("x-thin", ["E"])
    assert (dots.marker.symbol, list(dots.x)) == ("circle", ["0"])


def test_lines_over_layers_keep_their_settings_and_the_best_of_all_is_grey():
    figure = figures.layer_lines(layered(num_layers=4))
    label = look_of("concat_all_examples").label
    key, line = first_shown(figure, "scatter", label)
    assert list(key.y or [None]) == [None]
    assert list(line.x) == ["E", "0", "1", "2", "3", "4"]
    assert values([line]) == pytest.approx([-0.2, 0.2, 0.4, 0.32, 0.6, 0.8])  # none of those with a norm
    assert list(line.marker.color) == ["white", *[look_of("concat_all_examples").colour] * 5]
    grey = first_shown(figure, "scatter", "best of all runs there")[-1]
    assert grey.line.color == TRIED
    assert grey.hovertext[1].startswith("the best of 2 runs at this layer")
    assert "settings stay the same: token aggregation: mean" in texts(figure)


def test_lines_are_broken_where_a_layer_lacks_and_unnumbered_layers_stand_apart():
    figure = figures.layer_lines(layered())
    _, joined, apart = first_shown(figure, "scatter", look_of("concat_all_examples").label)
    assert list(joined.y) == pytest.approx([-0.2, 0.2, 0.4, np.nan, 0.6], nan_ok=True)
    assert list(apart.x) == ["middle", "last"]
    assert "lines" not in apart.mode


def test_models_of_different_depth_are_drawn_over_relative_depth():
    rows = []
    for name, depth in (("a-1b", 4), ("b-2b", 8)):
        of_model = {**model(name, num_layers=depth), **SIM}
        rows += [{**model(name, num_layers=depth), **BASELINE}]
        rows += [{**of_model, "ENCODING_LAYER": layer, "acc": 0.4} for layer in ("1", "middle", None, "E")]
        rows += [{**of_model, "ENCODING_LAYER": "1", "acc": 0.45, "NORM": "L2"}]
    figure = figures.depth_lines(scored(*rows))
    drawn = {t.name: list(t.x) for t in first_shown(figure, "scatter") if t.error_y.array is not None}
    assert drawn == {"a-1b": [0.25, 0.5, 1.0], "b-2b": [0.125, 0.5, 1.0]}
    assert "layer, as a share of the model's depth" in texts(figure)
