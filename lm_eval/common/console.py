"""Printing that never fails: a log on a full disk or a closed pipe must not end a grid."""

import contextlib
import sys
from typing import TextIO


def print_safely(text: str, stream: TextIO | None = None) -> None:
    """Print a line; ignore errors of the stream.

    Args:
        text: the line.
        stream: the stream; None takes standard error.
    """
    with contextlib.suppress(OSError, ValueError):
        print(text, file=stream or sys.stderr, flush=True)
