"""Shifts: when a driver begins nothing more, because its time is up or because others hold all that is left."""

from lm_eval.scheduling.queue import WorkQueue
from lm_eval.scheduling.shift import ELSEWHERE, Shift
from lm_eval.scheduling.units import Claim, UnitReport, make_units
from tests.support.drivers import leases_of, set_age, write_driver
from tests.support.grids import expand, grid
from tests.support.runs import fake_runs


def others_hold(tmp_path, *drivers: str):
    """The leases of a driver, beside others that each hold one."""
    for number, name in enumerate(drivers):
        assert leases_of(tmp_path, name).claim(str(number) * 64)
    return leases_of(tmp_path, "mine")


def test_a_shift_of_an_ordinary_call_ends_only_with_its_work(tmp_path):
    leases = others_hold(tmp_path, "other")
    shift = Shift()
    assert not any(shift.is_over(only_waits=True, leases=leases) for _ in range(3))


def test_a_job_ends_once_every_holder_of_what_is_left_has_given_a_sign_of_life(tmp_path):
    leases = others_hold(tmp_path, "one", "two")
    for name in ("one", "two"):
        write_driver(tmp_path, name, age_s=3.0)
    shift = Shift(leaves_to_others=True)
    assert not shift.is_over(only_waits=True, leases=leases)
    set_age(write_driver(tmp_path, "one"), -1.0)
    assert not shift.is_over(only_waits=True, leases=leases)
    set_age(write_driver(tmp_path, "two"), -1.0)
    assert shift.is_over(only_waits=True, leases=leases)
    assert shift.ending == ELSEWHERE


def test_what_a_silent_holder_has_is_waited_for(tmp_path):
    leases = others_hold(tmp_path, "lost")
    write_driver(tmp_path, "lost", age_s=60.0)
    shift = Shift(leaves_to_others=True)
    assert not any(shift.is_over(only_waits=True, leases=leases) for _ in range(3))
    write_driver(tmp_path, "lost", age_s=600.0)  # dead: its lease can be taken over
    assert not shift.is_over(only_waits=True, leases=leases_of(tmp_path, "mine"))


def test_waiting_is_counted_anew_after_work(tmp_path):
    leases = others_hold(tmp_path, "other")
    write_driver(tmp_path, "other", age_s=3.0)
    shift = Shift(leaves_to_others=True)
    assert not shift.is_over(only_waits=True, leases=leases)
    assert not shift.is_over(only_waits=False, leases=leases)
    write_driver(tmp_path, "other", age_s=0.0)
    assert not shift.is_over(only_waits=True, leases=leases)


def test_a_queue_that_drains_hands_out_nothing_more_and_takes_what_is_reported():
    units = make_units(fake_runs(expand(grid(models=["some/model"], num_fewshot=[1, 2, 3]))))
    queue = WorkQueue(units=units)
    begun = queue.take(units[0].key)
    queue.drain()
    assert not queue
    assert queue.take(units[0].key) is None
    queue.add([units[1]])
    queue.report(begun, UnitReport(outcomes=[]))
    assert not queue


def test_a_queue_tells_when_others_hold_all_that_is_left():
    units = make_units(fake_runs(expand(grid(models=["some/model"], num_fewshot=[1, 2]))))
    queue = WorkQueue(units=units, claim=lambda runs: Claim(mine=(), held=tuple(runs)))
    assert not queue.only_waits
    assert queue.take(units[0].key) is None
    assert queue.only_waits
