"""Layers by the depth of each model: all of them, every N, and those that a model doesn't have."""

import pytest

from lm_eval.errors import ConfigurationError
from lm_eval.grid.grid import Grid
from lm_eval.grid.preflight import CheckedGrids, preflight
from lm_eval.scheduling.hardware import local_machine
from tests.support.grids import grid, options
from tests.support.worlds import write_model_folder

DEPTHS = {"shallow": 2, "deep": 4}


@pytest.fixture
def models(tmp_path) -> list[str]:
    """Folders of two models of different depth."""
    return [str(write_model_folder(tmp_path / name, name, n_layer=depth)) for name, depth in DEPTHS.items()]


def layered(models: list[str], **settings) -> Grid:
    return grid(models=models, num_fewshot=[0], settings={"WORD_AGG_SCHEME": ["mean"], **settings})


def check(made: Grid, data_dir, tmp_path) -> CheckedGrids:
    return preflight([made], options(data_dir, tmp_path), lambda: [local_machine()])


def layers_of(checked: CheckedGrids, *keys: str) -> dict[str, list]:
    """The layers that each model is run at, in the grid's order."""
    found: dict[str, list] = {}
    for run in checked.runs:
        stated = run.config.vectors.public()
        values = tuple(stated[key] for key in keys)
        found.setdefault(run.config.model_name, []).append(values if len(keys) > 1 else values[0])
    return found


def test_all_means_every_layer_of_each_model_whatever_its_depth(models, data_dir, tmp_path):
    checked = check(layered(models, ENCODING_LAYER=["all"]), data_dir, tmp_path)
    assert layers_of(checked, "ENCODING_LAYER") == {
        "shallow": ["0", "1", None],
        "deep": ["0", "1", "2", "3", None],
    }
    assert list(checked.notes) == []


def test_every_n_means_the_layers_that_n_divides(models, data_dir, tmp_path):
    checked = check(layered(models, ENCODING_LAYER=["every 3", "E"]), data_dir, tmp_path)
    assert layers_of(checked, "ENCODING_LAYER") == {"shallow": ["0", "E"], "deep": ["0", "3", "E"]}


def test_a_layer_that_a_model_lacks_is_left_out_for_that_model_and_said(models, data_dir, tmp_path):
    checked = check(layered(models, ENCODING_LAYER=[0, 3, -5]), data_dir, tmp_path)
    assert layers_of(checked, "ENCODING_LAYER") == {"shallow": ["0"], "deep": ["0", "3", "-5"]}
    assert list(checked.notes) == ["shallow has 2 blocks: left out ENCODING_LAYER=3, ENCODING_LAYER=-5"]


def test_a_model_that_has_none_of_the_layers_is_said_to_be_left_out_whole(models, data_dir, tmp_path):
    checked = check(layered(models, ENCODING_LAYER=[4]), data_dir, tmp_path)
    assert layers_of(checked, "ENCODING_LAYER") == {"deep": ["4"]}
    assert list(checked.notes) == [
        "shallow has 2 blocks: left out ENCODING_LAYER=4, so that nothing is run on it",
    ]


def test_a_layer_that_no_model_has_is_refused(models, data_dir, tmp_path):
    with pytest.raises(ConfigurationError, match=r"^ENCODING_LAYER=5: out of range; choose from -3 to 2"):
        check(layered(models, ENCODING_LAYER=[0, 5]), data_dir, tmp_path)
    with pytest.raises(ConfigurationError, match=r"^DECODING_LAYER=4: .*shallow has 2 blocks"):
        check(layered(models, ENCODING_LAYER=[0], DECODING_LAYER=[0, 4]), data_dir, tmp_path)


def test_vectors_enter_at_every_block_and_at_their_own_layer_but_the_last(models, data_dir, tmp_path):
    lists = {"ENCODING_LAYER": ["every 2"], "DECODING_LAYER": ["all", "same"]}
    checked = check(layered(models[:1], **lists), data_dir, tmp_path)
    assert layers_of(checked, "ENCODING_LAYER", "DECODING_LAYER") == {
        "shallow": [("0", "0"), ("0", "1"), (None, "0"), (None, "1")]
    }
    assert list(checked.notes) == ["shallow has 2 blocks: left out DECODING_LAYER=same with ENCODING_LAYER=None"]


def test_the_choices_layers_go_by_depth_too(models, data_dir, tmp_path):
    made = layered(models, ENCODING_LAYER=[0], OUT_ENCODING_LAYER=["all", 3], SIMILARITY_FUNC=["dot_product"])
    made = Grid(**{**vars(made), "model": "dist_sim", "task": "hellaswag_d"})
    checked = check(made, data_dir, tmp_path)
    assert layers_of(checked, "OUT_ENCODING_LAYER")["shallow"] == [None, "1", "-1"]
    assert list(checked.notes) == ["shallow has 2 blocks: left out OUT_ENCODING_LAYER=3"]
