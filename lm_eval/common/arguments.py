"""Command lines: a parser whose help and messages read well, and flags that several commands share."""

import argparse
import re
import shutil
import sys
import textwrap
from pathlib import Path
from typing import NoReturn

from lm_eval.common.text import did_you_mean

_WIDEST = 100


def page_width() -> int:
    """Return how wide a help page is: as the terminal, 80 characters where there is none, never very wide."""
    return min(_WIDEST, shutil.get_terminal_size().columns)


def wrap_line(line: str, width: int) -> str:
    """Wrap a line; what follows stands below its text, behind the first gap of two blanks where it has one."""
    begins = re.match(r"\s*(\S+(?: \S+)* {2,})?", line)
    indent = " " * (begins.end() if begins else 0)
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def joined(text: str) -> list[str]:
    """Return the lines of a text as they would be without a limit to their length.

    A line goes on with what the one before it begins where both are sentences (no blanks in front, no gap of two
    blanks), or where it is indented deeper than a line with such a gap. Lines shorter than half a page stand alone.
    """
    lines: list[str] = []
    for line in text.splitlines():
        before = lines[-1] if lines else ""
        if _goes_on(before, line):
            lines[-1] = f"{before} {line.strip()}"
        else:
            lines.append(line)
    return lines


def _goes_on(before: str, line: str) -> bool:
    if not line.strip() or len(before) < _WIDEST // 2:
        return False
    gap = re.match(r" *\S+(?: \S+)* {2,}", before)
    if gap is None:
        return not line.startswith(" ") and not before.startswith(" ") and "  " not in line
    return line.startswith(" " * gap.end())


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps line breaks, and wraps flags at the terminal's width: 80 where there is none."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=page_width() - 1)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Wrap sentences as paragraphs, and lines of a list each below the place where its text begins."""
        return "\n".join(indent + wrap_line(line, width) for line in joined(text))


class Parser(argparse.ArgumentParser):
    """Accepts no abbreviated flags, and names the nearest one to a flag that there isn't."""

    def error(self, message: str) -> NoReturn:
        """Print the message, with what may have been meant, and exit with status 2."""
        flags = [text for action in self._actions for text in action.option_strings if text.startswith("--")]
        unknown = re.search(r"unrecognized arguments: (.*)", message)
        is_missing = "arguments are required" in message  # perhaps for a misspelt flag
        words = unknown[1].split() if unknown is not None else sys.argv[1:] if is_missing else []
        for word in (word.partition("=")[0] for word in words):
            if word.startswith("--") and word not in flags and (near := did_you_mean(word, {f: f for f in flags})):
                message = f"unknown flag {word}{near}"
                break
        self.exit(2, f"error: {message}\n{self.prog} --help lists all flags\n")


def make_parser(description: str, epilog: str, prog: str | None = None) -> argparse.ArgumentParser:
    """Return a parser that keeps line breaks in its help and accepts no abbreviated flags."""
    return Parser(prog=prog, description=description, epilog=epilog, formatter_class=_Formatter, allow_abbrev=False)


def program() -> str:
    """Return how the command of one run was called: `lm_eval` or `python -m lm_eval`."""
    return "lm_eval" if Path(sys.argv[0]).stem == "lm_eval" else "python -m lm_eval"


def add_model_args(parser: argparse.ArgumentParser) -> None:
    """Add the flag for a model and the settings of its vectors."""
    parser.add_argument(
        "--model_args", required=True, metavar="KEY=VALUE,…", help="the model and the settings of its vectors"
    )


def add_batch_size(parser: argparse.ArgumentParser) -> None:
    """Add the flag for the rows of a batch."""
    parser.add_argument("--batch_size", metavar="N", help="rows a batch (default: a budget of tokens)")


def add_seed(parser: argparse.ArgumentParser) -> None:
    """Add the flag for the order of documents and shots."""
    parser.add_argument(
        "--seed",
        type=int,
        default=42,
        metavar="N",
        help="decides the order of the documents and their shots (default 42)",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the flag for where a model computes."""
    parser.add_argument("--device", help="cpu, cuda, cuda:1, … (default: a GPU where there is one)")
