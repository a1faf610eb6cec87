"""Processes, distinguished from later ones of the same number by when they started.

As a program it kills those it is given once its standard input ends, unless a line comes first. It imports the standard
library alone, so it starts at once by its path, also where the package isn't installed.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path


def process_started(pid: object) -> str | None:
    """Return a text that tells a process from a later one of the same number; None where it is gone or unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[19]


def kill_after_input_ends(processes: Sequence[str]) -> None:
    """Wait at the standard input: a line means that nothing is to be done, its end that the processes are to be killed.

    Args:
        processes: number and start of each, joined by `=`.
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
