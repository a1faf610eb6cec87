"""Results folders read, and their report written: two pages, and tables as CSV, Markdown and LaTeX."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

from lm_eval.analysis.figures.gallery import draw_all
from lm_eval.analysis.figures.selection import is_control
from lm_eval.analysis.published import read_published
from lm_eval.analysis.report.content import Report, find_architectures, make_report
from lm_eval.analysis.report.explorer import explorer_page
from lm_eval.analysis.report.page import report_page
from lm_eval.analysis.report.remarks import shorten
from lm_eval.analysis.report.tables import readable, slug, to_markdown
from lm_eval.analysis.runs import read_runs
from lm_eval.analysis.scores import add_scores
from lm_eval.common.atomic import written_whole
from lm_eval.common.text import csv_cell
from lm_eval.errors import ConfigurationError

_MOST_PRINTED = 1000
"""Rows of a table in LaTeX."""


def report_on(folders: Sequence[Path], out: Path) -> Path:
    """Read results folders, write their report, and return its page.

    Args:
        folders: results folders; baselines may lie in any of them.
        out: the folder to write to.

    Raises:
        ConfigurationError: a folder is missing, or there is no result in any.
    """
    runs = read_runs(folders)
    if runs.table.empty:
        unreadable = shorten([f"{path.name}: {why}" for path, why in runs.unreadable.items()], 3)
        held = f" ({'; '.join(unreadable)})" if unreadable else ""
        raise ConfigurationError(
            f"no result in {', '.join(map(str, folders))}{held}; scripts/run_parallel_*.py make results, "
            "scripts/status.py shows how far they are"
        )
    return write_report(make_report(folders, runs, find_architectures(runs.table), draw_figures(runs.table)), out)


def draw_figures(table: pd.DataFrame) -> Mapping[str, go.Figure]:
    """Draw the figures of runs; where there are baselines and controls alone, there are none."""
    scored = add_scores(table).table
    keys = pd.MultiIndex.from_frame(scored[["kind", "task", "limit"]])
    tested = scored[keys.isin(keys[~is_control(scored)])]
    return {} if tested.empty else draw_all(tested, published=read_published())


def write_report(report: Report, folder: Path) -> Path:
    """Write a report's pages and tables, and return the page to begin with.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for title, table in report.tables.items():
        name, shown = slug(title), readable(table)
        table.map(csv_cell).to_csv(folder / f"{name}.csv", index=False)
        (folder / f"{name}.md").write_text(to_markdown(shown), encoding="utf-8")
        if len(table) <= _MOST_PRINTED:
            (folder / f"{name}.tex").write_text(shown.to_latex(index=False, escape=True), encoding="utf-8")
    for name, text in {"explore.html": explorer_page(report), "report.html": report_page(report)}.items():
        with written_whole(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return folder / "report.html"
