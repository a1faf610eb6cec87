"""Deciding which runs this driver computes, where several drivers share a results folder.

Leases say which driver computes a run (`scheduling.leases`), the folder says which runs are done; this combines both.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from lm_eval.common.console import print_safely
from lm_eval.results.failures import Failure, find_failure
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.identity import Run
from lm_eval.scheduling.heartbeat import LEASE_S, Heartbeat
from lm_eval.scheduling.leases import Leases
from lm_eval.scheduling.units import Claim, Order


class Ownership:
    """Claims runs for one driver, by the leases and the results of the folder."""

    def __init__(self, order: Order, folder: ResultsFolder, heartbeat: Heartbeat) -> None:
        self._replaced = order.replaced
        self._since = order.since
        self._folder = folder
        self._heartbeat = heartbeat
        self.leases = Leases(folder.path, heartbeat.driver)
        self._leases_fail = False

    @property
    def opened(self) -> float:
        """The moment, by the file system's clock, from which others' results and failures count as new."""
        return self._heartbeat.opened if self._since is None else self._since

    def sweep(self) -> None:
        """Remove the leases of dead drivers."""
        self.leases.sweep()

    def claim(self, runs: Sequence[Run]) -> Claim:
        """Claim runs, just before they are computed."""
        mine, done, held, failed = [], [], [], []
        for run in runs:
            if not self.claim_name(run.name):
                held.append(run)
            elif self.is_done(run):  # by another driver, which has given its lease back
                self.release(run)
                done.append(run)
            elif (failure := self._find_failure(run)) is not None:
                failed.append((run, failure))
            else:
                mine.append(run)
        return Claim(mine=tuple(mine), done=tuple(done), held=tuple(held), failed=tuple(failed))

    def ask(self, runs: Sequence[Run]) -> Claim:
        """Tell what has become of runs of a long pass, without claiming any; `mine` are those that nobody has done."""
        mine, done, held, failed = [], [], [], []
        for run in runs:
            if self.is_done(run):
                done.append(run)
            elif (failure := self._find_failure(run)) is not None:
                failed.append((run, failure))
            elif self.leases.others(run.name):  # somebody puts its pieces together, or computes it in one
                held.append(run)
            else:
                mine.append(run)
        return Claim(mine=tuple(mine), done=tuple(done), held=tuple(held), failed=tuple(failed))

    def claim_name(self, name: str) -> bool:
        """Try to take a lease; return whether this driver has it."""
        try:
            return self.leases.claim(name)
        except OSError as error:  # computing a run twice is better than not at all
            if not self._leases_fail:
                self._leases_fail = True
                print_safely(f"no lease can be taken ({error}): other drivers on this folder may compute the same runs")
            return True

    def release(self, run: Run) -> None:
        """Give the lease of a run back."""
        self.leases.release(run.name)

    def release_all(self) -> None:
        """Give all leases back."""
        self.leases.release_all()

    def is_done(self, run: Run) -> bool:
        """Whether another driver has written the result of a run since this one began, or before."""
        stored = self._folder.look_again(run)
        if stored is None:
            return False
        return run.name not in self._replaced or self.is_new(stored.path)

    def is_new(self, path: Path) -> bool:
        """Whether a file was written since this driver began; one that is dated in the future was written before."""
        with contextlib.suppress(OSError):
            written = path.stat().st_mtime
            return written > self.opened and written < self.leases.now() + LEASE_S
        return False

    def is_done_by_successor(self, run: Run) -> bool:
        """Whether another driver has taken over this driver's lease of a run, and has written its result."""
        return not self.leases.holds(run.name) and self.is_done(run)

    def _find_failure(self, run: Run) -> Failure | None:
        """Return the failure that another driver has recorded since this one began."""
        recorded = find_failure(self._folder.path, run)
        return recorded.failure if recorded is not None and self.is_new(recorded.path) else None
