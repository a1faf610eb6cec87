"""Processes by their id and start, and all that descends from them, with `/proc` and without."""

import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from lm_eval.scheduling import processes
from lm_eval.scheduling.processes import kill_all, process_started

CHILD = "import time; print(1, flush=True); time.sleep(99)"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"


@pytest.fixture(params=["proc", "ps"])
def parent(request, tmp_path, monkeypatch) -> Iterator["subprocess.Popen[str]"]:
    """A process with a child that waits."""
    if request.param == "ps":
        monkeypatch.setattr(processes, "_PROC", tmp_path / "proc")
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout.readline() == "1\n"
        yield started
        started.kill()


def test_a_process_is_killed_with_its_children_and_then_has_no_start(parent):
    (child,) = psutil.Process(parent.pid).children()
    began = process_started(parent.pid)
    assert began is not None
    assert process_started(parent.pid) == began
    kill_all([f"{parent.pid}=another start"])
    assert child.is_running()
    kill_all([f"{parent.pid}={began}"])
    child.wait(timeout=30)
    parent.wait(timeout=30)
    assert process_started(parent.pid) is None
