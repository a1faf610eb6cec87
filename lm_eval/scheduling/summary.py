"""How a grid ended: counts, failures, and results that could not be written."""

from dataclasses import dataclass, field
from pathlib import Path

from lm_eval.scheduling.heartbeat import Progress
from lm_eval.scheduling.units import Outcome


@dataclass
class Summary:
    """How a grid ended."""

    progress: Progress
    """The counts, which the heartbeat file has too."""
    failures: list[Outcome] = field(default_factory=list)
    unwritten: list[Outcome] = field(default_factory=list)
    """Results that could not be written into the folder."""
    rescued_to: Path | None = None
    """Temporary folder that holds `num_rescued` of them; None where none could be written."""
    num_rescued: int = 0
    stopped: bool = False
    """Whether it stopped at the first failure (`--fail_fast`)."""
    num_pieces: int = 0
    """Pieces of long passes that were computed here."""

    @property
    def num_computed(self) -> int:
        """Runs and pieces that were computed here."""
        return self.progress.finished + self.num_pieces
