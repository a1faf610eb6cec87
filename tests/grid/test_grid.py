"""Grids: their product without repetitions, and the grids of the scripts."""

import re
import runpy
from collections import Counter
from dataclasses import replace

import pytest

from lm_eval.config.layer import Layer
from lm_eval.config.limit import Limit
from lm_eval.config.settings import VectorSettings
from lm_eval.errors import ConfigurationError
from lm_eval.grid import grid as grids
from lm_eval.grid.grid import CommonOptions, Grid
from tests.support.grids import expand, grid
from tests.support.paths import TOP
from tests.support.runs import canonical

SCRIPTS = TOP / "scripts"


def grid_of(script: str) -> Grid:
    grid = runpy.run_path(str(SCRIPTS / f"run_parallel_{script}.py"))["run"]()
    assert isinstance(grid, Grid)
    return grid


# --- the scripts ---


@pytest.mark.parametrize(
    ("script", "with_shots", "without"),
    [("gen_gpt", 11, 3), ("gen_t5", 4, 2), ("sim_gpt", 3, 2), ("sim_t5", 11, 3), ("baseline", 1, 1)],
)
def test_a_script_runs_each_meaningful_combination_once_a_model(script, with_shots, without):
    grid = grid_of(script)
    counts = Counter((config.pretrained, config.num_fewshot) for config in expand(grid))
    assert counts == {(model, shots): n for model in grid.models for shots, n in ((5, with_shots), (0, without))}


@pytest.mark.parametrize(
    ("script", "num_models", "absent"),
    [
        ("gen_gpt", 12, ["EleutherAI/gpt-neox-20b", "togethercomputer/GPT-NeoXT-Chat-Base-20B", "google/flan-t5-xl"]),
        ("gen_t5", 4, ["google/flan-ul2", "databricks/dolly-v2-3b"]),
        ("sim_gpt", 10, ["EleutherAI/pythia-12b-deduped", "databricks/dolly-v2-12b"]),
        ("sim_t5", 4, ["google/flan-ul2"]),
        ("baseline", 16, ["google/flan-ul2", "EleutherAI/gpt-neox-20b"]),
    ],
)
def test_a_script_takes_the_listed_models_of_its_architecture_and_size(script, num_models, absent):
    models = grid_of(script).models
    assert len(set(models)) == len(models) == num_models
    assert not set(models) & set(absent)


@pytest.mark.parametrize("script", ["gen_gpt", "gen_t5", "sim_gpt", "sim_t5", "baseline"])
def test_the_configurations_of_a_script_are_canonical_and_distinct(script):
    configs = expand(grid_of(script))
    assert configs == [canonical(config) for config in configs]
    assert len(set(configs)) == len(configs)


def test_without_shots_the_generation_script_runs_three_combinations():
    configs = [config for config in expand(grid_of("gen_gpt")) if config.num_fewshot == 0]
    assert {
        (config.encoding_scheme, config.vectors.segment_agg_scheme, config.vectors.example_agg_scheme)
        for config in configs
    } == {
        ("sentence_level_segmentation", None, None),
        ("sentence_level_segmentation", "mean", None),
        ("concat_all_examples", None, None),
    }


def test_the_scripts_state_the_settings_of_the_paper():
    stated = {
        script: {
            (
                *(config.model, config.task),
                *(config.vectors.public()[key] for key in ("WORD_AGG_SCHEME", "ENCODING_LAYER", "NORM")),
                config.vectors.similarity_func,
            )
            for config in expand(grid_of(script))
        }
        for script in ("gen_gpt", "gen_t5", "sim_gpt", "sim_t5", "baseline")
    }
    assert stated == {
        "gen_gpt": {("dist_gen", "hellaswag_dg", "mean", "0", None, None)},
        "gen_t5": {("dist_gen", "hellaswag_dg", "mean", None, None, None)},
        "sim_gpt": {("dist_sim", "hellaswag_d", "w1mean", None, None, "dot_product")},
        "sim_t5": {("dist_sim", "hellaswag_d", "mean", None, None, "dot_product")},
        "baseline": {("dist_gen", "hellaswag_dg", None, None, None, None)},
    }


def test_the_controls_beside_the_baseline_score_without_context_in_both_tests():
    script = runpy.run_path(str(SCRIPTS / "run_parallel_baseline.py"))
    grids = script["controls"]()
    assert all(grid.models == script["run"]().models for grid in grids)
    assert [
        (grid.arch_type, config.model, config.task, config.encoding_scheme, config.num_fewshot, config.vectors)
        for grid in grids
        for config in expand(replace(grid, models=["x"], num_fewshot=[5, 0]))
    ] == [
        (None, "dist_gen", "hellaswag_dg", "no_context", 0, VectorSettings()),
        *(
            (
                *(architecture, "dist_sim", "hellaswag_d", "no_context", 0),
                VectorSettings.parse(word_agg_scheme=word, similarity_func="dot_product"),
            )
            for architecture, word in (("decoder-only", "w1mean"), ("encoder-decoder", "mean"))
        ),
    ]


