"""What a grid shows while it runs: a bar, a line for each worker, the best so far; without a terminal plain lines."""

import contextlib
import sys
import time
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lm_eval.common.text import count_of, describe_seconds
from lm_eval.config.run_config import describe
from lm_eval.grid.progress import GridProgress, RunningPass
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.result_file import StoredResult
from lm_eval.scheduling.heartbeat import Progress

_WORKERS_SHOWN = 8
_ECHO = 2
"""Room at the end of lines for the ^C that a terminal shows, which must not begin a line of its own."""
_REFRESHES = 4
"""How often a second a terminal is drawn anew."""


class GridDisplay:
    """Shows the progress of a grid as long as its `with` block lasts."""

    def __init__(self, progress: GridProgress, folder: ResultsFolder, console: Console | None = None) -> None:
        self._progress = progress
        self._folder = folder
        self._runs = {describe(run.config): run for unit in progress.units for run in unit.runs}
        self._best: dict[str, StoredResult] = {}
        self._last_failure = ""
        self._console = console or Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self._live: Live | None = None
        if self._console.file.isatty() and not self._console.is_dumb_terminal:
            self._live = Live(
                get_renderable=self.render,
                console=self._console,
                refresh_per_second=_REFRESHES,
                transient=True,
                redirect_stdout=sys.stdout.isatty(),
            )

    def __enter__(self) -> "GridDisplay":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove what moves; the lines stay."""
        if self._live is not None:
            with contextlib.suppress(OSError, ValueError):
                self._live.stop()

    def show(self, progress: Progress, line: str | None) -> None:
        """Take the progress, and a line about a run that has ended, if any."""
        self._progress.update(progress)
        if line is not None:
            self._note_best(line)
            with contextlib.suppress(OSError, ValueError):  # a log on a full disk, a pipe that nobody reads any more
                self._tell(line)

    def _tell(self, line: str) -> None:
        """Print how a run ended; not in a terminal, where the end tells it: by the table, or with the causes."""
        if line.startswith("failed"):
            self._last_failure = line
        if self._live is None or not sys.stdout.isatty():
            print(line, flush=True)
        elif "warning:" in line:
            self._console.print(Text(line, style="yellow"))

    def _note_best(self, line: str) -> None:
        run = self._runs.get(line.partition(": ")[2].partition(": acc ")[0])
        stored = None if run is None or not line.startswith("done (") else self._folder.find(run)
        if stored is not None and (acc := stored.metrics.get("acc")) is not None:
            best = self._best.get(stored.config.task)
            if best is None or acc > (best.metrics["acc"] or 0.0):
                self._best[stored.config.task] = stored

    def render(self) -> RenderableType:
        """Return what a terminal shows now."""
        now = time.time()
        running = self._progress.running(now)
        lines = Table.grid(padding=(0, 2, 0, 0))
        lines.add_column(no_wrap=True)
        lines.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        lines.add_column(no_wrap=True, justify="right")
        for one in running[:_WORKERS_SHOWN]:
            lines.add_row(Text(one.worker), Text(_say_pass(one)), Text(describe_seconds(one.seconds)))
        more = len(running) - _WORKERS_SHOWN
        rows = [] if more <= 0 else [Text(f"and {more} workers more")]
        best = [
            Text(f"best so far  {_say_best(stored)}", style="green", no_wrap=True, overflow="ellipsis")
            for stored in self._best.values()
        ]
        if self._last_failure:
            best.append(Text(self._last_failure, style="red", no_wrap=True, overflow="ellipsis"))
        shown = Group(self._bar(now), self._counts(now), lines, *rows, *best)
        return Constrain(shown, self._console.width - _ECHO)

    def _bar(self, now: float) -> RenderableType:
        share, row = self._progress.share(now), Table.grid(padding=(0, 1, 0, 0), expand=True)
        row.add_column(width=4, justify="right", no_wrap=True)
        row.add_column(ratio=1)
        if share is None:
            row.add_row(Text("…"), ProgressBar(pulse=bool(self._progress.runs.running)))
        else:
            row.add_row(Text(f"{share:.0%}"), ProgressBar(total=1.0, completed=share))
        return row

    def _counts(self, now: float) -> Text:
        runs, documents, left = self._progress.runs, self._progress.documents, self._progress.left_s(now)
        parts = [f"{runs.ended} of {runs.planned} runs"]
        if documents is not None:
            parts.append(f"{documents.done:,.0f} of {documents.total:,} documents")
        elif runs.planned:
            parts.append(f"{self._progress.num_ended} of {len(self._progress.units)} passes")
        if not runs.running and not runs.ended:
            parts = ["starting the workers"]
        elif left is not None:
            parts.append(f"about {describe_seconds(left)} left")
        text = Text(" · ".join(parts), no_wrap=True, overflow="ellipsis")
        if runs.failed:
            text.append(f" · {runs.failed} failed", style="bold red")
        return text


def _say_pass(one: RunningPass) -> str:
    config = one.config
    if config is None:
        return count_of(one.num_runs, "run")
    number = f" · {one.num_runs} runs" if one.num_runs > 1 else ""
    shots = count_of(config.num_fewshot, "shot")
    return f"{config.model_name} · {config.encoding_scheme or config.model} · {shots}{number}"


def _say_best(stored: StoredResult) -> str:
    error = stored.metrics.get("acc_stderr")
    shown = f"{stored.metrics['acc']:.3f}" + ("" if error is None else f" ± {error:.3f}")
    return f"{shown}  {describe(stored.config)}"
