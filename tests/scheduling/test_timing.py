"""How long work takes, judged by results made by hand."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from lm_eval.common.text import describe_seconds
from lm_eval.common.typed_files import read_as
from lm_eval.config.checkpoint import Checkpoint
from lm_eval.config.layer import Layer
from lm_eval.config.limit import Limit
from lm_eval.config.run_config import RunConfig
from lm_eval.config.settings import VectorSettings
from lm_eval.errors import DataError
from lm_eval.results.failures import Failure
from lm_eval.results.result_file import StoredResult
from lm_eval.results.schema import ResultFile
from lm_eval.scheduling.timing import Pace, RemainingTime, Timings
from lm_eval.scheduling.units import Outcome, UnitReport, WorkUnit
from tests.support.results import result_of
from tests.support.runs import fake_runs

MILLION = 1_000_000
NAN = float("nan")


@pytest.fixture
def config(data_dir) -> RunConfig:
    return RunConfig(
        model="dist_sim",
        pretrained="someone/small",
        task="hellaswag_d",
        encoding_scheme="concat_each_example",
        num_fewshot=1,
        vectors=VectorSettings.parse(word_agg_scheme="mean", similarity_func="cosine_sim"),
        data_dir=str(data_dir),
    )


def result(config: RunConfig, **changes) -> StoredResult:
    """A result of 8 documents: a pass of two configurations takes 0.5 s a document, and 0.125 s more for each."""
    run = {
        "num_documents": 8,
        "device": "cpu",
        "load_s": 3.0,
        "parameters": 10 * MILLION,
        "pass": {"num_configurations": 2, "phases_s": {"tokenise": 9.0, "encode": 4.0, "score": 2.0}},
    }
    return stored(config, {**run, **changes})


def stored(config: RunConfig, run: object) -> StoredResult:
    file = read_as(ResultFile, {**result_of(config), "run": {config.task: run}})
    metrics, record = file.results[config.task], file.run[config.task]
    return StoredResult(
        folder="", file="unused.json", config=config, stated_identity=None, metrics=metrics, record=record
    )


def unit(config: RunConfig, num_configs: int = 1) -> WorkUnit:
    """A unit of a configuration and others of other layers."""
    others = [replace(config.vectors, encoding_layer=Layer(layer)) for layer in range(1, num_configs)]
    return WorkUnit(runs=tuple(fake_runs([config, *(replace(config, vectors=vectors) for vectors in others)])))


def timings(*results: StoredResult, on_gpu: bool = False) -> Timings:
    return Timings(results, on_gpu=on_gpu)


def test_the_same_work_takes_as_long_as_before(config):
    # 10 documents · (0.5 s + 0.125 s) + 3 s
    assert timings(result(config)).seconds(unit(config), None) == pytest.approx(9.25)


def test_configurations_that_share_a_pass_are_encoded_once_and_scored_each(config):
    # 10 documents · (0.5 s + 4 · 0.125 s) + 3 s
    assert timings(result(config)).seconds(unit(config, 4), None) == pytest.approx(13.0)


@pytest.mark.parametrize(
    ("limit", "seconds"), [(Limit(0, 4), 5.5), (Limit(8, None), 4.25), (Limit(2, 6), 5.5), (Limit(0, 99), 9.25)]
)
def test_time_grows_with_the_documents_that_the_limit_leaves(config, limit, seconds):
    known = timings(result(config))
    assert known.seconds(unit(replace(config, limit=limit)), None) == pytest.approx(seconds)


def test_settings_dtype_and_where_a_model_lies_change_nothing(config):
    other = replace(config, pretrained="/models/small/", dtype="float32", vectors=replace(config.vectors, norm="L2"))
    assert timings(result(config)).seconds(unit(other), None) == pytest.approx(9.25)


def test_what_does_not_encode_is_only_scored(config):
    plain = RunConfig(model="hf", pretrained="small", task="hellaswag", data_dir=config.data_dir)
    shared = {"num_configurations": 1, "phases_s": {"score": 2.0}}
    assert timings(result(plain, **{"pass": shared})).seconds(unit(plain), None) == pytest.approx(5.5)


def test_of_several_results_the_median_counts(config):
    results = [result(config, load_s=load_s) for load_s in (3.0, 100.0, 2.0)]
    assert timings(*results).seconds(unit(config), None) == pytest.approx(9.25)


@pytest.mark.parametrize(("parameters", "seconds"), [(10, 9.25), (20, 18.5), (5, 4.625)])
def test_a_model_that_is_new_takes_time_by_its_size(config, parameters, seconds):
    known = timings(result(config))
    assert known.seconds(unit(replace(config, pretrained="new")), float(parameters * MILLION)) == pytest.approx(seconds)


def test_a_models_own_times_come_before_those_of_others(config):
    known = timings(result(config), result(replace(config, pretrained="other"), load_s=99.0))
    assert known.seconds(unit(config), float(70 * MILLION)) == pytest.approx(9.25)


@pytest.mark.parametrize("change", [{"encoding_scheme": "segment_each_example"}, {"num_fewshot": 0}])
def test_work_of_another_kind_says_nothing(config, change):
    known = timings(result(config))
    assert known.seconds(unit(replace(config, **change)), float(10 * MILLION)) is None


@pytest.mark.parametrize(("parameters", "of_the_result"), [(None, 10 * MILLION), (0.0, 10 * MILLION), (5e6, None)])
def test_without_both_sizes_nothing_is_told_of_a_new_model(config, parameters, of_the_result):
    known = timings(result(config, parameters=of_the_result))
    assert known.seconds(unit(replace(config, pretrained="new")), parameters) is None


def test_without_any_result_nothing_is_known(config):
    assert timings().seconds(unit(config), 1e6) is None
    assert timings().num_results == 0


@pytest.mark.parametrize(("on_gpu", "seconds"), [(False, 9.25), (True, 6.25 + 50)])
def test_a_gpu_is_judged_by_results_of_gpus_and_a_cpu_by_those_of_cpus(config, on_gpu, seconds):
    known = timings(result(config), result(config, device="cuda:0", load_s=50.0), on_gpu=on_gpu)
    assert known.num_results == 1
    assert known.seconds(unit(config), None) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "run",
    [
        {},
        {"device": "cpu"},
        {"device": "cpu", "pass": None, "num_documents": 8, "load_s": 1.0},
        {"device": "cpu", "pass": {"num_configurations": 1, "phases_s": {}}, "num_documents": 8, "load_s": 1.0},
        {
            "device": "cpu",
            "pass": {"num_configurations": 1, "phases_s": {"score": 1}},
            "num_documents": 8,
            "load_s": "1",
        },
        {
            "device": "cpu",
            "pass": {"num_configurations": 1, "phases_s": {"score": 1}},
            "num_documents": 8,
            "load_s": NAN,
        },
        {"device": "cpu", "pass": {"num_configurations": 0, "phases_s": {"score": 1}}, "num_documents": 8, "load_s": 1},
        {"device": "cpu", "pass": {"num_configurations": 1, "phases_s": {"score": 1}}, "num_documents": 0, "load_s": 1},
    ],
)
def test_a_result_that_states_no_times_is_passed_over(config, run):
    known = timings(stored(config, run), result(config))
    assert known.num_results == 1
    assert known.seconds(unit(config), None) == pytest.approx(9.25)


def test_data_that_cannot_be_read_is_told(config, tmp_path):
    gone = replace(config, data_dir=str(tmp_path))
    with pytest.raises(DataError, match=r"validation\.jsonl does not exist"):
        timings(result(config)).seconds(unit(gone), None)


BEGAN = 1000.0


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """A clock that a test sets."""
    clock = SimpleNamespace(now=BEGAN)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr("lm_eval.scheduling.timing.time", clock)
    return clock


@pytest.fixture
def units(config) -> list[WorkUnit]:
    """A unit of 9.25 s and, of a new model of the same size, one of two configurations and 10.5 s."""
    return [unit(config), unit(replace(config, pretrained="new"), 2)]


def remaining(units: list[WorkUnit], *results: StoredResult, num_workers: int = 1) -> RemainingTime:
    sizes = {("new", None, None, Checkpoint()): 10.0 * MILLION}
    return RemainingTime(units, timings(*results), sizes, num_workers, _began=BEGAN)


@pytest.mark.parametrize(("num_workers", "seconds"), [(0, 19.75), (1, 19.75), (2, 9.875), (8, 9.875)])
def test_a_grid_takes_what_its_units_take_shared_among_the_workers_that_have_some(config, units, num_workers, seconds):
    left = remaining(units, result(config), num_workers=num_workers)
    assert left.planned_s() == pytest.approx(seconds)
    assert left.num_unknown == 0


def test_a_unit_that_nothing_is_known_about_counts_as_the_mean_of_the_others(config, units):
    left = remaining([*units, unit(replace(config, num_fewshot=0))], result(config))
    assert left.num_unknown == 1
    assert left.planned_s() == pytest.approx(1.5 * 19.75)


def test_where_nothing_is_known_nothing_is_planned(config, units):
    left = remaining(units)
    assert (left.planned_s(), left.remaining_s(), left.num_unknown) == (None, None, 2)
    assert remaining([], result(config)).planned_s() is None


def test_until_the_first_run_ends_the_plan_is_what_remains(config, units, clock):
    left = remaining(units, result(config))
    clock.now = BEGAN + 5
    assert left.remaining_s() == pytest.approx(14.75)
    clock.now = BEGAN + 50
    assert left.remaining_s() == 0


def test_from_then_on_the_grid_is_judged_by_its_own_pace(config, units, clock):
    left = remaining(units, result(config))
    left.finish(units[0].runs[0].config)
    clock.now = BEGAN + 2 * 9.25  # twice as slow as planned
    assert left.remaining_s() == pytest.approx(2 * 10.5)
    left.finish(units[1].runs[1].config)  # half of its unit
    assert left.remaining_s() == pytest.approx(18.5 * 5.25 / 14.5)
    left.finish(units[1].runs[0].config)
    assert left.remaining_s() == 0


def test_without_any_timing_the_pace_is_known_from_the_first_run_on(units, clock):
    left = remaining(units)
    left.finish(units[0].runs[0].config)
    clock.now = BEGAN + 30
    assert left.remaining_s() == pytest.approx(30.0)  # as long for the other of two units


def test_a_run_that_ends_twice_or_was_never_planned_counts_once_or_not_at_all(config, units, clock):
    left = remaining(units, result(config))
    clock.now = BEGAN + 9.25
    for ended in (units[0].runs[0].config, units[0].runs[0].config, replace(config, pretrained="unplanned")):
        left.finish(ended)
    assert left.remaining_s() == pytest.approx(10.5)


def test_what_was_done_before_takes_no_time_and_what_is_done_of_a_run_counts(config, units, clock):
    left = remaining(units, result(config))
    first, second = units[0].runs[0].config, units[1].runs[0].config
    left.skip(first, 0.5)
    assert left.planned_s() == pytest.approx(19.75 - 9.25 / 2)
    left.advance(first, 0.75)  # a quarter of it
    clock.now = BEGAN + 9.25 / 4
    assert left.remaining_s() == pytest.approx(9.25 / 4 + 10.5)
    left.advance(first, 0.6)  # nothing goes back
    left.advance(second, 0.0)
    assert left.remaining_s() == pytest.approx(9.25 / 4 + 10.5)
    left.finish(first)
    clock.now = BEGAN + 9.25 / 2
    assert left.remaining_s() == pytest.approx(10.5)


def test_a_long_pass_is_shared_by_as_many_workers_as_it_has_blocks(config):
    cut = replace(unit(config), blocks=((0, 4), (4, 8), (8, 10)), num_documents=10)
    assert (cut.size, cut.num_left, replace(cut, blocks=((4, 8),)).num_left) == (3, 10, 4)
    whole, shared = (remaining([one], result(config), num_workers=8).planned_s() for one in (unit(config), cut))
    assert shared is not None
    assert whole is not None
    assert shared < whole / 2


@pytest.mark.parametrize(
    ("seconds", "described"),
    [
        (0.0, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (61, "1 min 1 s"),
        (599.4, "9 min 59 s"),
        (599.6, "10 min"),
        (629, "10 min"),
        (631, "11 min"),
        (3569, "59 min"),
        (3571, "1 h 0 min"),
        (3600, "1 h 0 min"),
        (5400, "1 h 30 min"),
        (86399, "1 d 0 h"),
        (90000, "1 d 1 h"),
        (10 * 86400 + 7200, "10 d 2 h"),
    ],
)
def test_times_are_told_to_one_or_two_units(seconds, described):
    assert describe_seconds(seconds) == described


# --- whether a further worker is worth its start ---


def paced(*measured: tuple[WorkUnit, float], start_s: float = 8.0) -> Pace:
    """The pace of a grid whose workers took these seconds for units, the first of them after a start."""
    pace = Pace()
    for index, (done, seconds) in enumerate(measured):
        report = UnitReport(outcomes=[Outcome(config=run.config) for run in done.runs], seconds=seconds)
        pace.note(done, report, start_s if index == 0 else None)
    return pace


@pytest.mark.parametrize(
    ("num_waiting", "num_workers", "is_worth"),
    [(1, 1, False), (2, 1, False), (3, 1, True), (5, 2, False), (6, 2, True)],
)
def test_a_further_worker_must_begin_before_the_others_have_taken_all(config, num_waiting, num_workers, is_worth):
    pace = paced((unit(config), 3.0))  # a start takes 8 s
    assert pace.is_worth_a_start([unit(config)] * num_waiting, num_workers) is is_worth


def test_a_unit_of_more_runs_or_of_slower_work_is_expected_to_take_longer(config):
    scheme = replace(config, encoding_scheme="concat_all_examples")
    pace = paced((unit(config), 3.0), (unit(scheme), 9.0), (unit(config, 2), 4.0))
    assert not pace.is_worth_a_start([unit(config)], 1)  # at most 4 s
    assert pace.is_worth_a_start([unit(config, 3)], 1)  # at most three times 3 s
    assert pace.is_worth_a_start([unit(scheme)], 1)
    assert pace.is_worth_a_start([unit(replace(config, num_fewshot=4))], 1)  # unknown work: as the longest


def test_before_anything_was_measured_a_worker_is_started_also_after_failures(config):
    pace = Pace()
    assert pace.is_worth_a_start([unit(config)], 1)
    failed = Outcome(config=config, failure=Failure(message="no", kind="run"))
    pace.note(unit(config), UnitReport(outcomes=[failed], seconds=0.0), 8.0)
    assert pace.is_worth_a_start([unit(config)], 1)
    other = replace(config, pretrained="someone/large")
    assert paced((unit(other), 3.0)).is_worth_a_start([unit(config)], 1)


def test_of_a_long_pass_the_documents_that_are_left_count(config):
    cut = replace(unit(config), blocks=((0, 10), (10, 20), (20, 30)), num_documents=30)
    pace = paced((replace(cut, blocks=cut.blocks[:1]), 5.0))
    assert pace.is_worth_a_start([replace(cut, blocks=cut.blocks[1:])], 1)  # 10 s against a start of 8 s
    assert not pace.is_worth_a_start([replace(cut, blocks=cut.blocks[2:])], 1)
