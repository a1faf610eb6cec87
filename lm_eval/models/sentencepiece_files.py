"""What a sentencepiece file says of its tokens. Knows nothing of torch and transformers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Pieces:
    """The tokens of a sentencepiece file."""

    path: Path

    @cached_property
    def _processor(self) -> Any:  # noqa: ANN401
        import sentencepiece  # noqa: PLC0415  (few models have no tokenizer.json)

        return sentencepiece.SentencePieceProcessor(model_file=str(self.path))

    def of(self, text: str) -> list[str]:
        """Return the tokens of a text."""
        pieces: list[str] = self._processor.encode(text, out_type=str)
        return pieces

    def knows(self, pieces: Sequence[str]) -> bool:
        """Whether the vocabulary has all of some tokens."""
        return all(self._processor.piece_to_id(piece) != self._processor.unk_id() for piece in pieces)

    @property
    def begin(self) -> str | None:
        """The beginning-of-text token."""
        return self._control(self._processor.bos_id())

    @property
    def end(self) -> str | None:
        """The end-of-text token."""
        return self._control(self._processor.eos_id())

    def _control(self, number: int) -> str | None:
        return None if number < 0 else str(self._processor.id_to_piece(number))
