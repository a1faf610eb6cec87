"""Ending the processes that a driver has started, whatever becomes of it: by itself, or by a guard that outlives it."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from lm_eval.scheduling import processes
from lm_eval.scheduling.processes import kill_all, process_started

_PATIENCE_S = 5.0
"""Time for a guard to end."""
_GONE_S = 10.0
"""Time for killed processes to end."""


class Guard:
    """A small program that ends processes and removes folders if this process is killed before `close`.

    It waits on a pipe whose other end only this process holds. It has its own session, so that Ctrl-C doesn't reach it.
    """

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", processes.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )

    def watch(self, *pids: int) -> None:
        """Guard processes, with all that descend from them when this process is killed."""
        for pid in pids:
            if (started := process_started(pid)) is not None:
                self._tell(f"kill {pid}={started}")

    def keep(self, folder: Path) -> None:
        """Guard a folder that is to be removed."""
        self._tell(f"remove {folder}")

    def _tell(self, line: str) -> None:
        if line not in self._told and self._process.stdin is not None:
            self._told.add(line)
            with suppress(OSError):  # the guard has been killed
                self._process.stdin.write(f"{line}\n")
                self._process.stdin.flush()

    def end_processes(self) -> None:
        """End what is guarded, and wait until it is gone."""
        told = [line.removeprefix("kill ") for line in self._told if line.startswith("kill ")]
        roots = [int(line.partition("=")[0]) for line in told]
        below = [process for pid in roots if psutil.pid_exists(pid) for process in _with_children(pid)]
        kill_all(told)
        psutil.wait_procs(below, timeout=_GONE_S)

    def close(self) -> None:
        """End the guard; nothing is guarded any more."""
        self._tell("done")
        try:
            with suppress(subprocess.TimeoutExpired, OSError, ValueError):  # it stands still, or was killed
                self._process.communicate(timeout=_PATIENCE_S)
        finally:
            self._process.kill()
            self._process.wait()


def _with_children(pid: int) -> list[psutil.Process]:
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []
