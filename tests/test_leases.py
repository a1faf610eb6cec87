"""Leases of configurations: each is one driver's at a time, and nobody waits for a driver that is gone."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from clusters import TOP

from lm_eval.leases import LEASE_S, Leases, process_started, read_drivers, state_folder, this_machine

HERE: dict[str, Any] = {
    "machine": this_machine(),
    "pid": os.getpid(),
    "process_started": process_started(os.getpid()),
    "ended": None,
}
"""What a driver in this process would tell of itself."""
AWAY: dict[str, Any] = {"machine": "another/boot/pid:[1]", "pid": 1, "process_started": "1", "ended": None}


@pytest.fixture(autouse=True)
def no_verdict_is_kept(monkeypatch):
    monkeypatch.setattr("lm_eval.leases._VERDICT_S", 0.0)


def write_driver(results: Path, name: str, content: object, *, age_s: float = 0.0) -> Path:
    """Write what a driver tells of itself, as if it had done so some time ago."""
    path = state_folder(results) / "drivers" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def driver(results: Path, name: str, content: object = HERE, *, age_s: float = 0.0) -> Leases:
    """A driver that has told of itself."""
    write_driver(results, name, content, age_s=age_s)
    return Leases(results, name)


def leases_in(results: Path) -> dict[str, str]:
    """The owner of every lease."""
    return {path.name: path.read_text() for path in (state_folder(results) / "leases").iterdir()}


def lay_lease(results: Path, name: str, owner: str, *, age_s: float = 0.0) -> Path:
    path = state_folder(results) / "leases" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(owner)
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_a_lease_is_the_first_driver_s_until_it_gives_it_back(tmp_path):
    one, two = driver(tmp_path, "one"), driver(tmp_path, "two")
    assert one.claim("a")
    assert not two.claim("a")
    assert two.claim("b")
    assert leases_in(tmp_path) == {"a": "one", "b": "two"}
    one.release("a")
    assert two.claim("a")
    assert leases_in(tmp_path) == {"a": "two", "b": "two"}


def test_a_driver_may_ask_again_for_what_is_its_own(tmp_path):
    one = driver(tmp_path, "one")
    assert one.claim("a")
    assert one.claim("a")
    one.release("a")
    one.release("a")
    assert leases_in(tmp_path) == {}


def test_a_lease_of_the_driver_s_own_that_it_does_not_remember_is_taken_anew(tmp_path):
    lay_lease(tmp_path, "a", "one")
    assert driver(tmp_path, "one").claim("a")
    assert leases_in(tmp_path) == {"a": "one"}


def test_all_leases_are_given_back_at_once_and_no_one_else_s(tmp_path):
    one, two = driver(tmp_path, "one"), driver(tmp_path, "two")
    assert all(one.claim(name) for name in "abc")
    assert two.claim("d")
    one.release_all()
    assert leases_in(tmp_path) == {"d": "two"}


def test_a_driver_that_was_taken_for_gone_does_not_give_back_what_is_another_s_by_now(tmp_path):
    one = driver(tmp_path, "one", AWAY)
    assert one.claim("a")
    write_driver(tmp_path, "one", AWAY, age_s=LEASE_S + 1)
    assert driver(tmp_path, "two").claim("a")
    one.release("a")
    assert leases_in(tmp_path) == {"a": "two"}


LIVING = {
    "elsewhere, heard of just now": (AWAY, 0.0),
    "elsewhere, heard of not long ago": (AWAY, LEASE_S - 10),
    "here, however long ago it was heard of": (HERE, 100 * LEASE_S),
}
GONE = {
    "elsewhere, not heard of for too long": (AWAY, LEASE_S + 1),
    "elsewhere, ended": ({**AWAY, "ended": "finished"}, 0.0),
    "here, ended": ({**HERE, "ended": "interrupted"}, 0.0),
    "here, a later process has its number": ({**HERE, "process_started": "1"}, 0.0),
    "here, no such process": ({**HERE, "pid": 1 << 30}, 0.0),
    "here, no such process, of unknown start": ({**HERE, "pid": 1 << 30, "process_started": None}, 0.0),
    "here, of unknown process": ({"machine": this_machine()}, 0.0),
    "its file is cut off": ('{"machine": "any', 0.0),
    "its file is empty": ("", 0.0),
    "its file holds something else": ("[1, 2]", 0.0),
}


@pytest.mark.parametrize(("content", "age_s"), LIVING.values(), ids=LIVING)
def test_the_lease_of_a_living_driver_is_left_to_it(tmp_path, content, age_s):
    assert driver(tmp_path, "one", content, age_s=age_s).claim("a")
    two = driver(tmp_path, "two")
    two.sweep()
    assert not two.claim("a")
    assert leases_in(tmp_path) == {"a": "one"}


@pytest.mark.parametrize(("content", "age_s"), GONE.values(), ids=GONE)
def test_the_lease_of_a_driver_that_is_gone_is_taken_over(tmp_path, content, age_s):
    assert driver(tmp_path, "one", content, age_s=age_s).claim("a")
    assert driver(tmp_path, "two").claim("a")
    assert leases_in(tmp_path) == {"a": "two"}


@pytest.mark.parametrize("owner", ["nobody", "../../etc/passwd", "x" * 300, "nul\0", "\n"])
def test_the_lease_of_a_driver_that_nothing_tells_of_is_taken_over(tmp_path, owner):
    lay_lease(tmp_path, "a", owner)
    assert driver(tmp_path, "one").claim("a")
    assert leases_in(tmp_path) == {"a": "one"}


def test_the_lease_of_a_process_is_its_own_until_it_is_killed_even_before_anybody_has_waited_for_it(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        told = {**HERE, "pid": process.pid, "process_started": process_started(process.pid)}
        assert driver(tmp_path, "one", told).claim("a")
        two = driver(tmp_path, "two")
        assert not two.claim("a")
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is a zombie still
        assert process_started(process.pid) is None
        assert two.claim("a")
    finally:
        process.kill()
        process.wait()
    assert leases_in(tmp_path) == {"a": "two"}


def test_a_verdict_on_another_driver_is_kept_for_a_moment(tmp_path, monkeypatch):
    monkeypatch.setattr("lm_eval.leases._VERDICT_S", 60.0)
    assert driver(tmp_path, "one", AWAY).claim("a")
    two = driver(tmp_path, "two")
    assert not two.claim("a")
    write_driver(tmp_path, "one", {**AWAY, "ended": "finished"})
    assert not two.claim("a")
    monkeypatch.setattr("lm_eval.leases._VERDICT_S", 0.0)
    assert two.claim("a")


def test_a_lease_that_nobody_has_signed_yet_is_respected_for_a_while(tmp_path):
    lay_lease(tmp_path, "new", "")
    lay_lease(tmp_path, "old", "", age_s=LEASE_S + 1)
    one = driver(tmp_path, "one")
    assert not one.claim("new")
    assert one.claim("old")


@pytest.mark.parametrize("order", [("old", "new"), ("new", "old")])
def test_each_unsigned_lease_is_judged_by_its_own_age(tmp_path, order, monkeypatch):
    monkeypatch.setattr("lm_eval.leases._VERDICT_S", 60.0)
    lay_lease(tmp_path, "old", "", age_s=LEASE_S + 1)
    lay_lease(tmp_path, "new", "")
    one = driver(tmp_path, "one")
    assert {name: one.claim(name) for name in order} == {"old": True, "new": False}


def test_an_unsigned_lease_that_goes_away_while_it_is_looked_at_is_asked_for_again_later(tmp_path, monkeypatch):
    lease = lay_lease(tmp_path, "a", "")
    one = driver(tmp_path, "one")
    read = Leases._read
    monkeypatch.setattr(Leases, "_read", lambda self, path: (read(path), lease.unlink())[0])
    assert not one.claim("a")
    monkeypatch.undo()
    assert one.claim("a")


def test_a_lease_that_is_given_back_while_it_is_looked_at_is_asked_for_again_later(tmp_path, monkeypatch):
    assert driver(tmp_path, "one", AWAY).claim("a")
    two = driver(tmp_path, "two")
    monkeypatch.setattr(Leases, "_read", lambda self, path: None)
    assert not two.claim("a")


def test_leases_can_be_taken_where_the_folder_is_missing_or_has_vanished(tmp_path):
    results = tmp_path / "deep" / "results"
    one = Leases(results, "one")
    assert one.claim("a")
    (state_folder(results) / "leases" / "a").unlink()
    (state_folder(results) / "leases").rmdir()
    state_folder(results).joinpath(".evicting").unlink(missing_ok=True)
    state_folder(results).rmdir()
    assert one.claim("b")
    one.release_all()
    one.sweep()
    assert leases_in(results) == {}


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    state_folder(tmp_path).write_text("a file where the folder should be")
    one = Leases(tmp_path, "one")
    with pytest.raises(OSError, match=r"Not a directory: '.*\.grid/leases/a'"):
        one.claim("a")
    one.sweep()


def test_a_full_disk_is_told_and_leaves_no_lease_behind(tmp_path, monkeypatch):
    def write(handle: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    one = driver(tmp_path, "one")
    monkeypatch.setattr("os.write", write)
    with pytest.raises(OSError, match="No space left on device"):
        one.claim("a")
    monkeypatch.undo()
    assert leases_in(tmp_path) == {}
    assert one.claim("a")


def test_sweeping_removes_the_leases_of_those_that_are_gone_alone(tmp_path):
    assert driver(tmp_path, "gone", {**HERE, "ended": "finished"}).claim("a")
    assert driver(tmp_path, "away", AWAY).claim("b")
    lay_lease(tmp_path, ".c.killed", "killed")  # left by a driver that died while it took a lease over
    lay_lease(tmp_path, "d", "")
    one = driver(tmp_path, "one")
    assert one.claim("e")
    one.sweep()
    assert leases_in(tmp_path) == {"b": "away", "d": "", "e": "one"}


def test_of_three_drivers_that_take_over_the_same_lease_one_gets_it_however_slow_the_second_is(tmp_path, monkeypatch):
    lay_lease(tmp_path, "a", "gone")
    first, second, third = (driver(tmp_path, name) for name in ("first", "second", "third"))
    lives = Leases._lives

    def look_slowly(self: Leases, owner: str, lease: Path) -> bool:
        verdict = lives(self, owner, lease)
        if self is second:
            assert first.claim("a")  # between the second's look and its grasp
        return verdict

    monkeypatch.setattr(Leases, "_lives", look_slowly)
    monkeypatch.setattr("os.link", lambda source, target: third.claim("a"))  # and before it puts things right
    assert not second.claim("a")
    monkeypatch.undo()
    assert not third.claim("a")
    assert leases_in(tmp_path) == {"a": "first"}


def test_without_locks_a_lease_that_was_taken_wrongly_is_put_back(tmp_path, monkeypatch):
    lease = lay_lease(tmp_path, "a", "gone")
    one, two = driver(tmp_path, "one"), driver(tmp_path, "two")
    answers = iter(["gone", "one"])
    monkeypatch.setattr(Leases, "_read", lambda self, path: next(answers))
    lease.write_text("one")
    assert not two._evict(lease, "gone")
    monkeypatch.undo()
    assert one._read(lease) == "one"
    assert leases_in(tmp_path) == {"a": "one"}


CLAIMER = """
import sys
from pathlib import Path
from lm_eval.leases import Leases

