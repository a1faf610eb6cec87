"""What a driver tells of itself while it runs, and of how it ended."""

import json
import os
import platform
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from lm_eval.journal import Journal, Progress
from lm_eval.leases import LEASE_S, Leases, process_started, read_drivers, state_folder, this_machine
from lm_eval.provenance import code_version


def file_of(results: Path, journal: Journal) -> Path:
    return state_folder(results) / "drivers" / f"{journal.driver}.json"


def told(results: Path, journal: Journal) -> dict[str, Any]:
    return json.loads(file_of(results, journal).read_text())


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def progress() -> Progress:
    return Progress(planned=7, skipped=3)


def test_a_driver_tells_who_it_is_and_how_far_the_grid_is(tmp_path, progress, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run it.py", "--limit", "4"])
    journal = Journal(tmp_path, progress)
    assert not state_folder(tmp_path).exists()
    before = datetime.now(tz=timezone.utc).replace(microsecond=0)
    journal.open()
    content = told(tmp_path, journal)
    journal.close("finished")
    assert {**content, "started": "", "written": ""} == {
        "driver": journal.driver,
        "host": platform.node(),
        "machine": this_machine(),
        "pid": os.getpid(),
        "process_started": process_started(os.getpid()),
        "command_line": f"{Path(sys.executable).name} 'run it.py' --limit 4",
        "code": code_version(),
        "planned": 7,
        "skipped": 3,
        "finished": 0,
        "elsewhere": 0,
        "failed": 0,
        "remaining_s": None,
        "running": {},
        "ended": None,
        "started": "",
        "written": "",
    }
    assert before <= datetime.fromisoformat(content["written"])
    assert datetime.fromisoformat(content["started"]) <= datetime.fromisoformat(content["written"])


def test_two_drivers_of_one_process_have_names_and_files_of_their_own(tmp_path, progress):
    one, two = Journal(tmp_path, progress), Journal(tmp_path, progress)
    assert one.driver != two.driver
    assert one.driver.startswith(f"{platform.node()}-{os.getpid()}-")
    assert Leases(tmp_path, one.driver).driver_file(one.driver) == file_of(tmp_path, one)


def test_the_file_follows_the_grid_while_it_runs(tmp_path, progress, monkeypatch):
    monkeypatch.setattr("lm_eval.journal._BEAT_S", 0.01)
    journal = Journal(tmp_path, progress)
    journal.open()
    progress.finished, progress.failed, progress.remaining_s = 2, 1, 90.5
    progress.running["worker-1"] = {"num_runs": 2, "first": "a run", "since": 1.0}
    wait_until(lambda: told(tmp_path, journal)["running"] != {})
    content = told(tmp_path, journal)
    journal.close("finished")
    assert (content["finished"], content["failed"], content["remaining_s"]) == (2, 1, 90.5)
    assert content["running"] == {"worker-1": {"num_runs": 2, "first": "a run", "since": 1.0}}


def test_the_file_is_kept_fresh_though_nothing_happens(tmp_path, progress, monkeypatch):
    monkeypatch.setattr("lm_eval.journal._BEAT_S", 0.01)
    journal = Journal(tmp_path, progress)
    journal.open()
    file = file_of(tmp_path, journal)
    os.utime(file, (0, 0))
    wait_until(lambda: time.time() - file.stat().st_mtime < LEASE_S)
    journal.close("finished")


def test_a_driver_lives_from_its_opening_to_its_end(tmp_path, progress):
    journal = Journal(tmp_path, progress)
    assert read_drivers(tmp_path) == []
    journal.open()
    assert [(d["driver"], d["alive"]) for d in read_drivers(tmp_path)] == [(journal.driver, True)]
    journal.close("finished")
    assert [(d["driver"], d["alive"]) for d in read_drivers(tmp_path)] == [(journal.driver, False)]


@pytest.mark.parametrize("ended", ["finished", "interrupted", "stopped at the first failure"])
def test_at_its_end_a_driver_tells_how_and_that_nothing_is_running(tmp_path, progress, ended):
    journal = Journal(tmp_path, progress)
    journal.open()
    progress.running["worker-1"] = {"num_runs": 1, "first": "a run", "since": 1.0}
    progress.finished = 7
    journal.close(ended)
    content = told(tmp_path, journal)
    assert (content["ended"], content["finished"], content["running"]) == (ended, 7, {})
    assert "journal" not in {thread.name for thread in threading.enumerate()}


def test_a_folder_that_cannot_be_written_is_told_at_the_beginning(tmp_path, progress):
    state_folder(tmp_path).write_text("a file where the folder should be")
    with pytest.raises(OSError, match=r"Not a directory: '.*\.grid/drivers'"):
        Journal(tmp_path, progress).open()


def test_a_disk_that_is_full_for_a_while_or_a_folder_that_vanishes_does_not_stop_it(tmp_path, progress, monkeypatch):
    monkeypatch.setattr("lm_eval.journal._BEAT_S", 0.01)
    journal = Journal(tmp_path, progress)
    journal.open()
    file, failed = file_of(tmp_path, journal), threading.Event()

    def write(path: Path, content: object) -> None:
        failed.set()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr("lm_eval.journal.write_json", write)
        assert failed.wait(5)
    file.parent.rename(tmp_path / "moved")
    wait_until(file.exists)
    journal.close("finished")
    assert told(tmp_path, journal)["ended"] == "finished"


def test_an_end_that_cannot_be_written_is_borne(tmp_path, progress, monkeypatch):
    journal = Journal(tmp_path, progress)
    journal.open()

    def write(path: Path, content: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lm_eval.journal.write_json", write)
    journal.close("finished")
    assert told(tmp_path, journal)["ended"] is None


def test_a_driver_that_was_never_opened_can_be_closed(tmp_path, progress):
    journal = Journal(tmp_path, progress)
    journal.close("stopped by an error")
    assert told(tmp_path, journal)["ended"] == "stopped by an error"


def old_files(results: Path, num_old: int, num_young: int) -> None:
    """Files of earlier drivers: old ones, each an hour older than the one before, and young ones."""
    folder = state_folder(results) / "drivers"
    folder.mkdir(parents=True)
    for number in range(num_old + num_young):
        is_old = number < num_old
        file = folder / f"{'old' if is_old else 'young'}-{number:02}.json"
        file.write_text("{}")
        moment = time.time() - (3600 * (2 + number) if is_old else 60)
        os.utime(file, (moment, moment))


def names_in(results: Path) -> set[str]:
    return {file.name for file in (state_folder(results) / "drivers").iterdir()}


@pytest.mark.parametrize(
    ("num_old", "num_young", "num_left"),
    [(25, 0, 20), (19, 0, 19), (0, 25, 25), (5, 25, 25), (10, 15, 20)],
)
def test_of_drivers_that_are_long_gone_the_last_twenty_files_are_kept(tmp_path, progress, num_old, num_young, num_left):
    old_files(tmp_path, num_old, num_young)
    before = sorted(names_in(tmp_path))
    journal = Journal(tmp_path, progress)
    journal.open()
    journal.close("finished")
    left = names_in(tmp_path) - {file_of(tmp_path, journal).name}
    assert len(left) == num_left
    num_old_left = num_left - num_young
    assert left == {*before[:num_old_left], *(name for name in before if name.startswith("young"))}


def test_two_drivers_that_begin_at_once_may_tidy_up_the_same_files(tmp_path, progress, monkeypatch):
    old_files(tmp_path, 25, 0)
    glob = Path.glob

    def glob_and_lose_some(self: Path, pattern: str) -> list[Path]:
        found = sorted(glob(self, pattern))
        for file in found[-3:]:
            file.unlink()
        return found

    monkeypatch.setattr(Path, "glob", glob_and_lose_some)
    journal = Journal(tmp_path, progress)
    journal.open()
    journal.close("finished")
    monkeypatch.undo()
    assert told(tmp_path, journal)["ended"] == "finished"