# --- expansion ---


def test_a_grid_expands_in_the_order_of_its_lists_with_models_outermost():
    lists = {"models": ["b", "a"], "num_fewshot": [1, 2], "encoding_scheme": ["merge_all_segments"]}
    configs = expand(grid(**lists, settings={"WORD_AGG_SCHEME": ["mean", "last"]}))
    assert [(config.pretrained, config.num_fewshot, str(config.vectors.word_agg_scheme)) for config in configs] == [
        *(("b", 1, "mean"), ("b", 1, "last"), ("b", 2, "mean"), ("b", 2, "last")),
        *(("a", 1, "mean"), ("a", 1, "last"), ("a", 2, "mean"), ("a", 2, "last")),
    ]


def test_limit_and_data_are_the_same_for_all():
    configs = expand(grid(), CommonOptions(limit=Limit(2, 4), data_dir="data"))
    assert {(config.limit, config.data_dir) for config in configs} == {(Limit(2, 4), "data")}


def test_values_may_be_numbers_and_switches():
    config = expand(grid(settings={"WORD_AGG_SCHEME": ["mean"], "ENCODING_LAYER": [-2], "ADD_POS": [True]}))[0]
    assert (config.vectors.encoding_layer, config.vectors.add_pos) == (Layer(-2), True)


@pytest.mark.parametrize("example_agg", ["mean", "soft_cluster"])
def test_without_shots_example_aggregation_is_not_tried(example_agg):
    settings = {
        "WORD_AGG_SCHEME": ["mean"],
        "SIMILARITY_FUNC": ["dot_product"],
        "EXAMPLE_AGG_SCHEME": [None, example_agg],
    }
    configs = expand(
        grid(model="dist_sim", task="hellaswag_d", encoding_scheme=["sentence_level_segmentation"], settings=settings)
    )
    assert [(config.num_fewshot, config.vectors.example_agg_scheme) for config in configs] == [
        *((5, None), (5, example_agg), (0, None)),
    ]


def test_a_grid_keeps_its_lists_as_they_were_when_it_was_made():
    layers, models = [0, 1], ("a/b",)
    made = grid(models=models, settings={"WORD_AGG_SCHEME": ("mean",), "ENCODING_LAYER": layers})
    layers.append(2)
    assert made == grid(models=["a/b"], settings={"WORD_AGG_SCHEME": ["mean"], "ENCODING_LAYER": [0, 1]})


def test_layers_by_depth_are_those_of_each_model_or_of_one_block_if_unknown():
    made = grid(models=["a", "b"], num_fewshot=[0], settings={"WORD_AGG_SCHEME": ["mean"], "ENCODING_LAYER": ["all"]})
    layers = [
        [config.vectors.public()["ENCODING_LAYER"] for config in grids.expand(made, CommonOptions(), depths)]
        for depths in (None, {"a": 1, "b": 3})
    ]
    assert layers == [["0", None] * 2, ["0", None, "0", "1", "2", None]]
    assert made.names_layers_by_depth
    assert not grid().names_layers_by_depth


def test_a_model_named_twice_is_run_once():
    assert expand(grid(models=["x", "x"])) == expand(grid())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": []}, "grid: models must be a list with at least one value, got []"),
        ({"num_fewshot": []}, "grid: num_fewshot must be a list with at least one value, got []"),
        (
            {"encoding_scheme": "cross_encoding"},
            "grid: encoding_scheme must be a list with at least one value, got 'cr",
        ),
        ({"settings": {"NORM": "L2"}}, "grid: NORM must be a list with at least one value, got 'L2'"),
        ({"settings": {"NORM": ()}}, "grid: NORM must be a list with at least one value, got ()"),
        ({"settings": {"norm": [None], "x": [1]}}, "grid: unknown setting norm, x (did you mean 'NORM'?); choose"),
    ],
)
def test_lists_that_cannot_be_expanded_are_refused(changes, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        grid(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": {}}, "WORD_AGG_SCHEME= is missing for dist_gen"),
        ({"settings": {"WORD_AGG_SCHEME": ["mean", "median"]}}, "WORD_AGG_SCHEME: unknown value 'median'"),
        ({"encoding_scheme": ["cross_encoding"]}, "WORD_AGG_SCHEME=mean: cross_encoding aggregates nothing"),
        ({"num_fewshot": [5, -1]}, "num_fewshot must be a non-negative integer, got -1"),
        ({"task": "hellaswag_d"}, "task 'hellaswag_d' is for similarity scoring, but --model dist_gen does generation"),
    ],
)
def test_a_combination_that_cannot_be_run_is_refused(changes, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        expand(grid(**changes))
