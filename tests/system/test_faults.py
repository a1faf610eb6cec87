"""What a week on shared machines brings, really done: processes killed, files broken, the disk full, two drivers.

Whatever happens, every configuration ends with one valid result, equal to the undisturbed one; nothing is computed more
often than the faults explain; no process is left.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from lm_eval.cli.prefetch import grids_of
from lm_eval.grid.script import carry_out
from lm_eval.scheduling.executors.in_process import InProcessExecutor
from lm_eval.scheduling.heartbeat import read_drivers
from tests.support.clusters import start, wait_for_worker
from tests.support.fault_world import World
from tests.support.faults import disk_of, disturb
from tests.support.grid_runs import GRID_LIMIT, Grid, begun, results_of, wait_for_results, write_grid
from tests.support.grids import options
from tests.support.waiting import PATIENCE_S, assert_all_end, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.ray]

KINDS = ("SIGSTOP", "full disk", "any signal", "damaged state", "SIGKILL")


def test_a_grid_survives_faults_of_all_kinds_and_leaves_nothing_behind(grid_models, tmp_path, monkeypatch):
    """A few of those that `python -m tests.system.faults` makes by the hundred, by hand."""
    monkeypatch.setattr("tests.support.faults._BETWEEN_S", (0.3, 2.0))  # or a small grid is done before
    world = World.make(tmp_path / "world", grid_models[0], documents=60, shots=2, cores=1)
    with disk_of(tmp_path / "grid"):
        grid, done = disturb(world, tmp_path / "grid", random.Random(3), KINDS)
    assert {name: number for name, number in grid.problems.items() if number} == {}, (done, grid.told)
    assert len(done) >= 3


def test_two_drivers_on_one_folder_share_the_work_and_compute_nothing_twice(undisturbed, data_dir, tmp_path):
    script, expected = undisturbed
    results = tmp_path / "results"
    grid = Grid(script, data_dir, results)
    with grid.start() as one, grid.start() as other:
        ends = [one.communicate(timeout=PATIENCE_S), other.communicate(timeout=PATIENCE_S)]
    assert (one.returncode, other.returncode) == (0, 0), ends
    assert results_of(results) == expected
    counts = begun(results / "logs")
    assert max(counts.values()) == 1
    shares = [len(begun(folder)) for folder in (results / "logs").iterdir()]
    assert len(shares) == 2
    assert min(shares) > 0


def driver_of(process: "subprocess.Popen[str]", results: Path) -> str | None:
    """The name under which a running driver is known to the others."""
    named = (driver for driver in read_drivers(results) if driver.record is not None)
    return next((driver.name for driver in named if driver.record.pid == process.pid), None)


def held_by(process: "subprocess.Popen[str]", results: Path) -> int:
    """How many leases a running driver holds."""
    name, num_held = driver_of(process, results), 0
    for lease in (results / ".grid" / "leases").glob("*"):
        with contextlib.suppress(FileNotFoundError):  # given back just now
            num_held += lease.read_text() == name
    return num_held


def stop_with_leases(driver: "subprocess.Popen[str]", results: Path) -> bool:
    """Stop a driver, or it is done before it is looked at; let it go on where it holds nothing at that moment."""
    driver.send_signal(signal.SIGSTOP)
    wait_for(lambda: psutil.Process(driver.pid).status() == psutil.STATUS_STOPPED, "the driver to stop")
    if not held_by(driver, results):
        driver.send_signal(signal.SIGCONT)
        return False
    return True


def status_of(results: Path) -> str:
    with start("status.py", results) as status:
        return status.communicate(timeout=PATIENCE_S)[0]


def test_a_killed_driver_is_told_from_its_files_and_another_takes_over_what_it_held(undisturbed, data_dir, tmp_path):
    script, expected = undisturbed
    results = tmp_path / "results"
    grid = Grid(script, data_dir, results)
    with grid.start() as victim:
        wait_for_worker(victim)
        wait_for_results(victim, results, 10)
        wait_for(lambda: stop_with_leases(victim, results), "leases of the first driver")
        assert f"running: {os.uname().nodename}, process {victim.pid}, since " in status_of(results)
        finished, num_held = len(results_of(results)), held_by(victim, results)
        assert 10 <= finished < len(expected)
        children = psutil.Process(victim.pid).children(recursive=True)
        with grid.start() as heir:
            wait_for(lambda: driver_of(heir, results) is not None, "the second driver to begin")
            wait_for_worker(heir)
            assert held_by(victim, results) == num_held  # a driver that lives keeps what it holds
            victim.kill()
            victim.wait(timeout=PATIENCE_S)
            assert_all_end(children)
            assert "exited without a final record (killed?): " in status_of(results)
            told, complained = heir.communicate(timeout=2 * PATIENCE_S)
    assert heir.returncode == 0, complained
    assert f", {finished} done" in told
    assert results_of(results) == expected
    assert list((results / ".grid" / "leases").iterdir()) == []


def test_a_grid_interrupted_twice_ends_soon_with_a_summary_and_leaves_no_process(undisturbed, data_dir, tmp_path):
    script, expected = undisturbed
    with Grid(script, data_dir, tmp_path / "results").start() as driver:
        wait_for_worker(driver)
        children = psutil.Process(driver.pid).children(recursive=True)
        began = time.monotonic()
        for number in (signal.SIGINT, signal.SIGTERM):
            driver.send_signal(number)
        out, err = driver.communicate(timeout=PATIENCE_S)
        took_s = time.monotonic() - began
    assert driver.returncode == 130
    assert " finished, 0 failed, " in out.splitlines()[-1]
    assert err.strip().splitlines()[-1].startswith("interrupted; what was finished is in the results folder")
    assert "Traceback" not in err
    assert took_s < 60  # 5 s where the machine is not busy
    assert len(results_of(tmp_path / "results")) < len(expected)
    assert_all_end(children)


def test_the_first_failure_ends_a_grid_where_that_is_asked_for(grid_models, data_dir, tmp_path, capsys):
    broken = tmp_path / "broken"
    shutil.copytree(grid_models[0], broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    script = write_grid(tmp_path, [str(broken)], range(4))
    chosen = options(data_dir, tmp_path / "results", limit=GRID_LIMIT, fail_fast=True)
    assert carry_out(grids_of(script), chosen, "unused", InProcessExecutor()) == 1
    printed = capsys.readouterr()
    assert "0 finished, 1 failed, " in printed.out
    assert "the weights cannot be loaded" in printed.err
    assert len(list((tmp_path / "results").glob("*.error.json"))) == 1
    everything = options(data_dir, tmp_path / "results", limit=GRID_LIMIT)
    assert carry_out(grids_of(script), everything, "unused", InProcessExecutor()) == 1
    assert capsys.readouterr().out.count("failed (") == 27
    assert carry_out(grids_of(script), everything, "unused", InProcessExecutor()) == 1
    assert "0 to run, 0 done, 28 failed before (--retry_failed runs them again)" in capsys.readouterr().out
