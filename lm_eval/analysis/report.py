"""A results folder for those who open no notebook: tables and figures in one page, and the tables by themselves.

The page needs nothing beside it; tables are also written as Markdown, CSV and LaTeX.
"""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from lm_eval.analysis.figures.gallery import draw_all
from lm_eval.analysis.figures.selection import architecture_of
from lm_eval.analysis.published import compare_with_published, read_published
from lm_eval.analysis.runs import Runs, read_runs
from lm_eval.analysis.scores import add_scores, find_best
from lm_eval.errors import ConfigurationError
from lm_eval.failures import is_current, read_failures
from lm_eval.settings import SETTING_NAMES
from lm_eval.table import describe

_CELL = ["kind", "task", "architecture", "num_fewshot", "encoding_scheme", *SETTING_NAMES]
_UNSET = "-"
_TITLES = {
    "encoding_scheme": "scheme",
    "num_fewshot": "shots",
    "num_documents": "documents",
    "acc_stderr": "± acc",
    "normalised_stderr": "± normalised",
    "chance_corrected": "chance-corrected",
    "chance_corrected_stderr": "± chance-corrected",
    "below_chance": "below chance",
}


@dataclass(frozen=True, kw_only=True)
class Report:
    """What there is to tell of results folders."""

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
    """Gather what there is to tell of results folders.

    Args:
        folders: they.
        runs: what they hold.
        architectures: decoder-only or encoder-decoder, by `pretrained`.
        figures: plotly figures for the page, by title.
    """
    scored = add_scores(runs.table)
    failures = [failure for folder in folders for failure in read_failures(folder).values() if is_current(failure)]
    remarks = [
        f"{len(runs.table)} runs, {len(runs.table) - len(scored.table)} of them baselines"
        + (f", {runs.num_duplicates} more left out as older ones of the same" if runs.num_duplicates else ""),
        *(f"no baseline: {missing}" for missing in scored.missing),
        *(f"failed: {describe(recorded.config)}: {_first_line(recorded.failure.message)}" for recorded in failures),
        *(f"not a result: {path.name} ({why})" for path, why in runs.unreadable.items()),
    ]
    tables = {
        "Best settings of each model": best_table(scored.table),
        "Beside the published scores": published_table(scored.table, architectures),
        "Missing cells of the grid": missing_cells(runs.table, architectures),
        "All runs": score_table(scored.table),
    }
    return Report(
        folders=folders,
        runs=runs,
        scored=scored.table,
        tables={title: table for title, table in tables.items() if not table.empty},
        remarks=remarks,
        figures=figures or {},
    )


def report_on(folders: Sequence[Path], out: Path) -> Path:
    """Read results folders, write their report, and return its page.

    Args:
        folders: they; a baseline may lie in one of them.
        out: the folder to write to.

    Raises:
        ConfigurationError: a folder is missing, or there is no result in any.
    """
    if missing := [str(folder) for folder in folders if not folder.is_dir()]:
        raise ConfigurationError(f"{', '.join(missing)}: no such folder; give the results folders of grids")
    runs = read_runs(folders)
    if runs.table.empty:
        raise ConfigurationError(f"no result in {', '.join(map(str, folders))}; see scripts/status.py")
    figures = draw_all(add_scores(runs.table).table, published=read_published())
    return write_report(make_report(folders, runs, find_architectures(runs.table), figures), out)


