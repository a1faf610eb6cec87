"""Writing the results of a grid as files; those that cannot be written are kept in memory and retried."""

import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lm_eval.common.console import print_safely
from lm_eval.config.run_config import RunConfig, describe
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.identity import Run
from lm_eval.scheduling.units import Outcome

RETRY_S = 5.0
"""Time between attempts to write what could not be written."""
GIVE_UP_S = 60.0
"""Time after the last run for which attempts go on."""


@dataclass
class ResultWriter:
    """Writes results; those that cannot be written are kept in memory and retried."""

    folder: ResultsFolder
    runs: Mapping[RunConfig, Run]
    """The runs being computed, by their configurations."""
    waiting: list[Outcome] = field(default_factory=list)
    _tried: float = 0.0

    def write(self, outcome: Outcome) -> list[Outcome]:
        """Write a result and return it, or keep it for later; it is also kept if the writing is interrupted.

        One that another driver has just written is returned as such.
        """
        self.waiting.append(outcome)
        written = self._try(outcome)
        if written is None:
            self._tried = time.monotonic()
            return []
        self.waiting.remove(outcome)
        return [written]

    def retry(self, *, now: bool = False) -> list[Outcome]:
        """Retry the results that are kept, if `RETRY_S` have passed, and return those written now."""
        if not self.waiting or not (now or time.monotonic() - self._tried >= RETRY_S):
            return []
        self._tried = time.monotonic()
        written = []
        for outcome in list(self.waiting):
            one = self._try(outcome, quiet=True)
            if one is None:
                break
            self.waiting.remove(outcome)
            written.append(one)
        return written

    def retry_for_a_while(self) -> Iterator[list[Outcome]]:
        """Retry for `GIVE_UP_S` after the last run has ended, and yield the results written each time."""
        deadline = time.monotonic() + GIVE_UP_S
        while self.waiting and time.monotonic() < deadline:
            time.sleep(min(RETRY_S, 1.0))
            yield self.retry()

    def _try(self, outcome: Outcome, *, quiet: bool = False) -> Outcome | None:
        assert outcome.result is not None  # noqa: S101
        try:
            _, is_first = self.folder.publish(outcome.config, outcome.result, self.runs[outcome.config])
        except OSError as error:
            if not quiet:
                print_safely(
                    f"CANNOT WRITE to {self.folder.path}: {error}; the result is kept in memory and tried again: "
                    f"{describe(outcome.config)}"
                )
            return None
        return outcome if is_first else replace(outcome, elsewhere=True)

    def rescue(self) -> tuple[Path | None, int]:
        """Write the results that are kept into a temporary folder; return it, and how many could be written."""
        path, written = None, 0
        with contextlib.suppress(OSError):
            rescue = ResultsFolder(Path(tempfile.mkdtemp(prefix="lm_eval-results-")))
            for outcome in self.waiting:
                rescue.write(outcome.config, outcome.result or {})
                path, written = rescue.path, written + 1
        return path, written
