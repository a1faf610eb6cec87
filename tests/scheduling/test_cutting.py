"""Which units of a plan are long passes: by the size of the model and of the data."""

from dataclasses import replace

import pytest

from lm_eval.config.limit import Limit
from lm_eval.scheduling.cutting import cut_units
from lm_eval.scheduling.units import make_units
from tests.support.long_passes import long_pass
from tests.support.runs import fake_runs

NUMBER = 400


@pytest.fixture
def units(tmp_path):
    return make_units(long_pass(tmp_path, NUMBER))


def test_a_pass_of_seconds_is_not_cut_and_one_of_a_large_model_is(units):
    (unit,) = units
    name = unit.runs[0].config.pretrained
    (small,) = cut_units(units, {name: 10_000_000}, on_gpu=False)
    assert (small.blocks, small.num_documents) == ((), NUMBER)
    (large,) = cut_units(units, {name: 7_000_000_000}, on_gpu=False)
    assert len(large.blocks) > 1
    assert [start for start, _ in large.blocks[1:]] == [end for _, end in large.blocks[:-1]]
    assert (large.blocks[0][0], large.blocks[-1][1]) == (0, NUMBER)
    (on_gpu,) = cut_units(units, {name: 7_000_000_000}, on_gpu=True)
    assert on_gpu.blocks == ()
    assert (large.size, large.num_left, small.size, small.num_left) == (len(large.blocks), NUMBER, 1, NUMBER)


def test_documents_are_read_once_for_all_models(units, monkeypatch):
    (unit,) = units
    others = [replace(run, config=replace(run.config, pretrained="other")) for run in unit.runs]
    read = []
    monkeypatch.setattr("lm_eval.scheduling.cutting.documents_now", lambda run: read.append(run) or run.documents())
    cut = cut_units(
        [unit, replace(unit, runs=tuple(others))],
        {"other": 7_000_000_000, unit.runs[0].config.pretrained: 10_000_000},
        on_gpu=False,
    )
    assert len(read) == 1
    assert [len(one.blocks) > 1 for one in cut] == [False, True]


def test_documents_that_cannot_be_read_yet_leave_a_unit_whole(units):
    (unit,) = units
    missing = [replace(run, form=replace(run.form, limit=Limit(10_000, None))) for run in unit.runs]
    made_up = make_units(fake_runs([run.config for run in unit.runs]))
    for whole in ([replace(unit, runs=tuple(missing))], made_up):
        assert cut_units(whole, {}, on_gpu=False) == whole
