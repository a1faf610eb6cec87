"""The progress bar of one run: documents, documents a second, time left."""

from collections.abc import Callable
from types import TracebackType

from tqdm import tqdm

_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {n:.0f}/{total}{unit} [{elapsed}<{remaining}, {rate_fmt}]"


class DocumentProgress:
    """A progress bar of documents; within a window it advances in fractions, by tokens."""

    def __init__(self, num_documents: int, description: str, *, unit: str = "documents", shown: bool = True) -> None:
        self._bar = tqdm(
            total=num_documents,
            desc=description,
            unit=f" {unit}",
            bar_format=_FORMAT,
            disable=not shown,
            dynamic_ncols=True,
        )
        self._finished = 0

    def __enter__(self) -> "DocumentProgress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def start_window(self, num_documents: int, num_tokens: int) -> Callable[[int], None]:
        """Start a window; return the function to call with the number of tokens of each finished batch."""
        done = 0

        def advance(tokens: int) -> None:
            nonlocal done
            done = min(num_tokens, done + tokens)
            target = self._finished + num_documents * done / max(1, num_tokens)
            self._bar.update(target - self._bar.n)

        return advance

    def finish_window(self, num_documents: int) -> None:
        """Count the documents of a window as done."""
        self._finished += num_documents
        self._bar.update(self._finished - self._bar.n)
