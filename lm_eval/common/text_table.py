"""Tables of text that fit a width: constant columns above, then sections, then broken headers and cells.

Knows nothing of results. Characters count as wide as they are shown; what isn't shown at all stands there escaped.
"""

import re
import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

NOTHING = "-"
"""Shown for a missing number, or a setting without effect."""

_GAP = 2
_UNLIMITED = 10_000
_MOST_LINES = 3
"""Lines of a cell up to which a table without sections is drawn as one."""
_INDENT = " " * 4
_PART = re.compile(r"[^_\s-]*[_\s-]*")
"""What a line may be broken behind: underscores, hyphens and blanks."""
_RULE = "─"


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

    def draw(self, width: int | None = None, *, in_one: bool = False) -> str:
        """Return the table as text.

        Args:
            width: characters a line may have; None takes as many as are needed, a row a line.
            in_one: whether all rows stand under one another in their order, without sections.
        """
        table = self._escaped()
        return "\n".join((table.lines_in_one if in_one else table.lines)(width or _UNLIMITED))

    def _escaped(self) -> "TextTable":
        """Return the table with line breaks, control characters and the like written as Python writes them."""
        odd = {text: _escape(text) for values in self._values for text in values if not text.isprintable()}
        if not odd:
            return self
        return TextTable(self.headings, [[odd.get(text, text) for text in row] for row in self.rows])

    @cached_property
    def _values(self) -> list[set[str]]:
        """The different values of each column."""
        return [set(column) for column in zip(*self.rows, strict=True)] or [set() for _ in self.headings]

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

    def lines_in_one(self, width: int) -> list[str]:
        """Return its lines without sections; where it is too wide, each row's texts stand below its numbers."""
        constants, table = self.without_constants(loosely=True)
        above = _fill(constants, width)
        numbers = [index for index, heading in enumerate(table.headings) if heading.is_number]
        if table.fits(width, lines=_MOST_LINES) or not numbers:
            return above + table.grid(width)
        narrow = TextTable([table.headings[i] for i in numbers], [[row[i] for i in numbers] for row in table.rows])
        drawn = narrow.grid(width)
        header, scores = drawn[: len(drawn) - len(table.rows)], drawn[len(drawn) - len(table.rows) :]
        lines = [*above, *header]
        for line, row in zip(scores, table.rows, strict=True):
            cells = zip(table.headings, row, strict=True)
            stated = [f"{one.name}={cell}" for one, cell in cells if not one.is_number and cell != NOTHING]
            lines += [line, *(_INDENT + text for text in _fill(stated, width - len(_INDENT)))]
        return lines

    def section_by(self, width: int) -> int | None:
        """Return the column whose values make sections of the rows; None where the table fits, or none would help."""
        if self.fits(width, lines=1):
            return None
        by = [index for index, heading in enumerate(self.headings) if heading.section == "early"]
        if not self.fits(width, lines=2):
            by += [index for index, heading in enumerate(self.headings) if heading.section == "late"]
        return next((index for index in by if 2 * len(self._values[index]) <= len(self.rows)), None)

    def fits(self, width: int, lines: int) -> bool:
        """Whether the table is no wider than that, with headers broken, and cells into so many lines."""
        widths = self._widths(width)
        cells = (_break(cell, column) for values, column in zip(self._values, widths, strict=True) for cell in values)
        return sum(widths) + _GAP * (len(widths) - 1) <= width and all(cell.count("\n") < lines for cell in cells)

    def without_constants(self, *, loosely: bool) -> tuple[list[str], "TextTable"]:
        """Return `name=value` of the columns that say the same in all rows, and the table of the others.

        A column that says nothing in any row is left out.

        Args:
            loosely: whether a column is taken too that says one thing or nothing.
        """
        constants, kept = [], []
        for index, heading in enumerate(self.headings):
            values = self._values[index]
            stated = values - {NOTHING}
            if len(stated) == 1 and not heading.is_number and (loosely or len(values) == 1):
                constants.append(f"{heading.name}={stated.pop()}" + (f" or {NOTHING}" if NOTHING in values else ""))
            elif stated:
                kept.append(index)
        return constants, TextTable([self.headings[i] for i in kept], [[row[i] for i in kept] for row in self.rows])

    def _narrowest(self, header_lines: int) -> list[int]:
        """Return the width of each column with its header broken into so many lines and its cells whole."""
        return [
            max(_narrowest_of(heading.name, header_lines), *map(len, self._values[index]))
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
                parts = max(map(_longest_part, self._values[index]))
                widths[index] = max(parts, _longest_part(self.headings[index].name), widths[index] - sum(widths) + room)
        return widths

    def grid(self, width: int) -> list[str]:
        """Draw the header and a row for each of the table's."""
        if not self.headings:
            return []
        columns = [
            _Column.of(heading, values, column)
            for heading, values, column in zip(self.headings, self._values, self._widths(width), strict=True)
        ]
        rule = _RULE * (sum(column.width for column in columns) + _GAP * (len(columns) - 1))
        header = _beside(columns, [heading.name for heading in self.headings], at_the_bottom=True)
        return [*header, rule, *(line for row in self.rows for line in _beside(columns, row))]


@dataclass(frozen=True, kw_only=True)
class _Column:
    """A column's different cells, drawn."""

    width: int
    lines: Mapping[str, list[str]]
    """The lines of each cell and of the header, filled up with blanks, by the text."""

    @classmethod
    def of(cls, heading: Heading, values: Collection[str], width: int) -> "_Column":
        """Draw the cells of a column that is to be that wide, or wider where a part of a text is."""
        from rich.cells import cell_len  # noqa: PLC0415  (most calls draw no table)

        broken = {text: _break(text, width).split("\n") for text in {heading.name, *values}}
        widths = {line: cell_len(line) for lines in broken.values() for line in lines}
        widest = max(width, *widths.values())
        filled = {
            line: " " * (widest - own) + line if heading.is_number else line + " " * (widest - own)
            for line, own in widths.items()
        }
        return cls(width=widest, lines={text: [filled[line] for line in lines] for text, lines in broken.items()})


def _beside(columns: Sequence[_Column], row: Sequence[str], *, at_the_bottom: bool = False) -> list[str]:
    """Return the lines of a row, whose cells stand at the top or at the bottom."""
    cells = [column.lines[text] for column, text in zip(columns, row, strict=True)]
    number = max(map(len, cells))
    if number > 1:
        blanks = [[" " * column.width] * (number - len(lines)) for column, lines in zip(columns, cells, strict=True)]
        pairs = zip(blanks, cells, strict=True) if at_the_bottom else zip(cells, blanks, strict=True)
        cells = [[*first, *second] for first, second in pairs]
    return [(" " * _GAP).join(line).rstrip() for line in zip(*cells, strict=True)]


def _escape(text: str) -> str:
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


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
    if len(text) <= width:
        return text.rstrip()
    lines = [""]
    for part in _parts(text):
        if lines[-1] and len(lines[-1] + part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)
