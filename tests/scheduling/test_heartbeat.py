"""What a driver tells of itself, while it runs and when it has ended."""

import errno
import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lm_eval.results.provenance import code_digest, code_version, command_line
from lm_eval.scheduling import heartbeat
from lm_eval.scheduling.heartbeat import (
    LEASE_S,
    Heartbeat,
    Progress,
    is_alive,
    read_drivers,
    this_machine,
)
from lm_eval.scheduling.leases import Leases
from lm_eval.scheduling.processes import process_started
from tests.support.waiting import PATIENCE_S, wait_for

BEAT_S = 0.02


@pytest.fixture
def quick(monkeypatch) -> None:
    monkeypatch.setattr(heartbeat, "_BEAT_S", BEAT_S)


@pytest.fixture
def beat(tmp_path) -> Iterator[Heartbeat]:
    """The heartbeat of a grid of five runs, opened."""
    beat = Heartbeat(tmp_path, Progress(planned=5, skipped=2))
    beat.open()
    yield beat
    beat.close("over")


def file_of(beat: Heartbeat, results: Path) -> Path:
    return results / ".grid" / "drivers" / f"{beat.driver}.json"


def told_by(beat: Heartbeat, results: Path) -> dict:
    return json.loads(file_of(beat, results).read_text())


def test_a_driver_tells_who_it_is_and_how_far_it_is(beat, tmp_path):
    told = told_by(beat, tmp_path)
    started, written = told.pop("started"), told.pop("written")
    assert started <= written
    assert started.endswith("+00:00")
    assert told == {
        "driver": beat.driver,
        "host": platform.node(),
        "machine": this_machine(),
        "pid": os.getpid(),
        "process_started": process_started(os.getpid()),
        "command_line": command_line(),
        "code": code_version(),
        "digest": code_digest(),
        "planned": 5,
        "skipped": 2,
        "finished": 0,
        "elsewhere": 0,
        "failed": 0,
        "documents": 0,
        "documents_done": 0,
        "remaining_s": None,
        "running": {},
        "ended": None,
    }


def test_two_drivers_of_one_process_have_files_of_their_own(beat, tmp_path):
    other = Heartbeat(tmp_path, Progress(planned=1, skipped=0))
    other.open()
    assert other.driver != beat.driver
    assert len(read_drivers(tmp_path)) == 2
    other.close("finished")


def test_a_driver_lives_for_the_leases_until_its_journal_is_closed(tmp_path):
    beat = Heartbeat(tmp_path, Progress(planned=1, skipped=0))
    beat.open()
    file = Leases(tmp_path, beat.driver).driver_file(beat.driver)
    assert file == file_of(beat, tmp_path)
    assert is_alive(file, time.time())
    beat.close("finished")
    assert not is_alive(file, time.time())


def test_the_file_is_kept_fresh(quick, beat, tmp_path):
    file = file_of(beat, tmp_path)
    os.utime(file, (0, 0))
    wait_for(lambda: file.stat().st_mtime > 0)


def test_what_changes_is_told_at_the_next_beat(quick, beat, tmp_path):
    beat.progress.finished = 3
    beat.progress.failed = 1
    beat.progress.remaining_s = 12.5
    beat.progress.running["worker-1"] = {"num_runs": 1, "first": "this", "since": 1.0}
    wait_for(lambda: told_by(beat, tmp_path)["running"] != {})
    told = told_by(beat, tmp_path)
    assert (told["finished"], told["failed"], told["remaining_s"]) == (3, 1, 12.5)
    assert told["running"] == {"worker-1": {"num_runs": 1, "first": "this", "since": 1.0}}


@pytest.mark.parametrize("ended", ["finished", "interrupted", "stopped by an error"])
def test_how_it_ended_is_told_and_that_nothing_runs_any_more(tmp_path, ended):
    beat = Heartbeat(tmp_path, Progress(planned=1, skipped=0))
    beat.open()
    beat.progress.running["worker-1"] = {"num_runs": 1, "first": "this", "since": 1.0}
    beat.progress.finished = 1
    beat.close(ended)
    told = told_by(beat, tmp_path)
    assert (told["ended"], told["running"], told["finished"]) == (ended, {}, 1)


