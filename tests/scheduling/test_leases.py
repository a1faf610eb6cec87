"""Leases of a results folder: who gets one, when it passes to another, and that nobody ever shares one."""

import errno
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from lm_eval.grid.job import prepare
from lm_eval.results.folder import ResultsFolder
from lm_eval.scheduling import leases as module
from lm_eval.scheduling.executors.in_process import InProcessExecutor
from lm_eval.scheduling.heartbeat import (
    LEASE_S,
    STALLED_S,
    is_alive,
    read_drivers,
    state_folder,
    this_machine,
)
from lm_eval.scheduling.leases import Leases
from lm_eval.scheduling.passes import sweep_state
from lm_eval.scheduling.processes import process_started
from tests.support.drivers import NAME, held, here, killed, leases_of, set_age, write_driver
from tests.support.grids import options, small_grid
from tests.support.worlds import write_model_folder


def test_a_lease_is_a_file_that_names_its_driver(tmp_path):
    assert leases_of(tmp_path, "one").claim(NAME)
    assert held(tmp_path) == {NAME: "one"}


def test_a_driver_that_holds_a_lease_is_told_so_again(tmp_path):
    one = leases_of(tmp_path, "one")
    assert [one.claim(NAME), one.claim(NAME)] == [True, True]


def test_what_one_driver_holds_another_does_not_get_until_it_is_given_back(tmp_path):
    one, other = leases_of(tmp_path, "one"), leases_of(tmp_path, "other")
    assert one.claim(NAME)
    assert not other.claim(NAME)
    one.release(NAME)
    assert other.claim(NAME)
    assert not one.claim(NAME)
    assert held(tmp_path) == {NAME: "other"}


def test_a_lease_of_one_configuration_says_nothing_about_another(tmp_path):
    one, other = leases_of(tmp_path, "one"), leases_of(tmp_path, "other")
    assert one.claim("a")
    assert other.claim("b")


def test_nobody_gives_back_what_another_holds(tmp_path):
    one, other = leases_of(tmp_path, "one"), leases_of(tmp_path, "other")
    assert one.claim(NAME)
    other.release(NAME)
    other.release_all()
    assert held(tmp_path) == {NAME: "one"}


def test_all_leases_are_given_back_at_once(tmp_path):
    one, other = leases_of(tmp_path, "one"), leases_of(tmp_path, "other")
    assert [one.claim("a"), one.claim("b"), other.claim("c")] == [True, True, True]
    one.release_all()
    assert held(tmp_path) == {"c": "other"}


def test_giving_back_what_somebody_has_deleted_is_no_error(tmp_path):
    one = leases_of(tmp_path, "one")
    assert one.claim(NAME)
    (state_folder(tmp_path) / "leases" / NAME).unlink()
    one.release(NAME)
    assert one.claim(NAME)


@pytest.mark.parametrize(
    ("told", "lives"),
    [
        ({}, True),
        ({"age_s": LEASE_S - 20}, True),
        ({"age_s": LEASE_S + 1}, False),
        ({"ended": "finished"}, False),
        ({"ended": "interrupted", "age_s": 1.0}, False),
    ],
)
def test_a_driver_elsewhere_lives_as_long_as_it_is_heard_of_and_has_not_ended(tmp_path, told, lives):
    assert is_alive(write_driver(tmp_path, "one", **told), time.time()) is lives
    assert Leases(tmp_path, "one").claim(NAME)
    assert leases_of(tmp_path, "heir").claim(NAME) is not lives
    assert held(tmp_path) == {NAME: "one" if lives else "heir"}


def test_a_driver_of_this_machine_lives_as_long_as_its_process_unless_that_stalls(tmp_path):
    assert leases_of(tmp_path, "one", age_s=LEASE_S * 2, **here(os.getpid())).claim(NAME)
    assert not leases_of(tmp_path, "heir").claim(NAME)
    assert leases_of(tmp_path, "two", age_s=STALLED_S + 1, **here(os.getpid())).claim("b" * 32)
    assert leases_of(tmp_path, "other").claim("b" * 32)


