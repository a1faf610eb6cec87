"""One run after another, by its model, in this process: a long one goes on behind what its results folder holds of it.

What is done is kept as pieces (`results.pieces`), a file for about every minute; a run of one block leaves none.
"""

import contextlib
import os
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lm_eval.common.progress import DocumentProgress
from lm_eval.config.runtime import Execution
from lm_eval.models.language_model import LanguageModel
from lm_eval.results.identity import Run
from lm_eval.results.pieces import Part, PassFolder, PieceFile, read_piece, write_piece
from lm_eval.results.provenance import code_digest
from lm_eval.scoring.assembly import assemble, fitting, gaps, join
from lm_eval.scoring.blocks import Block, blocks_of
from lm_eval.scoring.evaluation import make_part, make_result
from lm_eval.scoring.metrics import DocumentScores
from lm_eval.scoring.run_pass import evaluate_many, read_now

KEPT_EVERY_S = 60.0
"""Time after which what is done is written."""


@dataclass(kw_only=True)
class Evaluator:
    """Evaluates runs of one model."""

    model: LanguageModel
    execution: Execution
    parameters: float | None
    """Of the model, as the plan of a grid counts them."""
    results: Path | None = None
    """The results folder, where long runs are to be gone on with."""
    show_progress: bool = False
    num_kept: int = 0
    """Documents whose scores are wanted, at least."""
    _pieces: "_Pieces | None" = field(default=None, init=False)

    def evaluate(self, run: Run) -> tuple[dict[str, Any], list[DocumentScores]]:
        """Return the content of a run's result file, and the scores of its first documents.

        Raises:
            ConfigurationError: the configuration does not fit the model or the data.
            RunError: a document cannot be scored.
        """
        (run,), documents = read_now([run], self.model)
        on_gpu = self.model.device.type == "cuda"
        blocks = [(0, len(documents))]
        if self.model.care is None:  # a network that the caller has loaded is nobody else's
            blocks = blocks_of([run], documents, self.parameters, on_gpu=on_gpu)
        with DocumentProgress(len(documents), run.task.name, shown=self.show_progress) as progress:
            if self.results is None or len(blocks) == 1:
                return self._in_one(run, blocks, progress)
            pieces = self._pieces = _Pieces(run, PassFolder.of(self.results, run.pass_name))
            with pieces.written():
                self._go_on(pieces, blocks, progress)
        keeps = self.execution.log_samples
        result = assemble(run, pieces.parts, log_samples=keeps, num_resumed=pieces.num_resumed)
        return result, join(pieces.parts, documents)

    def forget(self) -> None:
        """Remove the pieces of the run that was evaluated last, now that its result is written."""
        if self._pieces is not None:
            self._pieces.remove()
            self._pieces = None

    def _in_one(
        self, run: Run, blocks: Sequence[Block], progress: DocumentProgress
    ) -> tuple[dict[str, Any], list[DocumentScores]]:
        kept = None if self.execution.log_samples else self.num_kept
        (evaluation,) = evaluate_many(
            [run], self.model, self.execution, keep_documents=kept, blocks=blocks, progress=progress
        )
        return make_result(evaluation, self.model, self.execution), evaluation.documents

    def _go_on(self, pieces: "_Pieces", blocks: Sequence[Block], progress: DocumentProgress) -> None:
        """Score what no piece holds yet, in pieces of about `KEPT_EVERY_S`."""
        missing = gaps([(part.start, part.end) for part in pieces.parts], blocks[-1][1])
        left = [block for block in blocks if any(block[0] < end and start < block[1] for start, end in missing)]
        progress.skip(blocks[-1][1] - sum(end - start for start, end in left))
        seconds_a_block = KEPT_EVERY_S
        while left:
            piece = _in_a_row(left, max(1, int(KEPT_EVERY_S / max(seconds_a_block, 1e-3))))
            began = time.monotonic()
            (evaluation,) = evaluate_many([pieces.run], self.model, self.execution, blocks=piece, progress=progress)
            span = piece[0][0], piece[-1][1]
            pieces.add(make_part(evaluation, self.model, self.execution, span))
            seconds_a_block = (time.monotonic() - began) / len(piece)
            left = left[len(piece) :]


def _in_a_row(blocks: Sequence[Block], most: int) -> list[Block]:
    """Return the first blocks, as far as each begins where the one before it ends."""
    piece = [blocks[0]]
    for block in blocks[1:most]:
        if block[0] != piece[-1][1]:
            break
        piece.append(block)
    return piece


def _names(file: PieceFile) -> set[str]:
    with contextlib.suppress(OSError):
        return set(read_piece(file))
    return set()


@dataclass
class _Pieces:
    """What is done of a run: read from its folder at first, written there from time to time."""

    run: Run
    folder: PassFolder
    parts: list[Part] = field(default_factory=list)
    num_resumed: int = 0
    _waiting: list[Part] = field(default_factory=list)
    _written: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        found = []
        for file in self.folder.files():
            if file.code == code_digest():
                with contextlib.suppress(OSError):
                    found += [part for name, part in read_piece(file).items() if name == self.run.name]
        self.parts = fitting(found, self.run)
        self.num_resumed = len({place for part in self.parts for place in range(part.start, part.end)})

    def add(self, part: Part) -> None:
        self.parts.append(part)
        self._waiting.append(part)
        if time.monotonic() - self._written >= KEPT_EVERY_S:
            self._write()

    @contextlib.contextmanager
    def written(self) -> Iterator[None]:
        """Write what is done if the `with` block ends early."""
        try:
            yield
        except BaseException:
            self._write()
            raise

    def remove(self) -> None:
        """Remove the files that hold nothing but this run."""
        files = [file for file in self.folder.files() if file.code == code_digest()]
        self.folder.remove([file for file in files if _names(file) == {self.run.name}])

    def _write(self) -> None:
        """Write what waits; on a full disk it is still there when the run ends."""
        with contextlib.suppress(OSError):
            while self._waiting:
                part = self._waiting[0]
                file = self.folder.file(code_digest(), (part.start, part.end), f"{platform.node()}-{os.getpid()}")
                write_piece(file, {self.run.name: part})
                self._waiting.pop(0)
        self._written = time.monotonic()