def test_after_its_end_nothing_is_written_and_no_thread_is_left(quick, tmp_path):
    before = threading.active_count()
    beat = Heartbeat(tmp_path, Progress(planned=1, skipped=0))
    beat.open()
    assert threading.active_count() == before + 1
    beat.close("finished")
    assert threading.active_count() == before
    file = file_of(beat, tmp_path)
    os.utime(file, (0, 0))
    time.sleep(5 * BEAT_S)
    assert file.stat().st_mtime == 0


def test_a_folder_that_vanishes_is_made_again(quick, beat, tmp_path):
    (tmp_path / ".grid").rename(tmp_path / "gone")  # at once: the next beat may come in between
    wait_for(file_of(beat, tmp_path).exists)
    assert told_by(beat, tmp_path)["driver"] == beat.driver


def test_a_full_disk_leaves_the_last_word_standing_and_is_waited_out(quick, beat, tmp_path, monkeypatch):
    tried = threading.Event()

    def fail(path, content):
        tried.set()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(heartbeat, "write_json", fail)
        assert tried.wait(PATIENCE_S)
        beat.progress.finished = 4
        assert told_by(beat, tmp_path)["finished"] == 0
    wait_for(lambda: told_by(beat, tmp_path)["finished"] == 4)


def test_a_disk_that_is_full_to_the_end_does_not_keep_a_driver_from_ending(tmp_path, monkeypatch):
    beat = Heartbeat(tmp_path, Progress(planned=1, skipped=0))
    beat.open()

    def fail(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(heartbeat, "write_json", fail)
    beat.close("finished")
    assert told_by(beat, tmp_path)["ended"] is None


def test_runs_that_start_and_end_while_the_file_is_written_do_no_harm(quick, beat, tmp_path, monkeypatch):
    beats = []

    def stumble(progress):
        beats.append(progress)
        if len(beats) == 1:
            raise RuntimeError("dictionary changed size during iteration")
        return {"beats": len(beats)}

    with monkeypatch.context() as patch:
        patch.setattr(heartbeat, "asdict", stumble)
        wait_for(lambda: told_by(beat, tmp_path).get("beats", 0) >= 2)


def test_a_folder_that_cannot_be_written_is_told_at_once(tmp_path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(NotADirectoryError, match="Not a directory"):
        Heartbeat(tmp_path / "results", Progress(planned=1, skipped=0)).open()


def test_a_journal_that_was_never_opened_can_be_closed(tmp_path):
    beat = Heartbeat(tmp_path, Progress(planned=1, skipped=0))
    beat.close("stopped by an error")
    assert told_by(beat, tmp_path)["ended"] == "stopped by an error"


def write_old(results: Path, ages_s: list[float]) -> list[Path]:
    """Write the files of drivers that ended so long ago."""
    folder = results / ".grid" / "drivers"
    folder.mkdir(parents=True)
    files = [folder / f"old-{number}.json" for number in range(len(ages_s))]
    for file, age_s in zip(files, ages_s, strict=True):
        file.write_text(json.dumps({"ended": "finished"}))
        os.utime(file, (time.time() - age_s, time.time() - age_s))
    return files


HOUR_S = 60 * LEASE_S


@pytest.mark.parametrize(
    ("ages_s", "num_kept"),
    [
        ([HOUR_S + 60 + number for number in range(25)], 20),
        ([HOUR_S + 60 + number for number in range(20)], 20),
        ([HOUR_S - 60 - number for number in range(25)], 25),
        ([*[60.0] * 22, *[HOUR_S + 60] * 3], 22),
    ],
)
def test_of_drivers_long_gone_the_newest_twenty_are_kept(tmp_path, ages_s, num_kept):
    files = write_old(tmp_path, ages_s)
    beat = Heartbeat(tmp_path, Progress(planned=1, skipped=0))
    beat.open()
    beat.close("finished")
    assert [file.exists() for file in files] == [True] * num_kept + [False] * (len(files) - num_kept)
    assert file_of(beat, tmp_path).exists()


def test_two_drivers_that_begin_together_may_tidy_up_together(tmp_path):
    files = write_old(tmp_path, [HOUR_S + 60 + number for number in range(25)])
    files[7].unlink()
    files[7].symlink_to(tmp_path / "removed by the other")  # listed, and gone when it is looked at
    beat = Heartbeat(tmp_path, Progress(planned=1, skipped=0))
    beat.open()
    beat.close("finished")
    assert told_by(beat, tmp_path)["ended"] == "finished"
