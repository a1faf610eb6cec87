"""The files of a worker on its machine: its log, and its signs of life."""

import contextlib
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from lm_eval.scheduling.executors.signs import ENDING, Sign, read_sign
from lm_eval.scheduling.processes import process_started

_PREFIX = "lm_eval-"
TAIL_BYTES = 8000
"""Bytes at the end of a log that a failure quotes."""
_END_S = 10.0
"""Time for a killed process to end."""


class WorkerFiles(NamedTuple):
    """The files of a worker."""

    folder: str | None
    """None takes the machine's temporary folder."""
    name: str

    def here(self) -> "WorkerFiles":
        """Return the files with their folder on this machine."""
        return self._replace(folder=self.folder or tempfile.gettempdir())

    def _path(self, ending: str) -> Path:
        return Path(self.folder or tempfile.gettempdir()) / f"{_PREFIX}{self.name}{ending}"

    @property
    def log(self) -> Path:
        """All that it prints."""
        return self._path(".log")

    @property
    def signs(self) -> Path:
        """Its signs of life."""
        return self._path(ENDING)

    def sign(self) -> Sign | None:
        """Return its last sign of life."""
        return read_sign(self.signs)

    def read_tail(self, start: int) -> str:
        """Return the end of its log.

        Args:
            start: bytes at its beginning to skip, as they were read before.
        """
        with contextlib.suppress(OSError), self.log.open("rb") as stream:
            end = stream.seek(0, os.SEEK_END)
            stream.seek(max(start, end - TAIL_BYTES))
            return stream.read().decode(errors="replace")
        return ""

    def end(self, *, removes: bool) -> bool:
        """Kill the process, if it is still there, wait, remove the files if asked to; return whether it is gone."""
        sign, deadline = self.sign(), time.monotonic() + _END_S
        while (is_there := _runs(sign)) and sign is not None and time.monotonic() < deadline:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(sign.pid, signal.SIGKILL)
            time.sleep(0.05)
        if removes:
            self.remove()
        return not is_there

    def remove(self) -> None:
        """Remove the files."""
        for path in (self.log, self.signs):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _runs(sign: Sign | None) -> bool:
    return sign is not None and process_started(sign.pid) == sign.started


def sweep_worker_files() -> None:
    """Remove what workers have left in the temporary folder whose drivers were killed."""
    with contextlib.suppress(OSError):
        for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*{ENDING}"):
            sign = read_sign(path)
            if sign is not None and not _runs(sign):
                WorkerFiles(None, path.name.removeprefix(_PREFIX).removesuffix(ENDING)).remove()
