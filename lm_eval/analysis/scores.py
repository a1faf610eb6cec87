"""Scores beside their baseline (experiment §8): normalised and chance-corrected, with their standard errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lm_eval.common.text import count_of
from lm_eval.config.settings import VectorSettings
from lm_eval.results.baselines import CLEAR
from lm_eval.results.identity import SAME_BASELINE
from lm_eval.results.older_form import CHANCE

_SIMILARITY: dict[str, Any] = {
    "segment_agg_scheme": "mean",
    "example_agg_scheme": "mean",
    "similarity_func": "dot_product",
}
MAIN_SETTINGS: dict[tuple[str, str], VectorSettings] = {
    ("dist_gen", "decoder-only"): VectorSettings.parse(word_agg_scheme="mean", encoding_layer=0),
    ("dist_gen", "encoder-decoder"): VectorSettings.parse(word_agg_scheme="mean"),
    ("dist_sim", "decoder-only"): VectorSettings.parse(word_agg_scheme="w1mean", **_SIMILARITY),
    ("dist_sim", "encoder-decoder"): VectorSettings.parse(word_agg_scheme="mean", **_SIMILARITY),
}
"""The paper's main configurations (experiment §8); what isn't named isn't set."""
INTERVAL = 1.96
"""Standard errors from the middle of a 95 % interval to its ends."""
BELOW, NOT_TOLD, ABOVE = "below", "not told apart", "above"
"""What `versus_chance` says: where a run's accuracy lies, by its 95 % interval."""
_SAME_NUMBER = 0.01
"""How far numbers of documents that errors imply may differ and be the same."""
OF_MODEL = ("kind", "task", "pretrained", "loading", "dtype")
"""Columns in which the runs are equal that a model's best is chosen from, beside shots and documents."""
_MAY_DIFFER = ("SEGMENT_AGG_SCHEME", "EXAMPLE_AGG_SCHEME", "OUT_WORD_AGG_SCHEME")
"""Settings that are looked at apart: in some schemes they have nothing to do."""
_APART = (*SAME_BASELINE, "ADD_BOS", "bos")
"""Columns in which baselines differ; of the last two, which mean tokens in front, see `lm_eval.results.baselines`."""


@dataclass(frozen=True)
class Scored:
    """Runs beside their baselines."""

    table: pd.DataFrame
    """The runs with `chance`, `baseline`, `normalised`, `chance_corrected`, their `_stderr`s, and `versus_chance`
    (`BELOW`, `NOT_TOLD` or `ABOVE`)."""
    missing: Sequence[str]
    """Baselines that runs lack, each in words; the scores of those runs are left open."""


def is_baseline(table: pd.DataFrame) -> "pd.Series[bool]":
    """Return which rows are `cross_encoding` baselines."""
    return (table["encoding_scheme"] == "cross_encoding") & table["DECODING_SCHEME"].isna()


def add_scores(table: pd.DataFrame) -> Scored:
    """Put each run beside its model's baseline of the same shots and documents.

    A run and its baseline of another dtype are only put together where neither or one of them states it.
    Standard errors are propagated as if accuracy and baseline were independent; over the same documents they mostly
    rise and fall together, so the errors are rather too large than too small. A baseline whose error can't be told
    counts as exact. Where a baseline isn't above chance by two standard errors of their difference there is no
    chance-corrected score.
    """
    table = state_documents(table)
    baselines = table[is_baseline(table)].drop_duplicates([*_APART, "dtype"], keep="last")
    runs = table[~is_baseline(table)].copy()
    joined = _join(runs, baselines)
    runs["chance"] = runs["rand_acc"].fillna(runs["dataset"].map(CHANCE))
    runs["baseline"], runs["baseline_stderr"] = joined["acc"].to_numpy(), joined["acc_stderr"].to_numpy()
    acc, error = runs["acc"], runs["acc_stderr"]
    base, base_error = runs["baseline"].where(runs["baseline"] > 0), runs["baseline_stderr"].fillna(0.0)
    runs["normalised"] = acc / base
    runs["normalised_stderr"] = np.hypot(error / base, acc / base**2 * base_error)
    chance_error = _chance_error(runs)
    clear = base - runs["chance"] > CLEAR * np.hypot(base_error, chance_error)
    above, room = acc - runs["chance"], (base - runs["chance"]).where(clear)
    runs["chance_corrected"] = above / room
    runs["chance_corrected_stderr"] = np.hypot(error / room, above / room**2 * base_error)
    runs["versus_chance"] = _tell_from_chance(above, np.hypot(error, chance_error))
    return Scored(table=runs.reset_index(drop=True), missing=_name_missing(runs, baselines))


