"""Batches of sequences of like length within a budget; halved where the memory is short after all.

Knows nothing of models: how large a model's batch may be is chosen by `lm_eval.inference.memory.choose_budget`.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TypeVar

import torch

from lm_eval.errors import MemoryShortageError

logger = logging.getLogger(__name__)

Launched = TypeVar("Launched")
Result = TypeVar("Result")

_NO_LIMIT = 1 << 60


@dataclass(frozen=True, kw_only=True)
class BatchBudget:
    """What one forward pass may hold; a single row always makes a batch, however long."""

    max_tokens: int = _NO_LIMIT
    """Padded tokens: rows times the longest row."""
    max_attention: int = _NO_LIMIT
    """Rows times the square of the longest row: entries of the matrices that attention keeps, for each head."""
    max_rows: int | None = None
    """Rows; None sets no limit."""

    def admits(self, rows: int, longest: int) -> bool:
        """Whether a batch of so many rows of at most `longest` tokens fits."""
        fits = rows * longest <= self.max_tokens and rows * longest**2 <= self.max_attention
        return rows == 1 or (fits and (self.max_rows is None or rows <= self.max_rows))

    def without(self, rows: int, longest: int) -> "BatchBudget":
        """Return a budget that admits half of a batch that was too large, and never the whole of one like it."""
        return replace(self, max_tokens=min(self.max_tokens, (rows + 1) // 2 * longest))


@dataclass
class BatchSizes:
    """What the batches of a run held; recorded in its result."""

    num_batches: int = 0
    most_rows: int = 0
    most_tokens: int = 0
    """Padded."""
    num_tokens: int = 0
    """In all, padding not counted."""
    num_halved: int = 0
    """Batches that ran out of memory."""

    def count(self, lengths: Sequence[int]) -> None:
        """Count a finished batch of rows of these lengths."""
        self.num_batches += 1
        self.num_tokens += sum(lengths)
        self.most_rows = max(self.most_rows, len(lengths))
        self.most_tokens = max(self.most_tokens, len(lengths) * max(1, *lengths))


def _try(launch: Callable[[list[int]], Launched], batch: list[int]) -> tuple[Launched] | None:
    """Start a batch; return None where memory is short, when the error no longer holds what the pass has taken."""
    try:
        return (launch(batch),)
    except torch.OutOfMemoryError:
        return None


@dataclass
class Batcher:
    """Cuts work into batches; once a batch has run out of memory, later ones are no larger than what fitted."""

    budget: BatchBudget
    sizes: BatchSizes = field(default_factory=BatchSizes)

    def run(
        self,
        lengths: Sequence[int],
        launch: Callable[[list[int]], Launched],
        collect: Callable[[Launched], Result],
    ) -> Iterator[tuple[list[int], Result]]:
        """Run sequences in batches, longest first, and yield each batch's indices and result.

        Longest first, so that a lack of memory shows at once and the progress bar errs on the safe side. A batch is
        launched before the last one's result is collected, so that a GPU never waits for the host.

        Args:
            lengths: the lengths of the sequences.
            launch: starts the computation of the batch of the given indices.
            collect: waits for its end and returns its result.

        Raises:
            MemoryShortageError: a single sequence is too much for the memory.
        """
        waiting: tuple[list[int], Launched] | None = None
        order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
        start = 0
        while start < len(order):
            longest = max(1, lengths[order[start]])
            batch = self._cut(order, start, longest)
            launched = _try(launch, batch)
            if launched is None:
                self._shrink(len(batch), longest)
                continue
            start += len(batch)
            self.sizes.count([lengths[index] for index in batch])
            if waiting is not None:
                yield waiting[0], collect(waiting[1])
            waiting = batch, launched[0]
        if waiting is not None:
            yield waiting[0], collect(waiting[1])

    def _cut(self, order: Sequence[int], start: int, longest: int) -> list[int]:
        end = start + 1
        while end < len(order) and self.budget.admits(end + 1 - start, longest):
            end += 1
        return list(order[start:end])

    def _shrink(self, rows: int, longest: int) -> None:
        """Halve the budget after a lack of memory.

        Raises:
            MemoryShortageError: a single row was too much.
        """
        if rows == 1:
            raise MemoryShortageError(
                f"a single row of {longest} tokens is more than the device's memory holds beside the model; "
                "use fewer shots, a smaller dtype or more GPUs"
            )
        logger.warning("out of memory with %d rows of up to %d tokens: halved", rows, longest)
        self.sizes.num_halved += 1
        self.budget = self.budget.without(rows, longest)
        torch.cuda.empty_cache()

    def record(self) -> dict[str, int | None]:
        """Return the budget's limits and the sizes used, for the result file."""
        limits = {key: None if value == _NO_LIMIT else value for key, value in asdict(self.budget).items()}
        return {**limits, **asdict(self.sizes)}
