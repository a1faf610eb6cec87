"""The worker as a Ray actor; its output goes to a log file on its machine and is sent with each report."""

import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lm_eval.common.console import print_safely
from lm_eval.config.run_config import RunConfig, describe
from lm_eval.config.runtime import Execution
from lm_eval.results.identity import Resolver
from lm_eval.results.provenance import now
from lm_eval.scheduling.executors.ray.worker_files import TAIL_BYTES, WorkerFiles, sweep_worker_files
from lm_eval.scheduling.executors.signs import Signs
from lm_eval.scheduling.executors.worker import Worker
from lm_eval.scheduling.units import UnitReport
from lm_eval.scoring.blocks import Block

_MAX_LOG_BYTES = 1 << 20
"""Bytes of a log that are sent with a report; of more, the last."""


def _redirect_output(log: Path) -> None:
    """Send everything that this process prints into a new file."""
    handle = os.open(log, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(handle, stream.fileno())
    os.close(handle)


def _note(text: str) -> None:
    print_safely(f"{now()} {text}")


def _describe(configs: Sequence[RunConfig], blocks: Sequence[Block]) -> str:
    more = f" and {len(configs) - 1} more of its pass" if len(configs) > 1 else ""
    which = f", documents {blocks[0][0]} to {blocks[-1][1] - 1}" if blocks else ""
    return f"{describe(configs[0])}{more}{which}"


class RayWorker:
    """Computes work units in a separate process."""

    def __init__(self, execution: Execution, num_threads: int | None, files: WorkerFiles) -> None:
        if files.folder is None:
            sweep_worker_files()
        self._files = files.here()
        signs, self._log, self._read = Signs(self._files.signs), self._files.log, 0
        with contextlib.suppress(OSError):  # work goes on without a log and signs of life
            signs.begin()
            _redirect_output(self._log)
        self._worker = Worker(execution, num_threads, signs)

    def files(self) -> WorkerFiles:
        """Return where its files lie on this machine."""
        return self._files

    def run(self, configs: Sequence[RunConfig], blocks: Sequence[Block]) -> UnitReport:
        """Run configurations that share a pass, or a piece of it; an error becomes an outcome, never an exception."""
        what = _describe(configs, blocks)
        _note(f"started: {what}")
        report = self._worker.run(configs, Resolver(), blocks)
        _note(f"ended: {what}, {sum(outcome.failure is not None for outcome in report.outcomes)} failed")
        log = self._new_log()
        tail = log.encode()[-TAIL_BYTES:].decode(errors="replace")
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
        with self._log.open("rb") as stream:
            stream.seek(self._read)
            new = stream.read()
            self._read = stream.tell()
        return new[-_MAX_LOG_BYTES:].decode(errors="replace")
