"""Identifying processes by id and start time, and a small program that cleans up when its parent dies.

The program kills the processes that it was told of, and what they have started, and removes folders, once its standard
input closes; unless it has read a line `done` before. It imports only the standard library, so it starts quickly by its
path, even where the package isn't installed.
"""

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterable
from pathlib import Path


def process_started(pid: object) -> str | None:
    """Return the start time of a process, as text, which differs if its id is reused; None if no such process runs."""
    fields = _status(pid)
    return None if fields is None or fields[0] in ("Z", "X") else fields[19]


def _status(pid: object) -> list[str] | None:
    """Return what `/proc` tells of a process, from its state on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None


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
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():  # noqa: PTH112, PTH208  (quick)
        if entry.isdigit() and (fields := _status(entry)) is not None:
            children.setdefault(int(fields[1]), set()).add(int(entry))
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


if __name__ == "__main__":
    clean_up_after_input(iter(sys.stdin.readline, ""))
