"""Streaming texts or documents: tokenised in a thread ahead of the model, cut into windows that fit in memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Raw = TypeVar("Raw")
Tokenised = TypeVar("Tokenised")

_TOKENISED_TOGETHER = 256
"""Items in a chunk."""
_CHUNKS_AHEAD = 4
"""Chunks that are tokenised, or wait for it, while the model works: about a window of long contexts."""
_WINDOW_TOKENS = 1 << 19
"""Tokens of the items that are encoded together, sorted by length."""
_WINDOW_BYTES = 1 << 29
"""Vectors of a window that are held at once."""


def tokenised_ahead(tokenise: Callable[[list[Raw]], list[Tokenised]], items: Iterable[Raw]) -> Iterator[Tokenised]:
    """Tokenise items chunk by chunk, each while those before it are worked on."""
    items, waiting = iter(items), deque[Future[list[Tokenised]]]()
    pool = ThreadPoolExecutor(max_workers=1)
    try:
        while chunk := list(islice(items, _TOKENISED_TOGETHER)):
            waiting.append(pool.submit(tokenise, chunk))
            if len(waiting) > _CHUNKS_AHEAD:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def windows(
    items: Iterable[Tokenised], tokens_of: Callable[[Tokenised], int], bytes_of: Callable[[Tokenised], int]
) -> Iterator[list[Tokenised]]:
    """Cut items, in order, into windows whose tokens and vectors stay within the budgets."""
    window: list[Tokenised] = []
    tokens = size = 0
    for item in items:
        window.append(item)
        tokens += tokens_of(item)
        size += bytes_of(item)
        if tokens >= _WINDOW_TOKENS or size >= _WINDOW_BYTES:
            yield window
            window, tokens, size = [], 0, 0
    if window:
        yield window
