"""How long a grid will take, by results whose times are made by hand."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from grids import grid
from hypothesis import given
from hypothesis import strategies as st

from lm_eval.config import Limit, RunConfig
from lm_eval.estimate import RemainingTime, Timings, describe_seconds
from lm_eval.grid import expand
from lm_eval.result_files import StoredResult
from lm_eval.scheduler import Unit, make_units
from lm_eval.settings import VectorSettings

SETTINGS = {"WORD_AGG_SCHEME": ["mean", "w1mean"]}
SIMILAR = VectorSettings(word_agg_scheme="mean", similarity_func="cosine_sim")
KEY = ("some/model", None, None)


@pytest.fixture
def configs(data_dir) -> list[RunConfig]:
    """Two configurations that share a pass over ten documents."""
    made = grid(models=["some/model"], num_fewshot=[1], settings=SETTINGS)
    return expand(made, data_dir=str(data_dir))


@pytest.fixture
def unit(configs) -> Unit:
    (only,) = make_units(configs)
    return only


def stored(config: RunConfig, **changes: Any) -> StoredResult:
    """A result of two configurations on four documents: 5 s to encode each, 1 s to score each for each, 3 s to load."""
    run = {
        "device": "cpu",
        "num_documents": 4,
        "load_s": 3.0,
        "parameters": 100,
        "pass": {"num_configurations": 2, "phases_s": {"tokenise": 99.0, "encode": 20.0, "score": 8.0}},
        **changes,
    }
    return StoredResult(path=Path("any"), content={"run": {config.task: run}}, config=config, identity=None)


def estimate(unit: Unit, results: Sequence[StoredResult], parameters: float | None = None, *, on_gpu: bool = False):
    return Timings(results, on_gpu=on_gpu).seconds(unit, parameters)


def test_a_pass_of_a_known_model_takes_what_its_documents_took(unit, configs):
    assert estimate(unit, [stored(configs[0])]) == 10 * (5 + 2 * 1) + 3


def test_what_is_shared_counts_once_however_many_configurations_there_are(unit, configs):
    one = replace(unit, configs=unit.configs[:1])
    assert estimate(one, [stored(configs[0])]) == 10 * (5 + 1) + 3


@pytest.mark.parametrize(("limit", "num_documents"), [("4", 4), ("2:5", 3), ("8:20", 2)])
def test_only_the_documents_within_the_limit_count(unit, configs, limit, num_documents):
    limited = replace(unit, configs=tuple(replace(c, limit=Limit.parse(limit)) for c in unit.configs))
    assert estimate(limited, [stored(configs[0])]) == num_documents * 7 + 3


def test_a_model_in_another_folder_is_known_by_its_name(unit, configs):
    assert estimate(unit, [stored(replace(configs[0], pretrained="/some/where/model/"))]) == 73


def test_a_pass_of_another_model_takes_longer_by_as_much_as_it_is_larger(unit, configs):
    other = stored(replace(configs[0], pretrained="some/other"))
    assert estimate(unit, [other], 100) == 73
    assert estimate(unit, [other], 300) == 3 * 73


def test_the_model_s_own_times_come_before_those_of_others(unit, configs):
    other = stored(replace(configs[0], pretrained="some/other"), load_s=1e6)
    assert estimate(unit, [other, stored(configs[0])], 100) == 73


def test_of_several_past_times_the_middle_one_counts(unit, configs):
    results = [stored(configs[0], load_s=load) for load in (1.0, 1e6, 3.0)]
    assert estimate(unit, results) == 73


@pytest.mark.parametrize(
    "change",
    [
        {"num_fewshot": 0},
        {"encoding_scheme": "segment_each_example"},
        {"model": "dist_sim", "task": "hellaswag_d", "vectors": SIMILAR},
    ],
    ids=str,
)
def test_nothing_is_known_of_a_pass_that_works_otherwise(unit, configs, change):
    assert estimate(unit, [stored(replace(configs[0], **change))], 100) is None


@pytest.mark.parametrize(("ours", "theirs"), [(None, 100), (100, None), (100, 0)])
def test_nothing_is_known_of_another_model_where_a_size_is_unknown(unit, configs, ours, theirs):
    other = stored(replace(configs[0], pretrained="some/other"), parameters=theirs)
    assert estimate(unit, [other], ours) is None


@pytest.mark.parametrize(("device", "on_gpu"), [("cpu", True), ("cuda:0", False)])
def test_a_cpu_s_times_tell_nothing_of_a_gpu_s_and_the_other_way_round(unit, configs, device, on_gpu):
    results = [stored(configs[0], device=device)]
    assert estimate(unit, results, on_gpu=on_gpu) is None
    assert estimate(unit, results, on_gpu=not on_gpu) == 73


def test_a_result_without_a_phase_of_encoding_can_be_judged_by(unit, configs):
    shared = {"num_configurations": 1, "phases_s": {"score": 8.0}}
    assert estimate(unit, [stored(configs[0], **{"pass": shared})]) == 10 * 2 * 2 + 3


def test_the_results_that_are_judged_by_are_counted(configs):
    results = [stored(configs[0]), stored(configs[1]), stored(configs[0], device="cuda:0")]
    assert Timings(results, on_gpu=False).num_results == 2
    assert Timings(results, on_gpu=True).num_results == 1
    assert Timings([], on_gpu=False).num_results == 0


@pytest.mark.parametrize(
    "change",
    [
        {"num_documents": 0},
        {"num_documents": None},
        {"load_s": None},
        {"load_s": "long"},
        {"pass": None},
        {"pass": {"num_configurations": 0, "phases_s": {"score": 8.0}}},
        {"pass": {"num_configurations": 1, "phases_s": {"encode": 8.0}}},
        {"parameters": "many"},
    ],
    ids=str,
)
def test_a_result_whose_times_cannot_be_used_is_passed_over(unit, configs, change):
    assert estimate(unit, [stored(configs[0], **change)], 100) is None
    assert estimate(unit, [stored(configs[0], **change), stored(configs[1])], 100) == 73


@pytest.mark.parametrize("run", [{}, [], None, "text", {"hellaswag_dg": None}, {"hellaswag_dg": []}], ids=str)
def test_a_result_of_the_older_form_is_passed_over(unit, configs, run):
    older = replace(stored(configs[0]), content={"run": run})
    assert Timings([older, replace(older, content={})], on_gpu=False).num_results == 0


def remaining_time(units: Sequence[Unit], results: Sequence[StoredResult], num_workers: int = 1, sizes=()):
    return RemainingTime(units, Timings(results, on_gpu=False), dict(sizes), num_workers)


@pytest.fixture
def units(data_dir) -> list[Unit]:
    """Two units of two runs: at one shot and at none."""
    made = grid(models=["some/model"], num_fewshot=[1, 0], settings=SETTINGS)
    return make_units(expand(made, data_dir=str(data_dir)))


@pytest.mark.parametrize(("num_workers", "planned_s"), [(1, 2 * 73), (2, 73), (9, 73)])
def test_a_grid_takes_its_units_time_shared_among_no_more_workers_than_units(units, num_workers, planned_s):
    results = [stored(unit.configs[0]) for unit in units]
    found = remaining_time(units, results, num_workers)
    assert (found.planned_s(), found.num_unknown) == (planned_s, 0)
    assert found.remaining_s() == pytest.approx(planned_s, abs=0.5)


def test_what_is_unknown_is_taken_for_as_long_as_the_rest(units):
    found = remaining_time(units, [stored(units[0].configs[0])])
    assert (found.planned_s(), found.num_unknown) == (2 * 73, 1)


def test_a_model_s_size_is_looked_up_by_its_key(units):
    others = [stored(replace(unit.configs[0], pretrained="some/other")) for unit in units]
    assert remaining_time(units, others, sizes={KEY: 200.0}).planned_s() == 2 * 2 * 73
    assert remaining_time(units, others).planned_s() is None


def test_where_nothing_is_known_nothing_is_said_until_something_is_done(units):
    found = remaining_time(units, [])
    assert (found.planned_s(), found.remaining_s(), found.num_unknown) == (None, None, 2)
    found._began = time.monotonic() - 10
    found.finish(units[0].configs[0])  # a quarter
    assert found.remaining_s() == pytest.approx(30, abs=0.5)


def test_an_empty_grid_has_no_time():
    assert remaining_time([], []).planned_s() is None


def test_the_grid_s_own_pace_counts_once_there_is_one(units):
    found = remaining_time(units, [stored(unit.configs[0]) for unit in units])
    found._began = time.monotonic() - 20
    assert found.remaining_s() == pytest.approx(2 * 73 - 20, abs=0.5)
    found.finish(units[0].configs[0])
    found.finish(units[0].configs[1])
    assert found.remaining_s() == pytest.approx(20, abs=0.5)


def test_a_grid_that_takes_longer_than_planned_has_no_negative_time_left(units):
    found = remaining_time(units, [stored(unit.configs[0]) for unit in units])
    found._began = time.monotonic() - 1000
    assert found.remaining_s() == 0


@given(order=st.permutations(range(4)), num_unknown=st.integers(0, 2))
def test_the_time_left_falls_with_every_run_that_ends_to_none_whatever_the_order(data_dir, order, num_unknown):
    made = grid(models=["some/model"], num_fewshot=[1, 0], settings=SETTINGS)
    units = make_units(expand(made, data_dir=str(data_dir)))
    found = remaining_time(units, [stored(unit.configs[0]) for unit in units[num_unknown:]])
    found._began = time.monotonic() - 100
    configs = [config for unit in units for config in unit.configs]
    left = []
    for index in order:
        found.finish(configs[index])
        found.finish(configs[index])  # a run ends once
        left.append(found.remaining_s())
    assert left == sorted(left, reverse=True)
    assert left[-1] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (61, "1 min 1 s"),
        (599, "9 min 59 s"),
        (600, "10 min"),
        (629, "10 min"),
        (631, "11 min"),
        (3569, "59 min"),
        (3570, "1 h 0 min"),
        (3599.6, "1 h 0 min"),
        (7260, "2 h 1 min"),
        (86369, "23 h 59 min"),
        (86371, "1 d 0 h"),
        (86400, "1 d 0 h"),
        (180000, "2 d 2 h"),
    ],
)
def test_a_time_is_told_to_one_or_two_units(seconds, told):
    assert describe_seconds(seconds) == told
