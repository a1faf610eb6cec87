"""The progress of one run in documents, with the time left: a bar in a terminal, elsewhere a line now and then."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from lm_eval.common.console import is_terminal, print_safely
from lm_eval.common.text import describe_seconds

if TYPE_CHECKING:
    from rich.progress import Progress

_EVERY_S = 30.0
"""Time between two lines where there is no terminal."""


class DocumentProgress:
    """Progress in documents; within a window it advances in fractions, by tokens."""

    def __init__(self, num_documents: int, description: str, *, unit: str = "documents", shown: bool = True) -> None:
        self._total, self._description, self._unit = num_documents, description, unit
        self._done, self._finished, self._skipped = 0.0, 0, 0
        self._began = self._told = time.monotonic()
        self._shown, self._bar = shown, _make_bar() if shown and is_terminal(sys.stderr) else None

    def __enter__(self) -> "DocumentProgress":
        if self._bar is not None:
            self._bar.start()
            self._bar.add_task(self._description, total=self._total, counts=f"0/{self._total} {self._unit}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def start_window(self, num_documents: int, num_tokens: int) -> Callable[[int], None]:
        """Start a window; return the function to call with the number of tokens of each finished batch."""
        done = 0

        def advance(tokens: int) -> None:
            nonlocal done
            done = min(num_tokens, done + tokens)
            self._show(self._finished + num_documents * done / max(1, num_tokens))

        return advance

    def finish_window(self, num_documents: int) -> None:
        """Count the documents of a window as done."""
        self._finished += num_documents
        self._show(self._finished)

    def skip(self, num_documents: int) -> None:
        """Count documents that were done before, which say nothing of the time that the others take."""
        self._skipped += num_documents
        self.finish_window(num_documents)

    def _show(self, done: float) -> None:
        self._done, now = done, time.monotonic()
        if self._bar is not None:
            counts = f"{done:,.0f}/{self._total:,} {self._unit}"
            self._bar.update(self._bar.task_ids[0], completed=done, counts=counts)
        elif self._shown and now - self._told >= _EVERY_S:
            self._told = now
            print_safely(self._line(now))

    def _line(self, now: float) -> str:
        line = f"{self._description}: {self._done:,.0f} of {self._total:,} {self._unit}"
        done_here = self._done - self._skipped
        if not done_here:
            return line
        left_s = (now - self._began) * (self._total - self._done) / done_here
        return f"{line}, about {describe_seconds(left_s)} left"


def _make_bar() -> "Progress":
    from rich.console import Console  # noqa: PLC0415  (only where something is drawn)
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(compact=True),
    )
    return Progress(*columns, console=Console(file=sys.stderr), expand=True)
