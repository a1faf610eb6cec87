"""What is longer than the model takes is cut from the left; offsets count what is left (experiment §4.1).

A context that stands in one sequence with a choice is cut together with it, by `lm_eval.inference.decoder`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from lm_eval.errors import RunError
from lm_eval.models.language_model import LanguageModel
from lm_eval.vectors.spec import Samples, Segment


@dataclass
class SegmentPlacer:
    """Truncates segments to the model's length, gives each its offset in the context, and counts truncations."""

    model: LanguageModel
    add_pos: bool
    """Whether a segment gets the position at which it starts in its context (ADD_POS)."""
    front: tuple[int, ...] = ()
    """Tokens in front of each segment; it is truncated to what they leave."""
    cuts: bool = True
    """Whether to truncate; a context in one sequence with its choice is truncated with it, when it is scored."""
    num_truncated: int = field(default=0, init=False)

    def place(self, samples: Sequence[Sequence[tuple[int, ...]]], source: str) -> tuple[Samples, int]:
        """Return the segments of a context, and its length in tokens, those in front not counted.

        Raises:
            RunError: a segment without tokens, or an offset beyond the model's positions.
        """
        offset = 0
        placed: list[tuple[Segment, ...]] = []
        for sample in samples:
            row = []
            for tokens in sample:
                if not tokens:
                    raise RunError(f"{source}: a segment of the context has no tokens, so it has no vector")
                segment = self.make(tokens, offset, source)
                row.append(segment)
                offset += segment.num_kept
            placed.append(tuple(row))
        return tuple(placed), offset

    def make(self, tokens: tuple[int, ...], offset: int, source: str) -> Segment:
        """Return a segment that starts at an offset of its context.

        Raises:
            RunError: the offset is beyond the model's positions.
        """
        return Segment(self.front + self._cut(tokens), self.offset(offset, source), len(self.front))

    def _cut(self, tokens: tuple[int, ...]) -> tuple[int, ...]:
        """Keep the end of a sequence that is longer than the model takes."""
        most = self.model.max_length - len(self.front)
        if not self.cuts or len(tokens) <= most:
            return tokens
        self.num_truncated += 1
        return tokens[-most:]

    def offset(self, offset: int, source: str) -> int:
        """Return the offset whose position embedding is added to a segment's tokens; 0 adds none."""
        if not self.add_pos:
            return 0
        if offset >= self.model.max_length:
            raise RunError(
                f"{source}: ADD_POS=True: a segment starts at token {offset} of the context, but the model has "
                f"{self.model.max_length} positions; use fewer shots"
            )
        return offset
