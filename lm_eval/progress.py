"""Progress bars: of one run's documents, and of a grid's runs."""

import sys
from collections.abc import Callable
from types import TracebackType

from tqdm import tqdm

from lm_eval.estimate import describe_seconds
from lm_eval.journal import Progress

_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {n:.0f}/{total} documents [{elapsed}<{remaining}, {rate_fmt}]"


class DocumentProgress:
    """Counts documents, in fractions while a window of them is under way."""

    def __init__(self, num_documents: int, description: str, *, shown: bool = True) -> None:
        self._bar = tqdm(
            total=num_documents,
            desc=description,
            unit=" documents",
            bar_format=_FORMAT,
            disable=not shown,
            dynamic_ncols=True,
        )
        self._finished = 0

    def __enter__(self) -> "DocumentProgress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def start_window(self, num_documents: int, num_tokens: int) -> Callable[[int], None]:
        """Return the function to be told the tokens of each finished batch of the window."""
        done = 0

        def advance(tokens: int) -> None:
            nonlocal done
            done = min(num_tokens, done + tokens)
            target = self._finished + num_documents * done / max(1, num_tokens)
            self._bar.update(target - self._bar.n)

        return advance

    def finish_window(self, num_documents: int) -> None:
        """Count the documents of a window as done."""
        self._finished += num_documents
        self._bar.update(self._finished - self._bar.n)


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
        self._bar.close()

    def show(self, progress: Progress, line: str | None) -> None:
        """Show how far the grid is, and a line about what has ended, if any."""
        if line is not None:
            self._bar.write(line)
            sys.stdout.flush()
        running = sum(unit["num_runs"] for unit in progress.running.values())
        left = "" if progress.remaining_s is None else f", about {describe_seconds(progress.remaining_s)} left"
        self._bar.set_postfix_str(f"{running} running, {progress.failed} failed{left}", refresh=False)
        ended = progress.finished + progress.elsewhere + progress.failed
        self._bar.update(ended - self._bar.n)
        self._bar.refresh()
