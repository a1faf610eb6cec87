"""Tables of text that fit a width: constant columns above, then sections, then broken headers and cells.

Knows nothing of results. Drawn by rich, which counts characters as wide as they are shown.
"""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Literal

NOTHING = "-"
"""Shown for a missing number, or a setting without effect."""

_GAP = 2
_UNLIMITED = 10_000
_PART = re.compile(r"[^_\s-]*[_\s-]*")
"""What a line may be broken behind: underscores, hyphens and blanks."""
_RULED = "    \n    \n ── \n    \n    \n    \n    \n    \n"
"""A box of rich: a line below the header and nothing else."""


@dataclass(frozen=True, kw_only=True)
class Heading:
    """A column of a table."""

    name: str
    is_number: bool = False
    """Whether it is a measurement: aligned to the right, and shown even where all rows agree."""
    section: Literal["never", "early", "late"] = "never"
    """Whether rows may be put into sections by it if the table is too wide: before cells are broken, or after."""


@dataclass(frozen=True)
class TextTable:
    """Cells under headings."""

    headings: Sequence[Heading]
    rows: Sequence[Sequence[str]]

    def draw(self, width: int | None = None) -> str:
        """Return the table as text.

        Args:
            width: characters a line may have; None takes as many as are needed, a row a line.
        """
        return "\n".join(self.lines(width or _UNLIMITED))

    def lines(self, width: int) -> list[str]:
        """Return its lines, none longer than a width where that is possible."""
        constants, table = self.without_constants(loosely=False)
        loose, narrower = table.without_constants(loosely=True)
        by = narrower.section_by(width)
        if by is None:
            return _fill([*constants, *loose], width) + narrower.grid(width)
        lines, index = _fill(constants, width), table.headings.index(narrower.headings[by])
        for value in dict.fromkeys(row[index] for row in table.rows):
            section = TextTable(table.headings, [row for row in table.rows if row[index] == value])
            lines += [*([""] if lines else []), *section.lines(width)]
        return lines

    def section_by(self, width: int) -> int | None:
        """Return the column whose values make sections of the rows; None where the table fits, or none would help."""
        if self._fits(width, lines=1):
            return None
        by = [index for index, heading in enumerate(self.headings) if heading.section == "early"]
        if not self._fits(width, lines=2):
            by += [index for index, heading in enumerate(self.headings) if heading.section == "late"]
        return next((index for index in by if 2 * len({row[index] for row in self.rows}) <= len(self.rows)), None)

    def _fits(self, width: int, lines: int) -> bool:
        """Whether the table is no wider than that, with headers broken, and cells into so many lines."""
        widths = self._widths(width)
        cells = (_break(cell, widths[index]) for row in self.rows for index, cell in enumerate(row))
        return sum(widths) + _GAP * (len(widths) - 1) <= width and all(cell.count("\n") < lines for cell in cells)

    def without_constants(self, *, loosely: bool) -> tuple[list[str], "TextTable"]:
        """Return `name=value` of the columns that say the same in all rows, and the table of the others.

        A column that says nothing in any row is left out.

        Args:
            loosely: whether a column is taken too that says one thing or nothing.
        """
        constants, kept = [], []
        for index, heading in enumerate(self.headings):
            values = {row[index] for row in self.rows}
            stated = values - {NOTHING}
            if len(stated) == 1 and not heading.is_number and (loosely or len(values) == 1):
                constants.append(f"{heading.name}={stated.pop()}" + (f" or {NOTHING}" if NOTHING in values else ""))
            elif stated:
                kept.append(index)
        return constants, TextTable([self.headings[i] for i in kept], [[row[i] for i in kept] for row in self.rows])

    def _narrowest(self, header_lines: int) -> list[int]:
        """Return the width of each column with its header broken into so many lines and its cells whole."""
        return [
            max(_narrowest_of(heading.name, header_lines), *(len(row[index]) for row in self.rows))
            for index, heading in enumerate(self.headings)
        ]

    def _widths(self, width: int) -> list[int]:
        """Return the width of each column: headers are broken as little as will do, then texts, the widest first."""
        room = width - _GAP * (len(self.headings) - 1)
        most = max((len(_parts(heading.name)) for heading in self.headings), default=1)
        choices = (self._narrowest(lines) for lines in range(1, most + 1))
        widths = next((widths for widths in choices if sum(widths) <= room), None) or self._narrowest(most)
        texts = [index for index, heading in enumerate(self.headings) if not heading.is_number]
        for index in sorted(texts, key=widths.__getitem__, reverse=True):
            if sum(widths) > room:
                parts = max(_longest_part(row[index]) for row in self.rows)
                widths[index] = max(parts, _longest_part(self.headings[index].name), widths[index] - sum(widths) + room)
        return widths

    def grid(self, width: int) -> list[str]:
        """Draw the header and a row for each of the table's."""
        if not self.headings:
            return []
        from rich.box import Box  # noqa: PLC0415  (most calls draw no table)
        from rich.console import Console  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table(box=Box(_RULED), show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        widths = self._widths(width)
        for heading, column in zip(self.headings, widths, strict=True):
            name = Text(_break(heading.name, column))
            table.add_column(
                name, justify="right" if heading.is_number else "left", no_wrap=True, min_width=column, vertical="top"
            )
        for row in self.rows:
            table.add_row(*(Text(_break(cell, column)) for cell, column in zip(row, widths, strict=True)))
        stream = StringIO()
        Console(file=stream, width=_UNLIMITED, color_system=None).print(table)
        return [line.rstrip() for line in stream.getvalue().splitlines()]


def _fill(texts: Sequence[str], width: int) -> list[str]:
    return textwrap.wrap(", ".join(texts), width, break_on_hyphens=False, break_long_words=False)


def _parts(text: str) -> list[str]:
    return [part for part in _PART.findall(text) if part] or [text]


def _longest_part(text: str) -> int:
    return max(len(part.rstrip()) for part in _parts(text))


def _narrowest_of(text: str, lines: int) -> int:
    """Return the least width at which a text is broken into no more lines than that."""
    widths = range(_longest_part(text), len(text) + 1)
    return next(width for width in widths if _break(text, width).count("\n") < lines)


def _break(text: str, width: int) -> str:
    """Break a text behind underscores, hyphens and blanks, into lines no wider than that where possible."""
    lines = [""]
    for part in _parts(text):
        if lines[-1] and len(lines[-1] + part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)
