"""Identifying processes by id and start time, and a small program that cleans up when its parent dies.

The program kills the processes that it was told of, and what they have started, and removes folders, once its standard
input closes; unless it has read a line `done` before. It imports only the standard library, so it starts quickly by its
path, even where the package isn't installed.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

_PROC = Path("/proc")
_PS_S = 5.0


def process_started(pid: object) -> str | None:
    """Return the start time of a process, as text, which differs if its id is reused; None if no such process runs."""
    fields = _status(pid)
    return None if fields is None or fields[0] in ("Z", "X") else fields[19]


def _status(pid: object) -> list[str] | None:
    """Return what `/proc` tells of a process, from its state on."""
    if not _PROC.is_dir():
        return _ask_ps(pid)
    try:
        return (_PROC / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None


def _ask_ps(pid: object) -> list[str] | None:
    """Return state, parent and start time of a process at the places where `/proc` has them, on systems without it."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        told = subprocess.run(  # noqa: S603
            ["ps", "-o", "stat=", "-o", "ppid=", "-o", "lstart=", "-p", str(pid)],  # noqa: S607
            capture_output=True, text=True, check=True, timeout=_PS_S, env={**os.environ, "LC_ALL": "C"},
        ).stdout.split()  # fmt: skip
        return [told[0][:1], told[1], *[""] * 17, "-".join(told[2:])] if len(told) > 2 else None
    return None


def _parents() -> dict[int, int]:
    """Return every process with its parent."""
    if _PROC.is_dir():
        entries = [entry for entry in os.listdir(_PROC) if entry.isdigit()]  # noqa: PTH208  (quick)
        return {int(entry): int(fields[1]) for entry in entries if (fields := _status(entry)) is not None}
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        told = subprocess.run(
            ["ps", "-axo", "pid=,ppid="],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
            timeout=_PS_S,
        ).stdout
        return {int(pid): int(parent) for pid, parent in (line.split() for line in told.splitlines())}
    return {}


def kill_all(processes: Iterable[str]) -> None:
    """Kill processes and all that descend from them; each is stopped before, so that it starts no other.

    Args:
        processes: id and start time of each, joined by `=`.
    """
    told = [one.partition("=") for one in processes]
    roots = {int(pid) for pid, _, started in told if process_started(pid) == started}
    found = set[int]()
    while new := (roots | _below(roots | found)) - found:
        for pid in new:
            _send(pid, signal.SIGSTOP)
        found |= new
    for pid in found:
        _send(pid, signal.SIGKILL)


def _below(pids: set[int]) -> set[int]:
    """Return all descendants of processes."""
    children: dict[int, set[int]] = {}
    for pid, parent in _parents().items():
        children.setdefault(parent, set()).add(pid)
    found, waiting = set[int](), list(pids)
    while waiting:
        for child in children.get(waiting.pop(), set()) - found:
            found.add(child)
            waiting.append(child)
    return found


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def clean_up_after_input(lines: Iterable[str]) -> None:
    """Read what is to be cleaned up; on a line `done` do nothing, on the end do it.

    Args:
        lines: each `kill PID=START` or `remove FOLDER`.
    """
    told: dict[str, list[str]] = {"kill": [], "remove": []}
    for line in lines:
        what, _, of = line.rstrip("\n").partition(" ")
        if what == "done":
            return
        told.setdefault(what, []).append(of)
    kill_all(told["kill"])
    for folder in told["remove"]:
        shutil.rmtree(folder, ignore_errors=True)


_PR_SET_PDEATHSIG = 1


def _go_on_without_parent() -> None:
    """Have Linux continue this process when its parent dies, in case it is stopped then: it has work to do."""
    with contextlib.suppress(AttributeError, OSError):  # another system
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGCONT)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # told to all processes of a user or a job, it has work to do then
    _go_on_without_parent()
    clean_up_after_input(iter(sys.stdin.readline, ""))
