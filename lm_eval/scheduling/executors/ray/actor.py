"""The worker as a Ray actor; its output goes to a log file on its machine and is sent with each report."""

import contextlib
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lm_eval.common.console import print_safely
from lm_eval.config.run_config import RunConfig, describe
from lm_eval.config.runtime import Execution
from lm_eval.results.identity import Resolver
from lm_eval.results.provenance import now
from lm_eval.scheduling.executors.worker import Worker
from lm_eval.scheduling.units import UnitReport
from lm_eval.scoring.blocks import Block

_TAIL_BYTES = 8000
"""Bytes at the end of a log that a failure quotes."""
_MAX_LOG_BYTES = 1 << 20
"""Bytes of a log that are sent with a report; of more, the last."""


def read_tail(path: str, start: int) -> str:
    """Return the end of a log file.

    Args:
        path: the file.
        start: bytes at its beginning to skip, as they were read before.
    """
    with Path(path).open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        stream.seek(max(start, end - _TAIL_BYTES))
        return stream.read().decode(errors="replace")


def _redirect_output() -> str:
    """Send everything that this process prints into a new file, and return its path."""
    handle, path = tempfile.mkstemp(prefix=f"lm_eval-{os.getpid()}-", suffix=".log")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(handle, stream.fileno())
    os.close(handle)
    return path


def _note(text: str) -> None:
    print_safely(f"{now()} {text}")


def _describe(configs: Sequence[RunConfig], blocks: Sequence[Block]) -> str:
    more = f" and {len(configs) - 1} more of its pass" if len(configs) > 1 else ""
    which = f", documents {blocks[0][0]} to {blocks[-1][1] - 1}" if blocks else ""
    return f"{describe(configs[0])}{more}{which}"


class RayWorker:
    """Computes work units in a separate process."""

    def __init__(self, execution: Execution, num_threads: int | None) -> None:
        self._log, self._read = "", 0
        with contextlib.suppress(OSError):  # work goes on without a log
            self._log = _redirect_output()
        self._worker = Worker(execution, num_threads)

    def log_place(self) -> tuple[str, str]:
        """Return this host and the path of the log on it."""
        return platform.node(), self._log

    def run(self, configs: Sequence[RunConfig], blocks: Sequence[Block]) -> UnitReport:
        """Run configurations that share a pass, or a piece of it; an error becomes an outcome, never an exception."""
        what = _describe(configs, blocks)
        _note(f"started: {what}")
        report = self._worker.run(configs, Resolver(), blocks)
        _note(f"ended: {what}, {sum(outcome.failure is not None for outcome in report.outcomes)} failed")
        log = self._new_log()
        tail = log.encode()[-_TAIL_BYTES:].decode(errors="replace")
        outcomes = [
            outcome if outcome.failure is None else replace(outcome, failure=replace(outcome.failure, log_tail=tail))
            for outcome in report.outcomes
        ]
        return replace(report, outcomes=outcomes, log=log, log_end=self._read)

    def _new_log(self) -> str:
        with contextlib.suppress(OSError):
            return self._read_log()
        return ""

    def _read_log(self) -> str:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        with Path(self._log).open("rb") as stream:
            stream.seek(self._read)
            new = stream.read()
            self._read = stream.tell()
        return new[-_MAX_LOG_BYTES:].decode(errors="replace")
