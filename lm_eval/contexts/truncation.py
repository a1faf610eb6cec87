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
    cuts: bool = True
    """Whether to truncate; a context in one sequence with its choice is truncated with it, when it is scored."""
    num_truncated: int = field(default=0, init=False)

    def place(self, samples: Sequence[Sequence[tuple[int, ...]]], source: str) -> tuple[Samples, int]:
        """Return the segments of a context, and its length in tokens.

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
                kept = self.cut(tokens)
                row.append(Segment(kept, self.offset(offset, source)))
                offset += len(kept)
            placed.append(tuple(row))
        return tuple(placed), offset

    def cut(self, tokens: tuple[int, ...]) -> tuple[int, ...]:
        """Keep the end of a sequence that is longer than the model takes."""
        if not self.cuts or len(tokens) <= self.model.max_length:
            return tokens
        self.num_truncated += 1
        return tokens[-self.model.max_length :]

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