leases = Leases(Path(sys.argv[1]), sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
print(*[name for name in sys.argv[3].split() if leases.claim(name)], flush=True)
sys.stdin.readline()  # whoever ends is gone: its leases would be up for taking
"""


def race(results: Path, names: Sequence[str], num_processes: int) -> Counter[str]:
    """Let real processes claim the same names at once; return how many have won each."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER, str(results), f"driver-{number}", " ".join(names)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=TOP,
        )
        for number in range(num_processes)
    ]  # fmt: skip
    try:
        won: Counter[str] = Counter()
        for number, process in enumerate(processes):
            told = {**HERE, "pid": process.pid, "process_started": process_started(process.pid)}
            write_driver(results, f"driver-{number}", told)
        for said in ("ready", None):
            for process in processes:
                line = process.stdout.readline()
                assert said is None or line.strip() == said
                won.update(line.split() if said is None else ())
            for process in processes:
                process.stdin.write("go\n")
                process.stdin.flush()
        return won
    finally:
        for process in processes:
            process.kill()
            process.communicate()


NAMES = [f"name{number}" for number in range(300)]


def test_of_many_processes_that_claim_the_same_at_once_exactly_one_gets_each(tmp_path):
    assert race(tmp_path, NAMES, 6) == Counter(NAMES)
    assert leases_in(tmp_path).keys() == set(NAMES)


