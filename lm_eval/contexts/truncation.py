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
    """Cuts segments to the model's length and lays those of a context end to end; counts what it cuts."""

    model: LanguageModel
    add_pos: bool
    """Whether a segment gets the position at which it starts in its context (ADD_POS)."""
    cuts: bool = True
    """Whether segments are cut here; what stands in one sequence with a choice is cut with it, where it is scored."""
    num_truncated: int = field(default=0, init=False)

    def place(self, samples: Sequence[Sequence[tuple[int, ...]]], source: str) -> tuple[Samples, int]:
        """Return the segments of a context, and where the context ends, in tokens.

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
        """Keep the end of what is longer than the model takes."""
        if not self.cuts or len(tokens) <= self.model.max_length:
            return tokens
        self.num_truncated += 1
        return tokens[-self.model.max_length :]

    def offset(self, offset: int, source: str) -> int:
        """Return the position that the tokens of a segment get beside their own."""
        if not self.add_pos:
            return 0
        if offset >= self.model.max_length:
            raise RunError(
                f"{source}: ADD_POS=True: a segment starts at token {offset} of the context, but the model has "
                f"{self.model.max_length} positions; use fewer shots"
            )
        return offset
