"""The tables of a report: with columns as the tidy table names them, and as people read them."""

import html
import re
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from lm_eval.analysis.findings import count_tried
from lm_eval.analysis.published import compare_with_published
from lm_eval.analysis.scores import is_baseline, state_documents
from lm_eval.config.settings import SETTING_NAMES
from lm_eval.results.labels import NOTHING, SHORT_LABELS, say_cell

_CELL = ["kind", "task", "architecture", "num_fewshot", "encoding_scheme", *SETTING_NAMES]
_ORIGINS = ("limit", "dtype", "loading", "data", "description")
"""Columns that are shown where runs differ in them."""
_SCORES = ("acc", "normalised", "chance_corrected")
_TITLES = {
    **SHORT_LABELS,
    "num_fewshot": "shots",
    "num_documents": "documents",
    "num_runs": "best of",
    "chance_corrected": "chance-corrected",
    "versus_chance": "against guessing",
}


def score_table(scored: pd.DataFrame, *more: str) -> pd.DataFrame:
    """Return the scores of runs, with the settings that are used, and further columns."""
    settings = [name for name in SETTING_NAMES if scored[name].notna().any()]
    origins = [name for name in _ORIGINS if _differs(scored, name)]
    columns = [
        *("task", "kind", "model", "encoding_scheme", "num_fewshot", *more),
        *(column for score in _SCORES for column in (score, f"{score}_stderr")),
        *("versus_chance", *settings, *origins, "num_documents"),
    ]
    ordered = scored.sort_values(["kind", "task", "size_b", "model", "num_fewshot", "encoding_scheme"], kind="stable")
    return ordered[columns].reset_index(drop=True)


def _differs(scored: pd.DataFrame, name: str) -> bool:
    """Return whether runs of the same dataset and number of shots differ in something; shots are data that is read."""
    return bool(scored.groupby(["dataset", "num_fewshot"])[name].nunique(dropna=False).gt(1).any())


def best_table(scored: pd.DataFrame) -> pd.DataFrame:
    """Return the best run of each model, task and number of shots, with `num_runs`: how many it is the best of."""
    return score_table(count_tried(scored, "acc"), "num_runs")


def baseline_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the baselines: each model's accuracy with its whole context."""
    table = state_documents(table)
    rows = table[is_baseline(table)].sort_values(["dataset", "size_b", "model", "num_fewshot"], kind="stable")
    origins = [name for name in _ORIGINS if _differs(rows, name)]
    return rows[["task", "model", "num_fewshot", "acc", "acc_stderr", *origins, "num_documents"]].reset_index(drop=True)


def published_table(scored: pd.DataFrame, architectures: dict[str, str]) -> pd.DataFrame:
    """Return runs that the paper has too: those that disagree first, then by the difference."""
    table = compare_with_published(scored, architectures)
    table = table.assign(size=table["difference"].abs()).sort_values(["agrees", "size"], ascending=[True, False])
    columns = ["task", "model", "encoding_scheme", "num_fewshot", "limit", "normalised", "normalised_stderr"]
    return table[[*columns, "published", "source", "difference", "agrees"]].reset_index(drop=True)


def missing_cells(table: pd.DataFrame, architectures: dict[str, str]) -> pd.DataFrame:
    """Return what most models of an architecture have and others lack."""
    runs = table[table["kind"] != "hf"]
    runs = runs.assign(**{name: runs[name].astype("object").fillna(NOTHING) for name in SETTING_NAMES})
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
    settings = [name for name in SETTING_NAMES if (missing[name] != NOTHING).any()]
    shown = missing[["task", "kind", "model", "encoding_scheme", "num_fewshot", *settings]].reset_index(drop=True)
    return shown.assign(**{name: shown[name].where(shown[name] != NOTHING, None) for name in settings})


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as text: numbers to three places behind which their standard errors stand, settings in words."""
    columns: dict[str, list[str]] = {}
    rows = table.to_dict("records")
    for name in table.columns:
        if name != "kind" and not name.endswith("_stderr"):
            columns[_TITLES.get(name, name)] = [_say(name, row) for row in rows]
    return pd.DataFrame(columns)


def _say(name: str, row: Mapping[Hashable, Any]) -> str:
    value = row[name]
    if name in SETTING_NAMES and "kind" in row:
        return say_cell(name, None if pd.isna(value) else value, kind=row["kind"], scheme=row["encoding_scheme"])
    if name == "limit" and str(value).startswith("None"):
        return str(value).replace("None", "all", 1)
    if value is None or pd.isna(value):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.0f}" if name == "num_documents" else _say_score(value, row.get(f"{name}_stderr"))
    return str(value)


def _say_score(value: float, error: float | None) -> str:
    rounded = f"{value:.3f}"
    score = "0.000" if rounded == "-0.000" else rounded
    return score if error is None or pd.isna(error) else f"{score} ± {error:.3f}"


def slug(title: str) -> str:
    """Return a title as the name of a file or a place on the page."""
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")


def to_markdown(table: pd.DataFrame) -> str:
    """Return a readable table in Markdown."""
    rows = [list(map(str, table.columns)), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    return "".join(f"| {' | '.join(map(_markdown_cell, row))} |\n" for row in rows)


def _markdown_cell(text: str) -> str:
    """Return a text as a cell that shows it as it is, in one line."""
    return " ".join(html.escape(text, quote=False).replace("|", "\\|").split())
