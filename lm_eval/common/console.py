"""The terminal: how wide it is, whether there is one, and printing that never fails.

A log on a full disk or a closed pipe must not end a grid.
"""

import contextlib
import os
import shutil
import sys
import textwrap
from io import TextIOWrapper
from typing import Protocol, TextIO, runtime_checkable


@runtime_checkable
class Stream(Protocol):
    """What may be shown by a terminal."""

    def isatty(self) -> bool:
        """Whether it is."""
        ...


def print_safely(text: str, stream: TextIO | None = None) -> None:
    """Print a line; ignore errors of the stream.

    Args:
        text: the line.
        stream: the stream; None takes standard error.
    """
    with contextlib.suppress(OSError, ValueError):
        print(text, file=stream or sys.stderr, flush=True)


def show_all_characters() -> None:
    """Let standard output write what its encoding lacks, such as half a character of a damaged file, escaped."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def is_terminal(stream: Stream) -> bool:
    """Whether a stream is shown by a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def fit(line: str, stream: Stream | None = None) -> str:
    """Return a line broken between words where a stream's terminal is too narrow for it; what follows is indented.

    Args:
        line: the line.
        stream: the stream; None takes standard output.
    """
    width = line_width(stream)
    if width is None or len(line) <= width:
        return line
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def line_width(stream: Stream | None = None) -> int | None:
    """Return how many characters a line of a stream may have; None for a file or a pipe, which take any.

    Args:
        stream: the stream; None takes standard output.
    """
    return shutil.get_terminal_size().columns if (stream or sys.stdout).isatty() else None
