"""Batches of sequences of like length, within a budget of padded tokens; halved where the memory is short after all."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

MAX_TOKENS = 16_384
"""Padded tokens that a GPU gets at once: enough to keep it busy, and to hide what starting a forward pass costs."""
MAX_TOKENS_CPU = 1024
"""The same for a CPU, whose caches a larger batch outgrows (benchmarks/README.md)."""


@dataclass(frozen=True, kw_only=True)
class BatchBudget:
    """What one forward pass may hold."""

    max_tokens: int = MAX_TOKENS
    """Padded tokens: rows times the longest row. A single longer row still makes a batch of its own."""
    max_rows: int | None = None
    """Rows; None sets no limit."""

    @classmethod
    def choose(cls, batch_size: int | None, device_type: str) -> "BatchBudget":
        """Return the budget that suits a device; a number of rows, where one is given, replaces it."""
        if batch_size is not None:
            return cls(max_tokens=1 << 60, max_rows=batch_size)
        return cls(max_tokens=MAX_TOKENS_CPU if device_type == "cpu" else MAX_TOKENS)

    def admits(self, rows: int, longest: int) -> bool:
        """Whether a batch of so many rows of at most `longest` tokens fits."""
        return rows == 1 or (rows * longest <= self.max_tokens and (self.max_rows is None or rows <= self.max_rows))


def make_batches(lengths: Sequence[int], budget: BatchBudget) -> list[list[int]]:
    """Return the indices of the sequences, longest first, cut into batches.

    Longest first, so that a lack of memory shows at once and the progress bar errs on the safe side.
    """
    batches: list[list[int]] = []
    longest = 0
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batches and budget.admits(len(batches[-1]) + 1, longest):
            batches[-1].append(index)
        else:
            batches.append([index])
            longest = max(1, lengths[index])
    return batches


def run_batches(
    lengths: Sequence[int], budget: BatchBudget, run: Callable[[list[int]], Result]
) -> Iterator[tuple[list[int], Result]]:
    """Run every batch and yield its indices and result; one that runs out of memory is halved, and only it repeated.

    Args:
        lengths: the lengths of the sequences.
        budget: what a batch may hold.
        run: computes the batch of the given indices.

    Raises:
        torch.OutOfMemoryError: a single sequence is too much.
    """
    waiting = make_batches(lengths, budget)[::-1]
    while waiting:
        batch = waiting.pop()
        try:
            result = run(batch)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            logger.warning("out of memory with %d rows of up to %d tokens: halved", len(batch), lengths[batch[0]])
            torch.cuda.empty_cache()
            middle = len(batch) // 2
            waiting += [batch[middle:], batch[:middle]]
            continue
        yield batch, result
