"""The progress bar of a grid: runs done, running and failed, time left."""

import contextlib
import sys
from types import TracebackType

from tqdm import tqdm

from lm_eval.estimate import describe_seconds
from lm_eval.journal import Progress

_GRID_FORMAT = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} runs [{elapsed}{postfix}]"


class GridProgress:
    """Counts the runs of a grid; a line for each that ends, and a bar below them where somebody watches."""

    def __init__(self, num_runs: int) -> None:
        watched = sys.stderr.isatty()
        self._bar = tqdm(total=num_runs, bar_format=_GRID_FORMAT, disable=not watched, dynamic_ncols=True)
        self._bar.set_postfix_str("starting")

    def __enter__(self) -> "GridProgress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the bar."""
        with contextlib.suppress(OSError, ValueError):
            self._bar.close()

    def show(self, progress: Progress, line: str | None) -> None:
        """Show how far the grid is, and a line about what has ended, if any."""
        with contextlib.suppress(OSError, ValueError):  # a log on a full disk, a pipe that nobody reads any more
            self._show(progress, line)

    def _show(self, progress: Progress, line: str | None) -> None:
        if line is not None:
            self._bar.write(line)
            sys.stdout.flush()
        running = sum(unit["num_runs"] for unit in progress.running.values())
        left = "" if progress.remaining_s is None else f", about {describe_seconds(progress.remaining_s)} left"
        self._bar.set_postfix_str(f"{running} running, {progress.failed} failed{left}", refresh=False)
        ended = progress.finished + progress.elsewhere + progress.failed
        self._bar.update(ended - self._bar.n)
        self._bar.refresh()