def test_what_a_driver_that_was_away_held_is_no_longer_its_own(tmp_path):
    one = leases_of(tmp_path, "one", age_s=LEASE_S * 2, machine="elsewhere")
    assert one.claim(NAME)
    assert one.holds(NAME)
    assert leases_of(tmp_path, "heir").claim(NAME)
    assert not one.holds(NAME)


def test_the_lease_of_a_killed_process_is_free_at_once(tmp_path):
    assert leases_of(tmp_path, "one", **killed()).claim(NAME)
    assert leases_of(tmp_path, "heir").claim(NAME)


def test_a_killed_process_that_its_parent_has_not_taken_note_of_is_gone(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        file = write_driver(tmp_path, "one", **here(process.pid))
        assert is_alive(file, time.time())
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and still in the table of processes
        assert not is_alive(file, time.time())


def test_another_process_that_has_got_the_same_number_is_not_the_driver(tmp_path):
    assert leases_of(tmp_path, "one", **{**here(os.getpid()), "process_started": "1"}).claim(NAME)
    assert leases_of(tmp_path, "heir").claim(NAME)


@pytest.mark.parametrize(
    "content",
    [
        *('{"ended": null, "machine": HERE, "pid": "x"}', '{"machine": HERE}'),
        '{"machine": HERE, "pid": 1073741824}',  # no such process, and none whose start is known
    ],
)
def test_a_driver_whose_file_is_no_such_file_is_gone(tmp_path, content):
    file = write_driver(tmp_path, "one")
    file.write_text(content.replace("HERE", json.dumps(this_machine())))
    assert Leases(tmp_path, "one").claim(NAME)
    assert leases_of(tmp_path, "heir").claim(NAME)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\0" * 300])
def test_a_driver_whose_file_is_damaged_lives_until_it_should_have_written_it_again(tmp_path, content):
    file = write_driver(tmp_path, "one")
    file.write_text(content)
    assert Leases(tmp_path, "one").claim(NAME)
    assert not leases_of(tmp_path, "heir").claim(NAME)
    old = time.time() - LEASE_S - 1
    os.utime(file, (old, old))
    assert Leases(tmp_path, "later").claim(NAME)


def test_a_driver_without_a_file_is_gone(tmp_path):
    assert Leases(tmp_path, "one").claim(NAME)
    assert leases_of(tmp_path, "heir").claim(NAME)


def test_whether_a_driver_lives_is_looked_up_again_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_VERDICT_S", 60.0)
    one, heir = leases_of(tmp_path, "one"), leases_of(tmp_path, "heir")
    assert one.claim(NAME)
    assert not heir.claim(NAME)
    write_driver(tmp_path, "one", ended="finished")
    assert not heir.claim(NAME)
    monkeypatch.setattr(module, "_VERDICT_S", 0.0)
    assert heir.claim(NAME)


def test_many_leases_of_one_driver_take_one_look_at_it(tmp_path, monkeypatch):
    one, heir = leases_of(tmp_path, "one"), leases_of(tmp_path, "heir")
    names = [str(number) for number in range(50)]
    assert all(one.claim(name) for name in names)
    looks = []
    monkeypatch.setattr(module, "_VERDICT_S", 60.0)
    monkeypatch.setattr(module, "is_alive", lambda file, *_: looks.append(file) or True)
    assert not any(heir.claim(name) for name in names)
    assert looks == [heir.driver_file("one")]


def test_a_driver_that_was_taken_for_gone_does_not_give_back_its_heirs_lease(tmp_path):
    one = leases_of(tmp_path, "one", age_s=LEASE_S + 1)
    heir = leases_of(tmp_path, "heir")
    assert one.claim(NAME)
    assert heir.claim(NAME)
    one.release(NAME)
    assert held(tmp_path) == {NAME: "heir"}


def make_folder(path):
    (path / "within").mkdir(parents=True)


DAMAGES = {
    "empty": lambda path: path.touch(),  # just being made, or its driver died over it
    "zeros": lambda path: path.write_bytes(bytes(40)),  # after a loss of power
    "rubbish": lambda path: path.write_bytes(b"\xff\xfe/../\n" * 300),
    "another's path": lambda path: path.write_text("../drivers/one"),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a folder": make_folder,
    "a pipe": os.mkfifo,
}


@pytest.mark.parametrize("age_s", [LEASE_S + 1, -365 * 86400.0], ids=["old", "of the future"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_lease_that_names_no_driver_holds_as_long_as_one_may_be_in_the_making(tmp_path, damage, age_s):
    lease = state_folder(tmp_path) / "leases" / NAME
    lease.parent.mkdir(parents=True)
    DAMAGES[damage](lease)
    heir = leases_of(tmp_path, "heir")
    assert not heir.claim(NAME)
    moment = time.time() - age_s
    os.utime(lease, (moment, moment), follow_symlinks=False)
    assert heir.claim(NAME)
    assert held(tmp_path) == {NAME: "heir"}


def test_the_lease_of_an_heir_that_is_just_made_is_not_taken_for_the_damaged_one(tmp_path):
    lease = state_folder(tmp_path) / "leases" / NAME
    lease.parent.mkdir(parents=True)
    lease.touch()
    set_age(lease, LEASE_S + 1)
    slow, read = leases_of(tmp_path, "slow"), Leases._read
    slow._read = lambda path: (path == lease and (lease.unlink(), lease.touch()), read(path))[1]
    assert not slow.claim(NAME)
    assert lease.exists()


def test_a_driver_that_is_dated_in_the_future_is_gone_once_it_was_watched_in_vain(tmp_path, monkeypatch):
    assert leases_of(tmp_path, "one", age_s=-365 * 86400.0).claim(NAME)
    heir = leases_of(tmp_path, "heir")
    assert not heir.claim(NAME)
    passed = time.monotonic() + LEASE_S + 1
    monkeypatch.setattr(module.time, "monotonic", lambda: passed)
    assert heir.claim(NAME)


def test_an_old_empty_lease_makes_no_new_one_old(tmp_path):
    folder = state_folder(tmp_path) / "leases"
    folder.mkdir(parents=True)
    for name in ("old", "new"):
        (folder / name).touch()
    set_age(folder / "old", LEASE_S + 1)
    heir = leases_of(tmp_path, "heir")
    assert heir.claim("old")
    assert not heir.claim("new")


def test_an_empty_lease_that_is_given_back_just_then_counts_as_held(tmp_path, monkeypatch):
    heir = leases_of(tmp_path, "heir")
    lease = state_folder(tmp_path) / "leases" / NAME
    lease.parent.mkdir(parents=True)
    lease.touch()
    monkeypatch.setattr(heir, "now", lambda: lease.unlink() or time.time())
    assert not heir.claim(NAME)
    assert heir.claim(NAME)


def test_times_are_those_of_the_file_system_whatever_the_clock_says(tmp_path, monkeypatch):
    assert leases_of(tmp_path, "one").claim(NAME)
    heir = leases_of(tmp_path, "heir")
    with monkeypatch.context() as patch:
        patch.setattr(module.time, "time", lambda: 4e9)
        assert not heir.claim(NAME)
    assert sorted(path.name for path in state_folder(tmp_path).iterdir()) == ["drivers", "leases"]


def test_a_sweep_removes_the_leases_of_drivers_that_are_gone_and_no_others(tmp_path):
    drivers = {
        "lives": {},
        "here": here(os.getpid()),
        "silent": {"age_s": LEASE_S + 1},
        "ended": {"ended": "finished"},
        "killed": killed(),
        "own": {},
    }
    for driver, told in drivers.items():
        assert leases_of(tmp_path, driver, **told).claim(f"of {driver}")
    assert Leases(tmp_path, "unknown").claim("of unknown")
    Leases(tmp_path, "own").sweep()
    assert held(tmp_path) == {"of lives": "lives", "of here": "here", "of own": "own"}


def test_a_sweep_without_any_lease_is_no_error(tmp_path):
    leases_of(tmp_path, "one").sweep()
    Leases(tmp_path / "nowhere", "one").sweep()
    assert not (tmp_path / "nowhere").exists()


def test_a_leases_folder_that_has_vanished_is_made_again(tmp_path):
    one = leases_of(tmp_path, "one")
    assert one.claim("a")
    shutil.rmtree(state_folder(tmp_path))
    one.sweep()
    one.release("a")
    assert one.claim("b")
    assert held(tmp_path) == {"b": "one"}


def test_a_full_disk_is_told_and_leaves_no_lease_without_an_owner(tmp_path, monkeypatch):
    one = leases_of(tmp_path, "one")

    def fail(handle, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "write", fail)
        with pytest.raises(OSError, match="No space left on device"):
            one.claim(NAME)
    assert held(tmp_path) == {}
    assert one.claim(NAME)


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(NotADirectoryError, match="Not a directory"):
        Leases(tmp_path / "results", "one").claim(NAME)


WHOLE = {
    **dict.fromkeys(("planned", "skipped", "finished", "elsewhere", "failed"), 0),
    "host": "node7",
    "command_line": "python run.py",
    "remaining_s": None,
    "running": {},
}
"""What a driver's file tells beside what leases look at."""


def test_what_drivers_tell_is_read_newest_first_with_whether_they_live(tmp_path):
    write_driver(tmp_path, "first", **WHOLE, started="2026-07-01T10:00:00+00:00", ended="finished")
    write_driver(tmp_path, "second", **WHOLE, started="2026-07-02T10:00:00+00:00", age_s=LEASE_S + 1)
    write_driver(tmp_path, "third", **WHOLE, started="2026-07-03T10:00:00+00:00", **here(os.getpid()))
    write_driver(tmp_path, "broken").write_text("[1")
    write_driver(tmp_path, "list").write_text("[1]")
    drivers = read_drivers(tmp_path)
    assert [(driver.name, driver.is_alive, driver.record is not None) for driver in drivers[:3]] == [
        ("third", True, True),
        ("second", False, True),
        ("first", False, True),
    ]
    assert {(driver.name, driver.record) for driver in drivers[3:]} == {("broken", None), ("list", None)}
    assert abs(drivers[0].updated - time.time()) < 60
    assert read_drivers(tmp_path / "nowhere") == []


def test_a_process_is_told_from_a_later_one_of_the_same_number():
    told = killed()
    assert process_started(os.getpid()) == process_started(os.getpid()) is not None
    assert told["process_started"] != process_started(os.getpid())
    assert process_started(told["pid"]) is None


def test_others_are_the_living_drivers_that_hold_leases_of_a_name_or_a_pattern(tmp_path):
    me, other = leases_of(tmp_path, "me"), leases_of(tmp_path, "other")
    gone = leases_of(tmp_path, "gone", **killed())
    for leases, name in ((me, "pass.0-4"), (other, "pass.4-8"), (gone, "pass.8-9"), (other, "alone")):
        assert leases.claim(name)
    assert me.others("pass.*") == {"other"}
    assert (me.others("alone"), me.others("pass.8-9"), me.others("nothing")) == ({"other"}, set(), set())
    assert other.others("pass.*") == {"me"}
    assert (me.is_live("other"), me.is_live("gone"), me.is_live("me")) == (True, False, False)


def test_where_nothing_is_left_to_run_the_leases_of_dead_drivers_go_too(tmp_path):
    living, lost = leases_of(tmp_path, "living"), state_folder(tmp_path) / "leases" / "lost"
    assert living.claim(NAME)
    DAMAGES["a link to nothing"](lost)
    sweep_state(ResultsFolder(tmp_path))
    assert lost.is_symlink()
    moment = time.time() - LEASE_S - 1
    os.utime(lost, (moment, moment), follow_symlinks=False)
    sweep_state(ResultsFolder(tmp_path))
    assert held(tmp_path) == {NAME: "living"}
    assert [path.name for path in state_folder(tmp_path).iterdir() if path.is_file()] == []


def test_what_a_driver_leaves_that_dies_while_another_works_is_removed(data_dir, tmp_path):
    results, late = tmp_path / "results", "of a run that is done"

    def die(*_: object) -> None:  # once the other has begun
        gone = leases_of(results, "gone", **killed())
        assert gone.claim(late)

    model = write_model_folder(tmp_path / "model")
    job = prepare([small_grid(model)], options(data_dir, results), results, executor := InProcessExecutor())
    assert job.driver(die, fail_fast=False).run(executor).progress.ended == 3
    assert held(results) == {}
