"""A job of a submission: a driver on its node, which ends before its time is up and queues itself again.

The job script calls it with the submission's folder. A signal SIGUSR1, which Slurm sends before the time limit and
before a job is preempted, lets it begin nothing more and finish what is under way; SIGTERM (`scancel`) interrupts it.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType

from lm_eval.common.command import DONE, FAILED, INTERRUPTED, WRONG_CALL, exit_status
from lm_eval.common.console import print_safely
from lm_eval.common.text import first_line
from lm_eval.errors import ConfigurationError
from lm_eval.grid.script import carry_out
from lm_eval.grid.slurm.commands import is_preempted, queue_again
from lm_eval.grid.slurm.common_dtype import settle_capabilities
from lm_eval.grid.slurm.job_record import JobRecord
from lm_eval.grid.slurm.job_script import patience_s
from lm_eval.grid.slurm.submission import check_code, read_submission
from lm_eval.grid.slurm.surroundings import settle_in
from lm_eval.results.provenance import now
from lm_eval.scheduling.hardware import local_machine
from lm_eval.scheduling.shift import Shift

_TOLD = "its time is nearly up"
_PREEMPTED = "preempted"
_ENDS = {
    DONE: "finished",
    FAILED: "runs failed",
    WRONG_CALL: "the call was wrong",
    INTERRUPTED: "cancelled",
    None: "stopped by an error",
}
"""Why a job ended, by its exit status, where nothing else is known."""


_INTERRUPTING = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)


def _stop_listening() -> None:
    """Ignore all further signals: the end must not be interrupted."""
    for number in (*_INTERRUPTING, signal.SIGUSR1):
        signal.signal(number, lambda *_: None)  # not ignored, which programs that are called inherit


@dataclass
class _Job:
    """A job as it goes on."""

    folder: Path
    """The submission."""
    record: JobRecord = field(default_factory=JobRecord.of_this_process)
    shift: Shift = field(default_factory=lambda: Shift(leaves_to_others=True))
    patience_s: float = 0.0
    """How long it goes on with what it has begun, once it was told."""
    lead_s: float = 0.0
    """How long before its time limit it is told."""
    is_terminated: bool = False
    _told_at: float = 0.0
    _refusal: str = ""

    def run(self) -> int:
        """Do the job's work; return its exit status."""
        status: int | None = None
        signal.signal(signal.SIGUSR1, self._tell)
        for number in _INTERRUPTING:
            signal.signal(number, self._interrupt)
        self._write()
        try:
            status = exit_status(self._work, interrupted=lambda: f"the job ends: {self._why(INTERRUPTED)}")
        finally:
            status = self._end(status)
        return FAILED if status is None else status

    def _work(self) -> int:
        try:
            submission = read_submission(self.folder)
            self.shift.since, self.lead_s = submission.since, submission.lead_s
            self.patience_s = patience_s(submission.lead_s)
            check_code(submission)
            sys.argv[:] = submission.argv  # results and the heartbeat state the user's call
            settle_in()
            gpus = settle_capabilities(submission.folder.parent, local_machine())
            options = replace(submission.options(), capabilities=gpus)
            return carry_out(submission.grids(), options, submission.results_dir, shift=self.shift)
        except ConfigurationError as error:
            self._refusal = first_line(error)
            raise

    def _tell(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if not self.shift.ending:
            self.shift.ending = _TOLD
            signal.setitimer(signal.ITIMER_REAL, max(0.1, self.patience_s))
            self._told_at = time.monotonic()
            text = f"{now()} {_TOLD}: nothing more is begun, what is under way is finished if that is soon enough\n"
            with contextlib.suppress(OSError):
                os.write(sys.stderr.fileno(), text.encode())  # whatever was being printed when the signal came

    def _interrupt(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        _stop_listening()
        self.is_terminated = number != signal.SIGALRM
        raise KeyboardInterrupt

    def _end(self, status: int | None) -> int | None:
        """Record how the job ended, and queue it again where it is to go on; return its exit status."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        _stop_listening()
        if (self.is_terminated or self.shift.ending == _TOLD) and is_preempted(self.record.job):
            self.shift.ending = _PREEMPTED
        is_cut_short = self.shift.ending in (_TOLD, _PREEMPTED) and self._is_more_left() and not self._is_cancelled
        if is_cut_short and status == DONE:
            status = INTERRUPTED
        self.record.status, self.record.why = status, self._why(status)
        goes_on = is_cut_short and status == INTERRUPTED
        if goes_on and not self.shift.has_done_something:
            self.record.why += "; nothing was finished in it, so it is not queued again: give it a longer --time"
        self.record.is_queued_again = goes_on and self.shift.has_done_something
        self.record.ended = now()
        self._write()
        print_safely(f"{self.record.ended} the job has ended: {self.record.why}")
        if self.record.is_queued_again:
            self._queue_again()
        return status

    def _queue_again(self) -> None:
        if refused := queue_again(self.record.job):
            self.record.is_queued_again = False
            self.record.why += f"; it could not be queued again ({refused}): submit the call again"
            self._write()
            print_safely(self.record.why)

    @property
    def _is_cancelled(self) -> bool:
        """Whether the user ended it; SIGTERM comes at the time limit too, where the end took too long."""
        is_too_late = self.shift.ending == _TOLD and time.monotonic() - self._told_at >= self.lead_s
        return self.is_terminated and self.shift.ending != _PREEMPTED and not is_too_late

    def _is_more_left(self) -> bool:
        return self.shift.summary is None or self.shift.summary.progress.left > 0

    def _why(self, status: int | None) -> str:
        if status == WRONG_CALL or status is None:
            return self._refusal or _ENDS[status]
        if self.shift.ending and self._is_more_left() and not self._is_cancelled:
            return self.shift.ending
        return _ENDS[status]

    def _write(self) -> None:
        with contextlib.suppress(OSError):  # the folder's state is no reason to stop
            self.record.write(self.folder)


def main(arguments: Sequence[str]) -> int:
    """Do the work of a job, as its script calls it.

    Args:
        arguments: the submission's folder.
    """
    return _Job(Path(arguments[0])).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
