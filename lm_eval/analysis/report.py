"""A results folder for those who open no notebook: tables and figures in one page, and the tables by themselves.

The page needs nothing beside it; tables are also written as CSV (as the tidy table has them), Markdown and LaTeX.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from lm_eval.analysis.checkpoints import architecture_of
from lm_eval.analysis.figures.gallery import draw_all
from lm_eval.analysis.published import read_published
from lm_eval.analysis.report_tables import (
    best_table,
    missing_cells,
    published_table,
    readable,
    score_table,
    to_markdown,
)
from lm_eval.analysis.runs import Runs, read_runs
from lm_eval.analysis.scores import Scored, add_scores
from lm_eval.common.text import first_line
from lm_eval.config.run_config import describe
from lm_eval.errors import ConfigurationError
from lm_eval.results.failures import is_current, read_failures

_PUBLISHED = "Beside the published scores"


@dataclass(frozen=True, kw_only=True)
class Report:
    """The content of a report on results folders."""

    folders: Sequence[Path]
    runs: Runs
    scored: pd.DataFrame
    tables: Mapping[str, pd.DataFrame]
    """By title, in the order of the page."""
    remarks: Sequence[str]
    figures: Mapping[str, Any] = field(default_factory=dict)
    """Plotly figures, by title."""


def make_report(
    folders: Sequence[Path], runs: Runs, architectures: dict[str, str], figures: Mapping[str, Any] | None = None
) -> Report:
    """Gather the content of a report on results folders.

    Args:
        folders: results folders.
        runs: what they hold.
        architectures: decoder-only or encoder-decoder, by `pretrained`.
        figures: plotly figures for the page, by title.
    """
    scored = add_scores(runs.table)
    tables = {
        "Best settings of each model": best_table(scored.table),
        _PUBLISHED: published_table(scored.table, architectures),
        "Missing cells of the grid": missing_cells(runs.table, architectures),
        "All runs": score_table(scored.table),
    }
    remarks = [
        *_say_runs(runs, scored),
        *_say_published(tables[_PUBLISHED]),
        *_say_missing(scored),
        *_say_failures(folders),
        *_shorten([f"not a result: {path.name} ({why})" for path, why in runs.unreadable.items()]),
    ]
    return Report(
        folders=folders,
        runs=runs,
        scored=scored.table,
        tables={title: table for title, table in tables.items() if not table.empty},
        remarks=remarks,
        figures=figures or {},
    )


def _say_runs(runs: Runs, scored: Scored) -> list[str]:
    """Return how many runs there are, and over how many documents each."""
    number, baselines = len(runs.table), len(runs.table) - len(scored.table)
    older = f", {runs.num_duplicates} more left out as older ones of the same" if runs.num_duplicates else ""
    return [f"{number} runs, {baselines} of them baselines{older}", *_say_documents(runs.table)]


def _say_documents(table: pd.DataFrame) -> list[str]:
    known = table["num_documents"].dropna()
    if known.empty:
        return []
    low, high = int(known.min()), int(known.max())
    return [f"documents a run: {low}" + (f" to {high}" if high > low else "")]


def _say_published(table: pd.DataFrame) -> list[str]:
    if table.empty:
        return []
    agreeing = int(table["agrees"].sum())
    rule = "two standard errors and the rounding of what was published"
    return [f"of {len(table)} runs that the paper has too, {agreeing} agree with it within {rule}"]


def _say_missing(scored: Scored) -> list[str]:
    """Return which baselines are missing, and how to make them."""
    if not scored.missing:
        return []
    remedy = "without a baseline no normalised score; scripts/run_parallel_baseline.py makes them"
    return [*_shorten([f"no baseline: {missing}" for missing in scored.missing]), remedy]


def _say_failures(folders: Sequence[Path]) -> list[str]:
    """Return each cause once, with the runs it ended."""
    by_cause: dict[str, list[str]] = {}
    for folder in folders:
        for recorded in read_failures(folder).values():
            if is_current(recorded):
                cause = first_line(recorded.failure.message)
                by_cause.setdefault(cause, []).append(describe(recorded.config))
    return [f"failed: {'; '.join(_shorten(runs, 3))}: {cause}" for cause, runs in by_cause.items()]


def _shorten(texts: Sequence[str], most: int = 12) -> list[str]:
    """Return the first of many texts, and how many more there are."""
    shown = list(texts[:most])
    return [*shown, f"and {len(texts) - most} more"] if len(texts) > most else shown


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
        unreadable = _shorten([f"{path.name}: {why}" for path, why in runs.unreadable.items()], 3)
        held = f" ({'; '.join(unreadable)})" if unreadable else ""
        raise ConfigurationError(
            f"no result in {', '.join(map(str, folders))}{held}; scripts/run_parallel_*.py make results, "
            "scripts/status.py shows how far they are"
        )
    figures = draw_all(add_scores(runs.table).table, published=read_published())
    return write_report(make_report(folders, runs, find_architectures(runs.table), figures), out)


def find_architectures(table: pd.DataFrame) -> dict[str, str]:
    """Return decoder-only or encoder-decoder for each model: by the list of models, its folder, or its name."""
    return {pretrained: architecture_of(pretrained) for pretrained in table["pretrained"].unique()}


def write_report(report: Report, folder: Path) -> Path:
    """Write a report's page and tables, and return the page.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for title, table in report.tables.items():
        name, shown = title.lower().replace(" ", "_"), readable(table)
        table.to_csv(folder / f"{name}.csv", index=False)
        (folder / f"{name}.md").write_text(to_markdown(shown), encoding="utf-8")
        if len(table) <= _MOST_PRINTED:
            (folder / f"{name}.tex").write_text(shown.to_latex(index=False, escape=True), encoding="utf-8")
    page = folder / "report.html"
    page.write_text(_page(report), encoding="utf-8")
    return page