def test_of_many_processes_that_take_over_from_a_driver_that_is_gone_exactly_one_gets_each(tmp_path):
    for name in NAMES:
        lay_lease(tmp_path, name, "gone")
    won = race(tmp_path, NAMES, 6)
    assert max(won.values()) == 1
    assert won.keys() <= set(NAMES)
    held = {name for name, owner in leases_in(tmp_path).items() if owner.startswith("driver-")}
    assert held == won.keys()  # a race may leave a lease to nobody for a moment: it is asked for again
    last = driver(tmp_path, "last")
    assert {name for name in NAMES if name not in won and last.claim(name)} == set(NAMES) - won.keys()


def test_of_many_threads_each_a_driver_of_its_own_exactly_one_gets_each(tmp_path):
    drivers = [driver(tmp_path, f"driver-{number}") for number in range(8)]
    won: list[str] = []
    start = threading.Barrier(len(drivers))

    def claim(leases: Leases) -> None:
        start.wait()
        won.extend([name for name in NAMES if leases.claim(name)])

    threads = [threading.Thread(target=claim, args=(leases,)) for leases in drivers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(won) == Counter(NAMES)
    for leases in drivers:
        leases.release_all()
    assert leases_in(tmp_path) == {}


def test_drivers_are_told_newest_first_with_whether_they_live(tmp_path):
    write_driver(tmp_path, "old", {**HERE, "started": "2024-01-01", "ended": "finished"}, age_s=500)
    write_driver(tmp_path, "new", {**HERE, "started": "2024-01-03"}, age_s=5)
    write_driver(tmp_path, "killed", {**HERE, "started": "2024-01-02", "pid": 1 << 30})
    for name, text in {"garbage": "{", "list": "[]", "text": '"text"'}.items():
        write_driver(tmp_path, name, text)
    drivers = read_drivers(tmp_path)
    assert [(told["started"], told["alive"]) for told in drivers] == [
        ("2024-01-03", True),
        ("2024-01-02", False),
        ("2024-01-01", False),
    ]
    assert drivers[0]["updated"] == pytest.approx(time.time() - 5, abs=2)
    assert read_drivers(tmp_path / "nowhere") == []


def test_a_process_is_told_from_others_by_its_start():
    assert process_started(os.getpid()) == process_started(os.getpid())
    assert process_started(os.getpid()) is not None
    assert process_started(1 << 30) is None
    assert process_started(None) is None
    assert this_machine() == this_machine()
    assert this_machine().count("/") >= 2
