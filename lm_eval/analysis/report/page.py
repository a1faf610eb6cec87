"""The page of a report, `report.html`: it needs nothing beside it, and no network."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from lm_eval.analysis.figures.score_toggle import CHANCE_CORRECTED, NORMALISED
from lm_eval.analysis.report.assets import render
from lm_eval.analysis.report.content import Report
from lm_eval.analysis.report.drawings import make_drawings
from lm_eval.analysis.report.pictures import take_pictures
from lm_eval.analysis.report.tables import readable, slug

_MOST_SHOWN = 300
"""Rows of a table on the page."""
_SWITCH = (CHANCE_CORRECTED, NORMALISED)
_ALL_RUNS = "All runs"


@dataclass(frozen=True, kw_only=True)
class _Table:
    """A table on the page."""

    name: str
    title: str
    columns: list[str]
    rows: list[list[tuple[str, Any]]]
    """Each cell's text, and what it is sorted by."""
    num_rows: int
    """All of them, also those that aren't shown."""


def report_page(report: Report) -> str:
    """Return the page of a report."""
    drawings = make_drawings(report.figures)
    groups: dict[str, list[Any]] = {}
    for drawing in drawings:
        groups.setdefault(drawing.group, []).append(drawing)
    tables = [_show(title, table) for title, table in report.tables.items() if _is_shown(title, table)]
    having = {score for drawing in drawings for score in drawing.scores}
    scores = [score for score in _SWITCH if score.column in having] if len(having - {""}) > 1 else []
    return render(
        "report.html.jinja",
        report=report,
        groups={slug(name): (name, of_group) for name, of_group in groups.items()},
        num_drawings=len(drawings),
        pictures=take_pictures(drawings, scores[0].column if scores else ""),
        tables=tables,
        beside={title: slug(title) for title in report.tables},
        scores=scores,
        num_runs=len(report.runs.table),
    )


def _is_shown(title: str, table: pd.DataFrame) -> bool:
    """Return whether a table stands on the page: part of all runs would only mislead, the explorer has them."""
    return title != _ALL_RUNS or len(table) <= _MOST_SHOWN


def _show(title: str, table: pd.DataFrame) -> _Table:
    shown = table.head(_MOST_SHOWN)
    texts = readable(shown)
    kept = [name for name in shown.columns if name != "kind" and not name.endswith("_stderr")]
    values = [[_order(value) for value in shown[name]] for name in kept]
    cells = [list(zip(texts.iloc[:, place], column, strict=True)) for place, column in enumerate(values)]
    return _Table(
        name=slug(title),
        title=title,
        columns=[str(column) for column in texts.columns],
        rows=[list(row) for row in zip(*cells, strict=True)],
        num_rows=len(table),
    )


def _order(value: object) -> object:
    """Return what a cell is sorted by: a number as such; what is missing before all else."""
    if value is None or pd.isna(value):  # type: ignore[call-overload]
        return ""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