_EXPLANATION = (
    "<p>acc: share of documents whose right choice scores best; normalised: acc divided by the same model's "
    "cross_encoding baseline at the same shots, so that guessing gives more the weaker the baseline is; "
    "chance-corrected: the share of the way from guessing (0) to that baseline (1); ± one standard error; "
    "- there is none, or the setting has nothing to do.</p>"
)
_MOST_SHOWN, _MOST_PRINTED = 300, 1000
"""Rows of a table on the page, and of one in LaTeX."""

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 84rem; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; }
table { border-collapse: collapse; font-size: 0.85rem; }
th, td { padding: 0.2rem 0.6rem; text-align: left; border-bottom: 1px solid #ddd; white-space: nowrap; }
th { position: sticky; top: 0; background: #fff; box-shadow: 0 2px #222; }
.wide { overflow: auto; max-height: 40rem; }
.figure { overflow-x: auto; }
"""


def _page(report: Report) -> str:
    title = ", ".join(folder.name for folder in report.folders)
    parts = [
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{html.escape(title)}</title>",
        f"<style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1>",
        "<ul>" + "".join(f"<li>{html.escape(remark)}</li>" for remark in report.remarks) + "</ul>",
        _EXPLANATION,
    ]
    before = ""
    for number, (name, figure) in enumerate(report.figures.items()):
        group, _, _ = name.rpartition(": ")
        parts += [f"<h2>{html.escape(group)}</h2>"] if group != before else []
        drawn = figure.to_html(full_html=False, include_plotlyjs=number == 0, include_mathjax=False)
        parts.append(f"<div class='figure'>{drawn}</div>")
        before = group
    for name, table in report.tables.items():
        drawn = readable(table.head(_MOST_SHOWN)).to_html(index=False, border=0)
        rest = f"<p>the first {_MOST_SHOWN} of {len(table)} rows</p>" if len(table) > _MOST_SHOWN else ""
        parts.append(f"<h2>{html.escape(name)}</h2><div class='wide'>{drawn}</div>{rest}")
    return "\n".join([*parts, "</body></html>\n"])
