"""Identifying processes by id and start time, and a small program that kills processes when its parent dies.

The program kills the processes it is given once its standard input closes, unless it reads a line first. It imports
only the standard library, so it starts quickly by its path, even where the package isn't installed.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path


def process_started(pid: object) -> str | None:
    """Return the start time of a process, as text, which differs if its id is reused; None if no such process runs."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[19]


def kill_after_input_ends(processes: Sequence[str]) -> None:
    """Wait for the standard input: on a line do nothing, on its end kill the processes.

    Args:
        processes: id and start time of each, joined by `=`.
    """
    if sys.stdin.readline():
        return
    for process in processes:
        pid, _, started = process.partition("=")
        if process_started(pid) == started:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(pid), signal.SIGKILL)


if __name__ == "__main__":
    kill_after_input_ends(sys.argv[1:])
