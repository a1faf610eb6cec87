"""A shift: what one call does of a grid's work, since when results count as new, and when it begins nothing more.

An ordinary call has one shift, from its start until all is done. A job of a cluster's queue has less: it begins after
the submission, ends before its time is up, and doesn't wait for what other jobs compute.
"""

from dataclasses import dataclass, field

from lm_eval.scheduling.leases import Leases
from lm_eval.scheduling.summary import Summary

ELSEWHERE = "what is left is computed by others"


@dataclass
class Shift:
    """What one call does of a grid's work."""

    since: float | None = None
    """A moment by the file system's clock: results and failures from then on are this call's too, though another driver
    wrote them. None takes the start of the driver."""
    leaves_to_others: bool = False
    """Whether it ends where it could only wait for what other drivers hold."""
    ending: str = ""
    """Why nothing more is to be begun; empty as long as work goes on."""
    summary: Summary | None = field(default=None, init=False)
    """How far it came; None before it began."""
    _idle_since: float | None = field(default=None, init=False)

    @property
    def has_done_something(self) -> bool:
        """Whether runs, or pieces of long passes, were finished in it."""
        return self.summary is not None and self.summary.num_computed > 0

    def is_over(self, *, only_waits: bool, leases: Leases) -> bool:
        """Whether nothing more is to be begun.

        Where other drivers hold all that is left, each must have given a sign of life since, so that the work of a lost
        machine is not left lying.

        Args:
            only_waits: whether nothing is computed here, and all that is left is held by others.
            leases: those of this driver.
        """
        if self.ending or not self.leaves_to_others:
            return bool(self.ending)
        if not only_waits:
            self._idle_since = None
            return False
        try:
            self._idle_since = self._idle_since or leases.now()
        except OSError:  # the folder can't be written now: what is known of others is no reason to end
            return False
        if leases.others_live_since(self._idle_since):
            self.ending = ELSEWHERE
        return bool(self.ending)