def state_documents(table: pd.DataFrame) -> pd.DataFrame:
    """Fill in the number of documents, and errors, that older results leave open but that follow from others.

    The standard error of a share says over how many documents it was taken; runs over the same slice of the same data
    share that number, and with it the error of each follows from its accuracy. Where runs don't agree on one number,
    nothing is filled in.
    """
    acc, error = table["acc"].astype(float), table["acc_stderr"].astype(float)
    implied = acc * (1 - acc) / error.where(error > 0) ** 2 + 1
    stated = pd.to_numeric(table["num_documents"]).astype(float)
    known = stated.fillna(implied)
    slices = [table[name].map(str) for name in ("dataset", "limit", "data")]
    low, high = (known.groupby(slices).transform(which) for which in ("min", "max"))
    number = low.round().where((high - low < _SAME_NUMBER) & ((low - low.round()).abs() < _SAME_NUMBER))
    filled = stated.fillna(number)
    follows = (acc * (1 - acc) / (filled - 1).where(filled > 1)) ** 0.5
    return table.assign(num_documents=filled, acc_stderr=error.fillna(follows))


def _chance_error(runs: pd.DataFrame) -> "pd.Series[float]":
    """Return the standard error of guessing: documents may differ in their number of choices."""
    return pd.to_numeric(runs["rand_acc_stderr"]).astype(float).fillna(0.0)


def _tell_from_chance(above: "pd.Series[float]", error: Any) -> "pd.Series[str]":  # noqa: ANN401
    """Return `BELOW`, `ABOVE` or `NOT_TOLD`, by 95 % intervals; without an error nothing is told; None: no chance."""
    words = np.where(above > INTERVAL * error, ABOVE, np.where(above < -INTERVAL * error, BELOW, NOT_TOLD))
    return pd.Series(words, index=above.index, dtype="object").where(above.notna(), None)


def _join(runs: pd.DataFrame, baselines: pd.DataFrame) -> pd.DataFrame:
    """Return, for each run, its baseline's accuracy; NaN where there is none."""
    by_key: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for baseline in _rows(baselines):
        for bos in {_stated(baseline["ADD_BOS"]), _meant_bos(baseline)}:
            by_key.setdefault((*_key(baseline), bos), []).append(baseline)
    accuracies = []
    for run in _rows(runs):
        candidates = by_key.get((*_key(run), _meant_bos(run)), [])
        same = [baseline for baseline in candidates if baseline["dtype"] == run["dtype"]]
        fitting = same or [baseline for baseline in candidates if pd.isna(baseline["dtype"]) or pd.isna(run["dtype"])]
        accuracies.append((fitting[-1]["acc"], fitting[-1]["acc_stderr"]) if fitting else (np.nan, np.nan))
    return pd.DataFrame(accuracies, columns=["acc", "acc_stderr"], index=runs.index, dtype="float64")


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table[[*_APART, "dtype", "model", "acc", "acc_stderr"]].to_dict("records")  # type: ignore[assignment]
    return rows


def _meant_bos(row: Mapping[str, Any]) -> str | None:
    return _stated(row["bos"]) or _stated(row["ADD_BOS"])


