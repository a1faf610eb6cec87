"""Should this process be killed, the ones it has started are killed too: Ray's helpers would stay for minutes."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from lm_eval.scheduling import processes
from lm_eval.scheduling.processes import process_started


@contextmanager
def children_guarded() -> Iterator[None]:
    """Guard the processes that are below this one now, while what runs inside lasts.

    A small program waits at a pipe whose other end only this process holds: a line ends it, the end of the pipe, which
    comes when this process is gone, has it kill the others. Its session is its own, so that Ctrl-C doesn't reach it.
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
    """End the processes that are below this one now, if what runs inside leaves any of them."""
    children = psutil.Process().children(recursive=True)
    yield
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()
