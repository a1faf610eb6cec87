"""Waiting for what a test needs, as long as a busy machine may take, in place of sleeping and hoping."""

import time
from collections.abc import Callable, Iterable

import psutil

PATIENCE_S = 300.0
"""Far longer than anything here takes on an idle machine: what isn't there by then never comes."""


def wait_for(condition: Callable[[], object], what: str = "it", *, timeout_s: float = PATIENCE_S) -> None:
    """Return once a condition holds; fail with what was waited for if it never does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s in vain for {what}"
        time.sleep(0.05)


def assert_all_end(processes: Iterable[psutil.Process]) -> None:
    """Wait until processes have ended."""
    _, alive = psutil.wait_procs(list(processes), timeout=PATIENCE_S)
    assert alive == []
