"""Several drivers that want one lease at the same time: exactly one gets it, whoever is slow or dies over it."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from lm_eval.results.pieces import state_folder
from lm_eval.scheduling.leases import Leases
from tests.support.drivers import NAME, held, killed, leases_of, write_driver
from tests.support.paths import TOP
from tests.support.waiting import PATIENCE_S


class Slow(Leases):
    """Leases of a driver that stands still once it knows that a lease's owner is gone, and at every read thereafter."""

    meanwhile: list = []  # noqa: RUF012  (set by the test)

    def _is_alive(self, owner, lease):
        lives = super()._is_alive(owner, lease)
        if self.meanwhile:
            self.meanwhile.pop(0)()
        return lives

    def _read(self, path):
        if len(self.meanwhile) == 1:
            self.meanwhile[0]()
        return Leases._read(path)


def test_a_slow_heir_does_not_open_a_gap_in_the_lease_of_a_faster_one(tmp_path):
    assert leases_of(tmp_path, "gone", ended="killed").claim(NAME)
    fast, third = leases_of(tmp_path, "fast"), leases_of(tmp_path, "third")
    slow = Slow(tmp_path, "slow")
    write_driver(tmp_path, "slow")
    won = Counter()

    def claim(leases):
        won[leases.driver] += leases.claim(NAME)

    slow.meanwhile = [lambda: claim(fast), lambda: claim(third)]
    assert not slow.claim(NAME)
    assert won == {"fast": 1, "third": 0}
    assert held(tmp_path) == {NAME: "fast"}


def test_a_heir_that_died_while_it_took_a_lease_over_is_in_nobodys_way(tmp_path):
    assert leases_of(tmp_path, "gone", ended="killed").claim(NAME)
    guard = state_folder(tmp_path) / "leases" / f".{NAME}"
    guard.write_text("heir that died")
    heir = leases_of(tmp_path, "heir")
    assert [heir.claim(NAME), heir.claim(NAME)] == [False, True]  # the guard first, the lease when it asks again
    assert held(tmp_path) == {NAME: "heir"}


def test_a_lease_that_another_is_just_taking_over_is_held(tmp_path):
    assert leases_of(tmp_path, "gone", ended="killed").claim(NAME)
    write_driver(tmp_path, "faster")
    (state_folder(tmp_path) / "leases" / f".{NAME}").write_text("faster")
    assert not leases_of(tmp_path, "heir").claim(NAME)
    assert held(tmp_path) == {NAME: "gone", f".{NAME}": "faster"}


RACER = """
import json, os, sys
from pathlib import Path

from lm_eval.scheduling.leases import Leases
from lm_eval.results.pieces import state_folder
from lm_eval.scheduling.heartbeat import this_machine
from lm_eval.scheduling.processes import process_started

results, driver, num_names = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
told = {"machine": this_machine(), "pid": os.getpid(), "process_started": process_started(os.getpid()), "ended": None}
(state_folder(results) / "drivers" / f"{driver}.json").write_text(json.dumps(told))
leases = Leases(results, driver)
print("ready", flush=True)
sys.stdin.readline()
print(json.dumps([number for number in range(num_names) if leases.claim(str(number))]), flush=True)
sys.stdin.readline()
leases.release_all()
"""


def race(results: Path, num_drivers: int, num_names: int) -> list[int]:
    """Return what several processes get that claim the same names at the same time and then hold them."""
    (state_folder(results) / "drivers").mkdir(parents=True, exist_ok=True)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(results), f"racer-{number}", str(num_names)],
            cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for number in range(num_drivers)
    ]  # fmt: skip
    try:
        for racer in racers:
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            racer.stdin.write("\n")
            racer.stdin.flush()
        won = [json.loads(racer.stdout.readline()) for racer in racers]
        assert Counter(held(results).values()) == {f"racer-{i}": len(got) for i, got in enumerate(won) if got}
        for racer in racers:
            racer.communicate("\n", timeout=PATIENCE_S)
    finally:
        for racer in racers:
            racer.kill()
            racer.wait()
    return sorted(name for got in won for name in got)


def test_of_several_drivers_that_claim_the_same_exactly_one_gets_each(tmp_path):
    assert race(tmp_path, 4, 400) == list(range(400))
    assert held(tmp_path) == {}


def test_of_several_heirs_of_a_dead_driver_exactly_one_gets_each_lease(tmp_path):
    gone = leases_of(tmp_path, "gone", **killed())
    assert all(gone.claim(str(number)) for number in range(400))
    assert race(tmp_path, 4, 400) == list(range(400))
    assert held(tmp_path) == {}