def _stated(value: Any) -> str | None:  # noqa: ANN401  (a cell)
    return None if pd.isna(value) else str(value)


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in SAME_BASELINE)


def _name_missing(runs: pd.DataFrame, baselines: pd.DataFrame) -> list[str]:
    """Return the baselines that runs lack, in words, each with what the nearest one there is of instead."""
    lacking = runs[runs["baseline"].isna()].drop_duplicates([*_APART, "dtype"])
    there = _rows(baselines)
    words = (
        f"{row['model']}, {row['dataset']}, {count_of(row['num_fewshot'], 'shot')}"
        + (f", limit {row['limit']}" if row["limit"] != "None" else "")
        + "".join(f", {row[name]}" for name in ("dtype", "loading") if not pd.isna(row[name]))
        + _say_nearest(row, there)
        for row in _rows(lacking)
    )
    return list(dict.fromkeys(words))


_DIFFERENCES = {
    "dtype": "{}", "num_fewshot": "{} shots", "limit": "--limit {}", "data": "other data", "loading": "another loading",
    "description": "another description", "bos": "other tokens in front",
}  # fmt: skip
"""What a baseline may be of that a run is not of, in words."""


def _say_nearest(run: Mapping[str, Any], baselines: Sequence[Mapping[str, Any]]) -> str:
    """Return what the model's baselines that differ in one thing are of; nothing where there are none."""
    said: list[str] = []
    for baseline in baselines:
        differing = [name for name in (*SAME_BASELINE, "dtype") if str(baseline[name]) != str(run[name])]
        differing += ["bos"] if _meant_bos(baseline) != _meant_bos(run) else []
        if len(differing) == 1 and (name := differing[0]) in _DIFFERENCES:
            said.append(_DIFFERENCES[name].format(baseline[name]))
    return f" (there is one of {' and of '.join(dict.fromkeys(said))})" if said else ""


def is_main(table: pd.DataFrame, kind: str, architecture: str) -> "pd.Series[bool]":
    """Return which rows have the settings of the paper's main configuration, whatever their scheme (experiment §8).

    Aggregations that have nothing to do in a scheme may be set or not.
    """
    settings = MAIN_SETTINGS[kind, architecture].public()
    one_segment = table["encoding_scheme"].isin(["concat_all_examples", "concat_each_example"])
    one_vector = (table["encoding_scheme"] == "concat_all_examples") | (table["num_fewshot"] == 0)
    chosen = (table["kind"] == kind) & _has_main_vectors(table, settings)
    chosen &= _equals(table["SEGMENT_AGG_SCHEME"], settings["SEGMENT_AGG_SCHEME"]) | one_segment
    return chosen & (_equals(table["EXAMPLE_AGG_SCHEME"], settings["EXAMPLE_AGG_SCHEME"]) | one_vector)


def _has_main_vectors(table: pd.DataFrame, settings: Mapping[str, str | None]) -> "pd.Series[bool]":
    """Return which rows have a main configuration's settings, but for segment and example aggregation."""
    same = settings["WORD_AGG_SCHEME"]
    chosen = _equals(table["OUT_WORD_AGG_SCHEME"], None) | _equals(table["OUT_WORD_AGG_SCHEME"], same)
    for name in (name for name in settings if name not in _MAY_DIFFER):
        chosen &= _equals(table[name], settings[name])
    return chosen


def _equals(column: "pd.Series[str]", value: str | None) -> "pd.Series[bool]":
    return column.isna() if value is None else column == value


def find_best(table: pd.DataFrame, score: str = "acc") -> pd.DataFrame:
    """Return the best run of each model, loading, dtype, task and number of shots: the row with the highest score.

    Controls without a context don't count.

    Args:
        table: runs.
        score: the column to go by.
    """
    runs = table[table["encoding_scheme"] != "no_context"]
    ranked = runs.dropna(subset=[score]).sort_values(score, kind="stable")
    return ranked.drop_duplicates([*OF_MODEL, "num_fewshot", "limit", "data"], keep="last")
