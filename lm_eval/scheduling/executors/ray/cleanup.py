"""Killing Ray's processes together with this one; otherwise they would stay for minutes after it was killed."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from lm_eval.scheduling import processes
from lm_eval.scheduling.processes import process_started


@contextmanager
def children_guarded() -> Iterator[None]:
    """Have the current child processes killed if this process is killed inside the `with` block.

    A small program waits on a pipe whose other end only this process holds. A line makes it exit; if the pipe closes
    without one, because this process was killed, it kills the children. It has its own session, so that Ctrl-C doesn't
    reach it.
    """
    below = [(child.pid, process_started(child.pid)) for child in psutil.Process().children(recursive=True)]
    guarded = [f"{pid}={started}" for pid, started in below if started is not None]
    if not guarded:
        yield
        return
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-S", processes.__file__, *guarded],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    ) as guard:
        try:
            yield
        finally:
            with suppress(BrokenPipeError):
                guard.communicate("nothing to do\n")


@contextmanager
def children_ended() -> Iterator[None]:
    """Kill those of the current child processes that are still running after the `with` block."""
    children = psutil.Process().children(recursive=True)
    yield
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()
