"""`--limit`: a slice of the shuffled documents (experiment §2)."""

import functools
import re
from dataclasses import dataclass

from lm_eval.errors import ConfigurationError


@dataclass(frozen=True)
class Limit:
    """A slice of the shuffled documents (experiment §2)."""

    start: int = 0
    end: int | None = None

    @classmethod
    def parse(cls, value: "str | int | Limit | None") -> "Limit":
        """Read an integer N (the first N) or `START:END`.

        Raises:
            ConfigurationError: neither of the two forms, or a slice that is always empty.
        """
        if isinstance(value, Limit):
            return value
        limit = None if isinstance(value, bool) else _read("None" if value is None else str(value))
        if limit is None:
            raise ConfigurationError(f"limit must be an integer N or START:END, both non-negative, got {value!r}")
        if limit.end is not None and limit.end <= limit.start:
            raise ConfigurationError(f"limit {value!r} selects no document; START must be below END")
        return limit

    def __str__(self) -> str:
        if self.start == 0:
            return "None" if self.end is None else str(self.end)
        return f"{self.start}:{'' if self.end is None else self.end}"


@functools.lru_cache(maxsize=1024)
def _read(text: str) -> Limit | None:
    """Return the limit of a text; None where it has neither of the two forms."""
    if text == "None":
        return Limit()
    match = re.fullmatch(r"\s*(?:(\d{1,18})|(\d{0,18}):(\d{0,18}))\s*", text)
    if match is None:
        return None
    first, start, end = match.groups()
    return Limit(0, int(first)) if first is not None else Limit(int(start or 0), int(end) if end else None)
