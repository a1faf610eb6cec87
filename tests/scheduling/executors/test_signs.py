"""Signs of life: what a worker shows while it works, and who is named and replaced for showing none."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from lm_eval.config.checkpoint import Checkpoint
from lm_eval.scheduling.executors import signs as module
from lm_eval.scheduling.executors.ray.watch import Watch, Watched
from lm_eval.scheduling.executors.ray.worker_files import WorkerFiles, sweep_worker_files
from lm_eval.scheduling.executors.signs import Sign, Signs, read_sign
from lm_eval.scheduling.processes import process_started
from tests.support.waiting import PATIENCE_S, wait_for

MODEL = ("some/model", None, None, Checkpoint())


@pytest.fixture
def quick(monkeypatch) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.02)


@pytest.fixture
def signs(tmp_path, quick) -> Signs:
    made = Signs(tmp_path / "worker.signs")
    made.begin()
    return made


def test_the_first_sign_says_who_works(signs):
    assert read_sign(signs.path) == Sign(os.getpid(), process_started(os.getpid()), 0)


def test_each_batch_is_a_sign_and_nothing_else_once_it_scores(signs, tmp_path):
    advance = signs.progress().start_window(10, 100)
    time.sleep(0.05)
    before = read_sign(signs.path)
    (tmp_path / "much").write_bytes(bytes(1 << 20))  # bytes, but no batch
    time.sleep(0.1)
    assert read_sign(signs.path) == before
    advance(5)
    assert read_sign(signs.path).number == before.number + 1


def test_bytes_that_arrive_are_signs_while_it_loads_and_time_is_not(signs, tmp_path):
    signs.loading()
    time.sleep(0.05)
    before, until = read_sign(signs.path), time.monotonic() + 0.2
    while time.monotonic() < until:  # as one that waits for a device in a loop
        pass
    assert read_sign(signs.path) == before
    (tmp_path / "much").write_bytes(bytes(1 << 20))
    wait_for(lambda: read_sign(signs.path) != before, "a sign")


def test_time_is_a_sign_too_while_texts_become_tokens(signs):
    signs.preparing()
    before = read_sign(signs.path)
    wait_for(lambda: sum(range(100_000)) and read_sign(signs.path) != before, "a sign")


def test_where_no_file_can_be_written_it_works_without_signs():
    silent = Signs()
    silent.begin()
    silent.loading()
    silent.progress().start_window(1, 1)(1)
    assert read_sign(Path("nowhere")) is None


# --- who watches ---


class Worker:
    """A worker that is watched, each second or so."""

    def __init__(self, stall_timeout_s: float = 900.0) -> None:
        self.watch, self.life, self.now = Watch(stall_timeout_s), Watched("worker-1"), 0.0
        self.replaced: list[str] = []

    def passes(self, seconds: float, number: int | None) -> None:
        """Let time pass in which it shows one sign, or none at all."""
        shown = {} if number is None else {"worker-1": Sign(1, "1", number)}
        for _ in range(int(seconds)):
            self.now += 1
            self.replaced += [one.name for one in self.watch.look({MODEL: [self.life]}, shown, self.now)]


def test_a_silent_worker_is_named_after_a_minute_and_replaced_after_the_timeout(capsys):
    worker = Worker(stall_timeout_s=300)
    worker.passes(58, 1)
    assert capsys.readouterr().err == ""
    worker.passes(10, 1)
    named = "worker-1 has shown no sign of life for 1 min 0 s; it is replaced after 5 min 0 s (--stall_timeout)\n"
    assert capsys.readouterr().err == named  # once
    worker.passes(230, 1)
    assert worker.replaced == []
    worker.passes(10, 1)
    assert worker.replaced == ["worker-1"]


def test_one_that_goes_on_is_named_the_later_the_longer_it_usually_takes(capsys):
    worker = Worker()
    for number in range(3):
        worker.passes(40, number)
    assert capsys.readouterr().err == ""
    worker.passes(90, 3)
    assert capsys.readouterr().err == ""  # 40 s are usual
    worker.passes(15, 3)
    worker.passes(1, 4)
    assert capsys.readouterr().err.splitlines()[-1] == "worker-1 shows signs of life again"
    assert worker.replaced == []


def test_one_that_has_not_begun_or_can_show_no_signs_is_not_judged(capsys):
    worker = Worker(stall_timeout_s=10)
    worker.passes(1000, None)
    assert (worker.replaced, capsys.readouterr().err) == ([], "")


def test_a_driver_that_was_stopped_itself_takes_nobody_for_dead():
    worker = Worker(stall_timeout_s=60)
    worker.passes(10, 1)
    worker.now += 100_000
    worker.passes(1, 1)
    assert worker.replaced == []


# --- its files ---


def test_a_worker_that_stands_still_is_ended_and_its_files_are_removed(tmp_path):
    files = WorkerFiles(str(tmp_path), "worker-1")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        files.signs.write_text(f"{process.pid} {process_started(process.pid)} 0\n")
        files.log.write_text("beginning, end")
        process.send_signal(19)
        assert files.read_tail(11) == "end"
        files.end(removes=True)
        assert process.wait(timeout=PATIENCE_S) == -9
    assert list(tmp_path.iterdir()) == []


def test_another_process_of_its_number_is_left_alone(tmp_path):
    files = WorkerFiles(str(tmp_path), "worker-1")
    files.signs.write_text(f"{os.getpid()} 1 0\n")
    files.end(removes=False)
    assert files.signs.exists()


def test_what_dead_workers_have_left_is_swept_and_what_living_ones_write_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    lives, dead = WorkerFiles(None, "lives").here(), WorkerFiles(None, "dead").here()
    for files, pid, started in ((lives, os.getpid(), process_started(os.getpid())), (dead, os.getpid(), "1")):
        files.signs.write_text(f"{pid} {started} 3\n")
        files.log.write_text("")
    sweep_worker_files()
    assert lives.log.exists()
    assert not dead.log.exists()
    assert not dead.signs.exists()
