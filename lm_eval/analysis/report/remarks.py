"""What a reader of a report should know about its runs: how many, what is missing, what failed, what agrees."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lm_eval.analysis.runs import Runs
from lm_eval.analysis.scores import Scored
from lm_eval.common.text import count_of, first_line
from lm_eval.config.run_config import describe
from lm_eval.results.failures import is_current, read_failures


def say_runs(runs: Runs, scored: Scored) -> list[str]:
    """Return how many runs there are, and over how many documents each."""
    number, baselines = len(runs.table), len(runs.table) - len(scored.table)
    older = f", {runs.num_duplicates} more left out as older ones of the same" if runs.num_duplicates else ""
    return [
        f"{count_of(number, 'run')}, {baselines} of them baselines{older}",
        *_say_documents(runs.table),
    ]


def _say_documents(table: pd.DataFrame) -> list[str]:
    known = table["num_documents"].dropna()
    if known.empty:
        return []
    low, high = int(known.min()), int(known.max())
    return [f"documents a run: {low}" + (f" to {high}" if high > low else "")]


def say_published(table: pd.DataFrame) -> list[str]:
    """Return how many runs agree with the paper's."""
    if table.empty:
        return []
    agreeing = int(table["agrees"].sum())
    rule = "two standard errors and the rounding of what was published"
    return [f"of {len(table)} runs that the paper has too, {agreeing} agree with it within {rule}"]


def say_missing(scored: Scored) -> list[str]:
    """Return which baselines are missing, the last one with how to make them."""
    if not scored.missing:
        return []
    remedy = "without a baseline no normalised score; scripts/run_parallel_baseline.py makes it"
    *before, last = shorten([f"no baseline: {missing}" for missing in scored.missing])
    return [*before, f"{last} ({remedy})"]


def say_failures(folders: Sequence[Path]) -> list[str]:
    """Return each cause once, with the runs it ended."""
    by_cause: dict[str, list[str]] = {}
    for folder in folders:
        for recorded in read_failures(folder).values():
            if is_current(recorded):
                cause = first_line(recorded.failure.message)
                by_cause.setdefault(cause, []).append(describe(recorded.config))
    return [f"failed: {'; '.join(shorten(runs, 3))}: {cause}" for cause, runs in by_cause.items()]


def say_unreadable(runs: Runs) -> list[str]:
    """Return which files hold no result."""
    return shorten([f"not a result: {path.name} ({why})" for path, why in runs.unreadable.items()])


def shorten(texts: Sequence[str], most: int = 12) -> list[str]:
    """Return the first of many texts, and how many more there are."""
    shown = list(texts[:most])
    return [*shown, f"and {len(texts) - most} more"] if len(texts) > most else shown