def find_architectures(table: pd.DataFrame) -> dict[str, str]:
    """Return decoder-only or encoder-decoder for each model: by the list of models, its folder, or its name."""
    return {pretrained: architecture_of(pretrained) for pretrained in table["pretrained"].unique()}


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def score_table(scored: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of runs, with the settings that are used, for reading."""
    settings = [name for name in SETTING_NAMES if scored[name].notna().any()]
    origins = [name for name in ("limit", "dtype", "data", "description") if scored[name].nunique(dropna=False) > 1]
    columns = [
        *("task", "model", "encoding_scheme", "num_fewshot", *settings, *origins, "num_documents"),
        *("acc", "acc_stderr", "normalised", "normalised_stderr", "chance_corrected", "chance_corrected_stderr"),
        "below_chance",
    ]
    ordered = scored.sort_values(["kind", "task", "size_b", "model", "num_fewshot", "encoding_scheme"], kind="stable")
    return ordered[columns].rename(columns=_TITLES).reset_index(drop=True)


def best_table(scored: pd.DataFrame) -> pd.DataFrame:
    """Return the best run of each model, task and number of shots."""
    return score_table(find_best(scored))


def published_table(scored: pd.DataFrame, architectures: dict[str, str]) -> pd.DataFrame:
    """Return runs that the paper has too, the largest differences first."""
    table = compare_with_published(scored, architectures)
    ordered = table.reindex(table["difference"].abs().sort_values(ascending=False).index)
    columns = ["task", "model", "encoding_scheme", "num_fewshot", "limit", "normalised", "normalised_stderr"]
    return ordered[[*columns, "published", "difference", "agrees"]].rename(columns=_TITLES).reset_index(drop=True)


def missing_cells(table: pd.DataFrame, architectures: dict[str, str]) -> pd.DataFrame:
    """Return what most models of an architecture have and others lack."""
    runs = table[table["kind"] != "hf"]
    runs = runs.assign(**{name: runs[name].astype("object").fillna(_UNSET) for name in SETTING_NAMES})
    runs["architecture"] = [architectures.get(name, "decoder-only") for name in runs["pretrained"]]
    models = runs[["kind", "task", "architecture", "pretrained", "model"]].drop_duplicates()
    num_models = (
        models.groupby(["kind", "task", "architecture"])["pretrained"].nunique().rename("num_models").reset_index()
    )
    having = runs.groupby(_CELL, dropna=False)["pretrained"].nunique().rename("num_having").reset_index()
    having = having.merge(num_models, on=["kind", "task", "architecture"])
    cells = having.loc[2 * having["num_having"] > having["num_models"], _CELL]
    every = models.merge(cells, on=["kind", "task", "architecture"])
    there = runs[[*_CELL, "pretrained"]].drop_duplicates().assign(there=True)
    joined = every.merge(there, on=[*_CELL, "pretrained"], how="left")
    missing = joined[joined["there"].isna()]
    settings = [name for name in SETTING_NAMES if (missing[name] != _UNSET).any()]
    columns = ["task", "model", "encoding_scheme", "num_fewshot", *settings]
    return missing[columns].rename(columns=_TITLES).reset_index(drop=True)


def write_report(report: Report, folder: Path) -> Path:
    """Write a report's page and tables, and return the page.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for title, table in report.tables.items():
        name = title.lower().replace(" ", "_")
        table.to_csv(folder / f"{name}.csv", index=False)
        (folder / f"{name}.md").write_text(to_markdown(table), encoding="utf-8")
        if len(table) <= _MOST_PRINTED:
            latex = _rounded(table).to_latex(index=False, escape=True, na_rep="-")
            (folder / f"{name}.tex").write_text(latex, encoding="utf-8")
    page = folder / "report.html"
    page.write_text(_page(report), encoding="utf-8")
    return page


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    numbers = table.select_dtypes("float").columns
    return table.assign(**{name: [_round(value) for value in table[name]] for name in numbers})


def _round(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def to_markdown(table: pd.DataFrame) -> str:
    """Return a table in Markdown, numbers to three places."""
    shown = _rounded(table).astype("object").where(table.notna(), "-")
    rows = [list(map(str, table.columns)), ["---"] * len(table.columns), *shown.astype(str).to_numpy().tolist()]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)


_EXPLANATION = (
    "<p>normalised: accuracy divided by the same model's cross_encoding baseline at the same shots; "
    "chance-corrected: the share of the way from guessing to that baseline.</p>"
)
_MOST_SHOWN, _MOST_PRINTED = 300, 1000
"""Rows of a table on the page, and of one in LaTeX."""

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; font-size: 0.85rem; }
th, td { padding: 0.2rem 0.6rem; text-align: left; border-bottom: 1px solid #ddd; white-space: nowrap; }
th { position: sticky; top: 0; background: #fff; border-bottom: 2px solid #222; }
.wide { overflow: auto; max-height: 40rem; }
"""


def _page(report: Report) -> str:
    title = ", ".join(folder.name for folder in report.folders)
    parts = [
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{html.escape(title)}</title>",
        f"<style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1>",
        _EXPLANATION,
        "<ul>" + "".join(f"<li>{html.escape(remark)}</li>" for remark in report.remarks) + "</ul>",
    ]
    for number, (name, figure) in enumerate(report.figures.items()):
        drawn = figure.to_html(full_html=False, include_plotlyjs=number == 0)
        parts.append(f"<h2>{html.escape(name)}</h2>{drawn}")
    for name, table in report.tables.items():
        drawn = _rounded(table.head(_MOST_SHOWN)).to_html(index=False, na_rep="-", border=0)
        rest = f"<p>the first {_MOST_SHOWN} of {len(table)} rows</p>" if len(table) > _MOST_SHOWN else ""
        parts.append(f"<h2>{html.escape(name)}</h2><div class='wide'>{drawn}</div>{rest}")
    return "\n".join([*parts, "</body></html>\n"])
