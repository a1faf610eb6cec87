"""Processes that a driver has started don't outlive it, whatever ends it; real ones, and nothing else is killed."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lm_eval.scheduling import processes
from lm_eval.scheduling.processes import process_started
from tests.support.paths import TOP
from tests.support.waiting import PATIENCE_S, assert_all_end, wait_for

DRIVER = """
import subprocess, sys, time
from pathlib import Path

import psutil

from lm_eval.scheduling.executors.ray.cleanup import Guard

helpers = [subprocess.Popen(["sh", "-c", "sleep 600; :"]) for _ in range(2)]
while len(psutil.Process().children(recursive=True)) < 4:
    time.sleep(0.01)
guard = Guard()
guard.watch(*(helper.pid for helper in helpers))
guard.keep(Path(sys.argv[1]))
print("guarded", flush=True)
if sys.stdin.readline() == "end them\\n":
    guard.end_processes()
guard.close()
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
def driver(tmp_path) -> Iterator["subprocess.Popen[str]"]:
    """A process that guards its children, two shells that each have a child of their own, and a folder."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "log").write_text("a line")
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path / "kept")],
        env={**os.environ, "PYTHONPATH": str(TOP)},
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


def test_a_guard_that_stands_still_goes_on_once_its_driver_is_dead(driver, tmp_path):
    helpers, guards = below(driver)
    wait_for(lambda: ignores_sigterm(guards[0].pid), "the guard to be ready")
    wait_for(lambda: guards[0].status() == psutil.STATUS_SLEEPING, "the guard to wait")
    guards[0].suspend()
    driver.kill()
    assert_all_end([*helpers, *guards])
    wait_for(lambda: not (tmp_path / "kept").exists(), "the folder to be removed")


def ignores_sigterm(pid: int) -> bool:
    mask = re.search(r"SigIgn:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(mask[1], 16) >> (signal.SIGTERM - 1) & 1)


def test_what_a_killed_driver_has_started_is_killed_and_no_guard_and_no_file_stays(driver, tmp_path):
    helpers, guards = below(driver)
    assert (len(helpers), len(guards)) == (4, 1)
    for stopped in helpers[:3]:
        stopped.suspend()
    driver.kill()
    assert_all_end([*helpers, *guards])
    wait_for(lambda: not (tmp_path / "kept").exists(), "the folder to be removed")


def test_the_guard_survives_what_ends_the_drivers_group_or_all_of_a_users_processes(driver, tmp_path):
    helpers, guards = below(driver)
    for helper in helpers:
        helper.suspend()  # so that only the guard can end it
    wait_for(lambda: ignores_sigterm(guards[0].pid), "the guard to be ready")
    guards[0].terminate()
    os.killpg(driver.pid, signal.SIGTERM)
    assert_all_end([*helpers, *guards])
    wait_for(lambda: not (tmp_path / "kept").exists(), "the folder to be removed")


@pytest.mark.slow
@pytest.mark.parametrize("fate", [psutil.Process.kill, psutil.Process.suspend])
def test_a_driver_ends_its_children_itself_whatever_has_become_of_the_guard(driver, fate):
    helpers, guards = below(driver)
    helpers[0].suspend()
    fate(guards[0])
    driver.stdin.write("end them\n")
    driver.stdin.flush()
    assert driver.stdout.readline() == "left\n"
    assert_all_end([*helpers, *guards])


def test_a_driver_that_goes_on_keeps_its_children_and_loses_the_guard(driver, tmp_path):
    helpers, guards = below(driver)
    driver.stdin.write("\n")
    driver.stdin.flush()
    assert driver.stdout.readline() == "left\n"
    assert not guards[0].is_running()
    assert all(helper.is_running() for helper in helpers)
    assert (tmp_path / "kept").exists()


def guard(path: str, cwd: Path, told: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-I", "-S", path], cwd=cwd, input=told, text=True, timeout=PATIENCE_S, check=True
    )


def test_a_number_that_has_passed_to_another_process_is_left_alone(tmp_path):
    with sleeper() as right, sleeper() as other:
        gone = sleeper()
        gone.kill()
        gone.wait()
        names = [f"{gone.pid}=1", f"{other.pid}=1", f"{right.pid}={process_started(right.pid)}"]
        guard(processes.__file__, tmp_path, "".join(f"kill {name}\n" for name in names))
        assert right.wait(timeout=PATIENCE_S) == -signal.SIGKILL
        assert other.poll() is None
        other.kill()


def test_the_guard_needs_no_package_around_it(tmp_path):
    path = shutil.copy(processes.__file__, tmp_path)
    with sleeper() as child:
        guard(path, tmp_path, f"kill {child.pid}={process_started(child.pid)}\n")
        assert child.wait(timeout=PATIENCE_S) == -signal.SIGKILL


def test_a_guard_that_is_told_so_kills_nothing(tmp_path):
    with sleeper() as child:
        guard(processes.__file__, tmp_path, f"kill {child.pid}={process_started(child.pid)}\ndone\n")
        assert child.poll() is None
        child.kill()
