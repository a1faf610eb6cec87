"""Processes that a driver has started don't outlive it, whatever ends it; real ones, and nothing else is killed."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lm_eval.scheduling import processes
from lm_eval.scheduling.executors.ray.cleanup import children_ended, children_guarded
from lm_eval.scheduling.processes import process_started
from tests.support.paths import TOP
from tests.support.waiting import PATIENCE_S, assert_all_end, wait_for

DRIVER = """
import signal, subprocess, sys, time

import psutil

from lm_eval.scheduling.executors.ray.cleanup import children_guarded

signal.signal(signal.SIGINT, signal.SIG_IGN)  # as its children do from now on
helpers = [subprocess.Popen(["sh", "-c", "sleep 600; :"]) for _ in range(2)]
while len(psutil.Process().children(recursive=True)) < 4:
    time.sleep(0.01)
with children_guarded():
    print("guarded", flush=True)
    sys.stdin.readline()
print("left", flush=True)
sys.stdin.readline()
"""


def sleeper() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["sleep", "600"])


def below(driver: "subprocess.Popen[str]") -> tuple[list[psutil.Process], list[psutil.Process]]:
    """The four processes that a driver guards, and what guards them."""
    children = psutil.Process(driver.pid).children(recursive=True)
    guards = [child for child in children if processes.__file__ in child.cmdline()]
    return [child for child in children if child not in guards], guards


@pytest.fixture
def driver() -> Iterator["subprocess.Popen[str]"]:
    """A process that guards its children, two shells that each have a child of their own."""
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout.readline() == "guarded\n"
        wait_for(lambda: below(process)[1], "the guard to show its name")
        children = psutil.Process(process.pid).children(recursive=True)
        yield process
        process.kill()
    for child in children:
        if child.is_running():
            child.kill()


def test_what_a_killed_driver_has_started_is_killed_and_no_guard_stays(driver):
    helpers, guards = below(driver)
    assert (len(helpers), len(guards)) == (4, 1)
    driver.kill()
    assert_all_end([*helpers, *guards])


def test_the_guard_survives_an_interrupt_of_the_drivers_group(driver):
    helpers, guards = below(driver)
    os.killpg(driver.pid, signal.SIGINT)
    driver.kill()
    assert_all_end([*helpers, *guards])


def test_a_driver_that_goes_on_keeps_its_children_and_loses_the_guard(driver):
    helpers, guards = below(driver)
    driver.stdin.write("\n")
    driver.stdin.flush()
    assert driver.stdout.readline() == "left\n"
    assert not guards[0].is_running()
    assert all(helper.is_running() for helper in helpers)


def start_guard(path: str, cwd: Path, *guarded: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-I", "-S", path, *guarded], cwd=cwd, stdin=subprocess.PIPE, text=True)


def test_a_number_that_has_passed_to_another_process_is_left_alone(tmp_path):
    with sleeper() as right, sleeper() as other:
        gone = sleeper()
        gone.kill()
        gone.wait()
        names = [f"{gone.pid}=1", f"{other.pid}=1", f"{right.pid}={process_started(right.pid)}"]
        start_guard(processes.__file__, tmp_path, *names).communicate(timeout=PATIENCE_S)
        assert right.wait(timeout=PATIENCE_S) == -signal.SIGKILL
        assert other.poll() is None
        other.kill()


def test_a_line_ends_the_guard_and_kills_nothing(tmp_path):
    with sleeper() as child:
        guard = start_guard(processes.__file__, tmp_path, f"{child.pid}={process_started(child.pid)}")
        guard.communicate("\n", timeout=PATIENCE_S)
        assert guard.returncode == 0
        assert child.poll() is None
        child.kill()


def test_the_guard_needs_no_package_around_it(tmp_path):
    path = shutil.copy(processes.__file__, tmp_path)
    with sleeper() as child:
        start_guard(path, tmp_path, f"{child.pid}={process_started(child.pid)}").communicate(timeout=PATIENCE_S)
        assert child.wait(timeout=PATIENCE_S) == -signal.SIGKILL


def test_without_children_there_is_no_guard(monkeypatch):
    monkeypatch.setattr(psutil.Process, "children", lambda self, recursive: [])
    started: list[object] = []
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments, **named: started.append(arguments))
    with children_guarded():
        pass
    assert started == []


def test_a_guard_that_was_killed_itself_doesnt_end_the_work():
    with sleeper() as child:
        with children_guarded():
            for guard in psutil.Process().children():
                if processes.__file__ in guard.cmdline():
                    guard.kill()
                    psutil.wait_procs([guard], timeout=PATIENCE_S)
        assert child.poll() is None
        child.kill()


def test_children_that_what_ran_inside_has_left_are_ended():
    with sleeper() as child:
        with children_ended():
            later = sleeper()
        assert child.wait(timeout=PATIENCE_S) == -signal.SIGKILL
        assert later.poll() is None
        later.kill()
        later.wait()
