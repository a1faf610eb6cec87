"""How many blocks of a long pass make a piece: one to five minutes of work, by what is known of the model's speed."""

from collections.abc import Callable
from dataclasses import dataclass, field

from lm_eval.scheduling.units import WorkUnit

SHORTEST_S, LONGEST_S = 60.0, 300.0
"""Seconds of a piece: a fault costs no more than the longest, and the start of a piece nothing beside the shortest."""
_PIECES_A_WORKER = 2
"""Pieces that each worker would still get of what is left: the nearer the end, the shorter they are."""


@dataclass(kw_only=True)
class PieceSizes:
    """Chooses the sizes of pieces, by past results at first, and by the pieces that were computed."""

    num_workers: int = 1
    past: Callable[[WorkUnit], float | None] = lambda unit: None  # noqa: ARG005
    """Returns the seconds that a document of a unit takes by past results, where there are any."""
    _measured: dict[tuple[object, ...], float] = field(default_factory=dict)

    def note(self, unit: WorkUnit, seconds: float) -> None:
        """Take what a piece took; 0 says nothing."""
        if seconds > 0:
            self._measured[unit.runs[0].pass_key] = seconds / unit.num_left

    def choose(self, unit: WorkUnit) -> int:
        """Return how many blocks the next piece of a unit has, at least one."""
        a_document = self._measured.get(unit.runs[0].pass_key) or self.past(unit)
        if not a_document:
            return 1
        wanted_s = min(LONGEST_S, max(SHORTEST_S, a_document * unit.num_left / (_PIECES_A_WORKER * self.num_workers)))
        number, seconds = 0, 0.0
        for start, end in unit.blocks:
            seconds += (end - start) * a_document
            if number and seconds > wanted_s:
                break
            number += 1
        return number
