"""The help page of a grid script: every flag with its value, its default and its line, as wide as the terminal."""

import inspect
import textwrap
from collections.abc import Sequence

from lm_eval.common.arguments import page_width
from lm_eval.grid.flags import Flag

_INDENT = 26
"""Where the help of a flag begins."""
_ABOUT_FLAGS = (
    "The lists of the grid stand at the top of the script. A switch takes no value. Underscores in flags may be "
    "written as dashes."
)

_ABOUT_LISTS = (
    "Their values are separated by commas, as in --num_fewshot 0,5 --ENCODING_LAYER 0,middle,-1 --NORM None,L2. "
    "Layers may also be all, or 'every N': those of each model."
)


def help_page(name: str, description: str, flags: Sequence[Flag], lists: Sequence[str] = ()) -> str:
    """Return the help page of a grid script.

    Args:
        name: the script's name.
        description: what it does.
        flags: its flags.
        lists: the lists of the grid that have a flag each.
    """
    width = page_width() - 1
    paragraphs = inspect.cleandoc(description).split("\n\n")
    lines = [f"usage: {name} [FLAG …]", ""]
    lines += [line for paragraph in paragraphs for line in [*textwrap.wrap(paragraph, width), ""]]
    lines += [*textwrap.wrap(_ABOUT_FLAGS, width), "", "flags:"]
    for flag in flags:
        lines += _entry(flag, width)
    if lists:
        lines += ["", "lists of the grid, each in place of the script's:"]
        lines += textwrap.wrap(
            " ".join(f"--{one}" for one in lists), width, initial_indent="  ", subsequent_indent="  "
        )
        lines += ["", *textwrap.wrap(_ABOUT_LISTS, width)]
    status = "exit status: 0 all is done, 1 a run failed, 2 the call was wrong and nothing ran, 130 interrupted"
    return "\n".join([*lines, "", *textwrap.wrap(status, width)])


def _entry(flag: Flag, width: int) -> list[str]:
    short = f"-{flag.short}, " if flag.short else "    "
    head = f"  {short}--{flag.name} {flag.form}".rstrip()
    default = "" if flag.default in (None, False) else f" (default: {flag.default})"
    text = textwrap.wrap(f"{flag.help}{default}", width - _INDENT)
    if len(head) < _INDENT - 1:
        return [f"{head:{_INDENT}}{text[0]}", *(" " * _INDENT + line for line in text[1:])]
    return [head, *(" " * _INDENT + line for line in text)]
