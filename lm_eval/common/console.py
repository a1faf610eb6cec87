"""Telling the user something while a grid runs: a log on a full disk or a closed pipe must not end the work."""

import contextlib
import sys
from typing import TextIO


def tell(text: str, stream: TextIO | None = None) -> None:
    """Print a line if that can be done.

    Args:
        text: the line.
        stream: where to; None takes the standard error.
    """
    with contextlib.suppress(OSError, ValueError):
        print(text, file=stream or sys.stderr, flush=True)
