"""Should this process be killed, the ones it has started are killed too: Ray's helpers would stay for minutes."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from lm_eval.scheduling.heartbeat import process_started

_SHELL = "/bin/sh"


@contextmanager
def children_guarded() -> Iterator[None]:
    """Guard the processes that are below this one now, while what runs inside lasts.

    A shell waits at a pipe whose other end only this process holds: a line sends it home, the end of the pipe, which
    comes when this process is gone, has it kill the others.
    """
    found = [(child.pid, process_started(child.pid)) for child in psutil.Process().children(recursive=True)]
    if not found or not os.access(_SHELL, os.X_OK):
        yield
        return
    # a number may have passed to another process, days later; when it started tells
    checks = [f"case $(cat /proc/{pid}/stat) in *' {started} '*) kill -9 {pid};; esac" for pid, started in found]
    command = f"read line || {{ {'; '.join(checks)}; }} 2>/dev/null"
    with subprocess.Popen(  # noqa: S603
        [_SHELL, "-c", command], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True, text=True
    ) as shell:
        try:
            yield
        finally:
            with suppress(BrokenPipeError):
                shell.communicate("home\n")


@contextmanager
def children_ended() -> Iterator[None]:
    """End the processes that are below this one now, if what runs inside leaves any of them."""
    children = psutil.Process().children(recursive=True)
    yield
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()
