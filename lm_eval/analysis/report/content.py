"""The content of a report: a title, sentences with what was found, remarks, tables, figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from lm_eval.analysis.checkpoints import architecture_of
from lm_eval.analysis.report.findings import say_findings, say_title
from lm_eval.analysis.report.remarks import say_failures, say_missing, say_published, say_runs, say_unreadable
from lm_eval.analysis.report.tables import baseline_table, best_table, missing_cells, published_table, score_table
from lm_eval.analysis.runs import Runs
from lm_eval.analysis.scores import add_scores

_PUBLISHED = "Beside the published scores"


@dataclass(frozen=True, kw_only=True)
class Report:
    """The content of a report on results folders."""

    folders: Sequence[Path]
    runs: Runs
    scored: pd.DataFrame
    title: str
    """What was run."""
    findings: Sequence[str]
    """What came out, in up to three sentences."""
    facts: Sequence[str]
    """How much was read."""
    problems: Sequence[str]
    """What is missing, failed or could not be read, a line each."""
    tables: Mapping[str, pd.DataFrame]
    """By title, in the order of the page."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """Plotly figures, by title."""

    @property
    def remarks(self) -> list[str]:
        """Facts and problems."""
        return [*self.facts, *self.problems]


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
        "Baselines": baseline_table(runs.table),
        "Missing cells of the grid": missing_cells(runs.table, architectures),
        "All runs": score_table(scored.table),
    }
    return Report(
        folders=folders,
        runs=runs,
        scored=scored.table,
        title=say_title(runs.table),
        findings=say_findings(runs.table, scored.table, architectures),
        facts=[*say_runs(runs, scored), *say_published(tables[_PUBLISHED])],
        problems=[*say_missing(scored), *say_failures(folders), *say_unreadable(runs)],
        tables={title: table for title, table in tables.items() if not table.empty},
        figures=figures or {},
    )


def find_architectures(table: pd.DataFrame) -> dict[str, str]:
    """Return decoder-only or encoder-decoder for each model: by the list of models, its folder, or its name."""
    return {pretrained: architecture_of(pretrained) for pretrained in table["pretrained"].unique()}
