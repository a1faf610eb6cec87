"""Signs of life of a worker: a file that changes as long as its work goes on.

While it scores, each finished batch is a sign; before that, bytes that arrive are. A process that merely exists, or
waits in a loop for a GPU or a file system that hangs, shows none. Who reads the file compares it with what it was, so
that no clocks are compared.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from lm_eval.common.progress import DocumentProgress
from lm_eval.scheduling.processes import process_started

ENDING = ".signs"
_LOOK_S = 1.0
"""Time between two looks at the bytes that have arrived, and at least between two signs."""
_BYTES = 1 << 18
"""Bytes that make a sign: more than what Ray writes of itself into its logs in some minutes."""
_PAGE = 4096


class Sign(NamedTuple):
    """What a worker has shown: a later sign is another."""

    pid: int
    started: str
    """The start of its process, as `process_started` tells it."""
    number: int


def read_sign(path: Path) -> Sign | None:
    """Return the last sign of a worker; None where it hasn't begun, or its file can't be read."""
    with contextlib.suppress(OSError, ValueError):
        pid, started, number = path.read_text(encoding="ascii").split()
        return Sign(int(pid), started, int(number))
    return None


@dataclass
class Signs:
    """Shows signs of life of this process in a file."""

    path: Path | None = None
    """None shows none."""
    _number: int = 0
    _shown: float = 0.0
    _counted: Callable[[], int] | None = None
    """Counts what is a sign besides batches."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> None:
        """Show the first sign, and look at what arrives from now on.

        Raises:
            OSError: the file cannot be written.
        """
        if self.path is not None:
            self.path.write_text(self._text(), encoding="ascii")
            self._counted = bytes_arrived
            threading.Thread(target=self._watch, name="signs of life", daemon=True).start()

    def loading(self) -> None:
        """From now on bytes are signs; time that is spent isn't, as it may be spent waiting for a GPU."""
        self._change(bytes_arrived)

    def preparing(self) -> None:
        """From now on bytes and the processor's time are signs: data are read, and texts become tokens."""
        self._change(_bytes_and_time)

    def progress(self) -> DocumentProgress:
        """Return the progress of a pass: from its first window on, batches alone are signs."""
        return _Watched(self)

    def scoring(self) -> None:
        """From now on only `show` is a sign."""
        self._change(None)

    def show(self, *, now: bool = False) -> None:
        """Show a sign, unless one was shown just now."""
        if self.path is not None and (now or time.monotonic() - self._shown >= _LOOK_S):
            with self._lock, contextlib.suppress(OSError):
                self._number += 1
                self._shown = time.monotonic()
                with self.path.open("r+", encoding="ascii") as stream:  # of the same length: a full disk takes it
                    stream.write(self._text())

    def _change(self, counted: Callable[[], int] | None) -> None:
        self._counted = counted if self.path is not None else None
        self.show(now=True)

    def _text(self) -> str:
        return f"{os.getpid()} {process_started(os.getpid())} {self._number:020}\n"

    def _watch(self) -> None:
        before, counted = 0, None
        while True:
            time.sleep(_LOOK_S)
            now = self._counted
            number = 0 if now is None else now()
            if now is not counted or number - before >= _BYTES:
                if now is counted:
                    self.show()
                before, counted = number, now


class _Watched(DocumentProgress):
    """The progress of a pass that shows signs of life and nothing else."""

    def __init__(self, signs: Signs) -> None:
        super().__init__(0, "", shown=False)
        self._signs = signs

    def start_window(self, num_documents: int, num_tokens: int) -> Callable[[int], None]:
        self._signs.scoring()
        advance = super().start_window(num_documents, num_tokens)

        def advance_alive(tokens: int) -> None:
            self._signs.show()
            advance(tokens)

        return advance_alive

    def finish_window(self, num_documents: int) -> None:
        self._signs.show()
        super().finish_window(num_documents)


def bytes_arrived() -> int:
    """Return the bytes that this process has read, written and had mapped so far, from files and from networks."""
    try:
        lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
        counts = {name: int(number) for name, _, number in (line.partition(": ") for line in lines)}
        faults = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (OSError, ValueError):  # a system that doesn't tell: then a worker that loads is taken to live
        return int(time.monotonic() * _BYTES)
    pages = int(faults[7]) + int(faults[9])
    return counts["rchar"] + counts["wchar"] + counts["read_bytes"] + pages * _PAGE


def _bytes_and_time() -> int:
    return bytes_arrived() + int(time.process_time() * _BYTES)
