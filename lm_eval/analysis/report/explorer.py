"""The explorer, `explore.html`: all runs in one page without a network, filtered, drawn and listed as the reader likes.

Runs stand in the page by columns: of settings each value once, and a number a run; of scores whole numbers.
"""

import math
import re
from typing import Any

import pandas as pd

from lm_eval.analysis.figures.score_toggle import CHANCE_CORRECTED, NORMALISED
from lm_eval.analysis.report.assets import packed, render
from lm_eval.analysis.report.commands import find_extras
from lm_eval.analysis.report.content import Report
from lm_eval.analysis.scores import is_baseline, state_documents
from lm_eval.config.settings import SETTING_NAMES
from lm_eval.results.labels import NOTHING, SHORT_LABELS, say_cell

_PLACES = 10_000
"""Scores are kept to four decimal places: documents would have to be many for more to mean something."""
_SCORES = {
    CHANCE_CORRECTED.column: CHANCE_CORRECTED.button,
    NORMALISED.column: NORMALISED.button,
    "acc": "accuracy",
    "baseline": "baseline's accuracy",
}
_TESTS = {"dist_gen": "Test 1 (dist_gen)", "dist_sim": "Test 2 (dist_sim)"}
_TEXTS = {
    "kind": "test",
    "task": "task",
    "architecture": "architecture",
    "pretrained": "model",
    "encoding_scheme": SHORT_LABELS["encoding_scheme"],
    "num_fewshot": "shots",
    **{name: SHORT_LABELS[name] for name in SETTING_NAMES},
    "limit": "limit",
    "num_documents": "documents",
    "versus_chance": "against guessing",
    "dtype": "dtype",
    "loading": "loading",
    "data": "data",
    "description": "description",
}


def explorer_page(report: Report) -> str:
    """Return the page of the explorer."""
    content = runs_by_column(report.runs.table, report.scored)
    return render("explore.html.jinja", title=report.title, runs=packed(content), num_runs=content["num_runs"])


def runs_by_column(table: pd.DataFrame, scored: pd.DataFrame) -> dict[str, Any]:
    """Return all runs as the page holds them.

    Args:
        table: all runs, baselines too.
        scored: those beside their baselines (`add_scores`).

    Returns:
        `texts` and `scores`, columns with key, label and a value a run; `folders` and `files`, where each lies.
    """
    stated = state_documents(table)
    runs = pd.concat([scored, stated[is_baseline(stated)]], ignore_index=True)
    places = [path.rpartition("/") for path in runs["path"]]
    extras = find_extras(runs)
    return {
        "num_runs": len(runs),
        "texts": [_text_column(runs, key, label) for key, label in _TEXTS.items()],
        "scores": [_score_column(runs, key, label) for key, label in _SCORES.items()],
        "extras": [{"key": key, **_coded([(text, text) for text in extras[key]])} for key in extras],
        "folders": _coded([(folder, folder) for folder, _, _ in places]),
        "files": [name for _, _, name in places],
    }


def _text_column(runs: pd.DataFrame, key: str, label: str) -> dict[str, Any]:
    """Return a column of few different values: each with the text that is shown, and as a command states it."""
    values = [None if pd.isna(value) else value for value in runs[key]]
    if key in SETTING_NAMES:
        kinds, schemes = runs["kind"], runs["encoding_scheme"]
        texts = [
            say_cell(key, value, kind=kind, scheme=scheme)
            for value, kind, scheme in zip(values, kinds, schemes, strict=True)
        ]
    else:
        texts = [_say(key, value) for value in values]
    pairs = list(zip(texts, values, strict=True))
    return {"key": key, "label": label, "is_setting": key in SETTING_NAMES, **_coded(pairs)}


def _say(key: str, value: object) -> str:
    if value is None:
        return NOTHING
    if key == "kind":
        return _TESTS.get(str(value), str(value))
    if key == "limit" and str(value).startswith("None"):
        return str(value).replace("None", "all", 1)
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def _coded(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return values once each, in the order in which they are read, and for each run its value's place among them."""
    distinct = sorted(set(pairs), key=lambda pair: _natural(pair[0]))
    places = {pair: place for place, pair in enumerate(distinct)}
    return {
        "values": [text for text, _ in distinct],
        "raw": [value for _, value in distinct],
        "codes": [places[pair] for pair in pairs],
    }


def _natural(text: str) -> tuple[bool, float, str]:
    """Return what texts are sorted by: numbers by size, before words."""
    is_number = re.fullmatch(r"-?\d+", text) is not None
    return not is_number, float(text) if is_number else 0.0, text


def _score_column(runs: pd.DataFrame, key: str, label: str) -> dict[str, Any]:
    return {"key": key, "label": label, "values": _whole(runs[key]), "errors": _whole(runs[f"{key}_stderr"])}


def _whole(column: "pd.Series[float]") -> list[int | None]:
    return [int(value) if math.isfinite(value) else None for value in (column * _PLACES).round()]
