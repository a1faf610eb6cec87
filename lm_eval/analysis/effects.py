"""Matched effects: what a setting changes between runs that differ in it alone."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lm_eval.analysis.layers import number_layers
from lm_eval.analysis.scores import MAIN_SETTINGS
from lm_eval.config.run_config import RunConfig
from lm_eval.config.settings import SETTING_NAMES, VectorSettings
from lm_eval.errors import ConfigurationError
from lm_eval.results.canonical_form import canonical
from lm_eval.results.identity import SAME_CONFIGURATION
from lm_eval.tasks.registry import known_task

EFFECTS = ("encoding_scheme", *(name for name in SETTING_NAMES if name not in ("ENCODING_LAYER", "DECODING_LAYER")))
"""The settings compared unless others are named; layers have figures of their own."""
FEW_MODELS, FEW_PAIRS = 2, 5
"""An effect over fewer than these is marked as thin."""
_SCHEME = "concat_all_examples"
"""The scheme that others are compared with: the one that cuts least."""
_PAIR = (
    *("kind", "task", "limit", "pretrained", "model", "architecture", "dtype", "loading", "data", "description"),
    "num_fewshot",
)
_OF = ["kind", "task", "limit", "setting", "reference", "value", "score"]
_UNSET = "None"


class _Stated(NamedTuple):
    """What decides, with shots and description, which settings have no effect; the columns are `_DECIDING`."""

    kind: str
    task: str
    scheme: str
    word: str
    segment: str
    example: str
    norm: str


_DECIDING = ("kind", "task", "encoding_scheme", "WORD_AGG_SCHEME", "SEGMENT_AGG_SCHEME", "EXAMPLE_AGG_SCHEME", "NORM")


def reference_of(setting: str, kind: str, architecture: str) -> str | None:
    """Return the value of a setting that others are compared with: that of the scripts' grids.

    Where a grid lists several it is the paper's main configuration's (experiment §8), which is one of them; of encoding
    schemes, all of which are, it is concat_all_examples.
    """
    if setting == "encoding_scheme":
        return _SCHEME
    main = MAIN_SETTINGS.get((kind, architecture))
    return None if main is None else main.public()[setting]


def matched_effects(runs: pd.DataFrame, settings: Sequence[str] = EFFECTS) -> pd.DataFrame:
    """Return what each value of a setting changes against the value of the scripts' grids, all else equal.

    Pairs share runs, so a model's pairs are averaged first, and what is told is how these averages lie over models.

    Args:
        runs: runs with their scores (`add_scores`), of any tests, tasks and models.
        settings: those to compare.

    Returns:
        A row for each test, task, slice of documents, setting, reference and value: `score` (the chance-corrected one,
        or `acc` where no run of the test has that), `median`, `low_half` and `high_half` (the middle half), `low_80`
        and `high_80`, `num_pairs`, `num_models`, and `is_thin` (fewer than two models or five pairs).
    """
    pairs = matched_pairs(runs, settings)
    columns = [*_OF, "median", "low_half", "high_half", "low_80", "high_80", "num_pairs", "num_models", "is_thin"]
    if pairs.empty:
        return pd.DataFrame(columns=columns)
    keys = [*_OF, "pretrained", "loading", "dtype"]
    models = pairs.groupby(keys, dropna=False, sort=False)["difference"].agg(["mean", "size"]).reset_index()
    rows = []
    for of, group in models.groupby(_OF, dropna=False, sort=False):
        low_80, low, median, high, high_80 = np.quantile(group["mean"], [0.1, 0.25, 0.5, 0.75, 0.9])
        number = int(group["size"].sum())
        is_thin = len(group) < FEW_MODELS or number < FEW_PAIRS
        rows.append((*of, median, low, high, low_80, high_80, number, len(group), is_thin))
    effects = pd.DataFrame(rows, columns=columns)
    return effects.astype("object").where(effects.notna(), None).astype(dict.fromkeys(columns[7:12], float))


def matched_pairs(runs: pd.DataFrame, settings: Sequence[str] = EFFECTS) -> pd.DataFrame:
    """Return the pairs of runs that differ in one setting alone, of which one has the value of the scripts' grids.

    Settings that have no effect in one of the two runs, such as segment aggregation where there is one segment, may
    differ. Layers count by their numbers.

    Args:
        runs: runs with their scores (`add_scores`).
        settings: those that pairs may differ in.

    Returns:
        A row a pair: what both share, `setting`, `reference`, `value`, `score`, `difference` (value less reference),
        and the files `path` and `path_reference`.
    """
    table = number_layers(runs[~runs["encoding_scheme"].isin(["no_context", "cross_encoding"]) & runs["kind"].ne("hf")])
    table = table.reset_index(drop=True)
    parts = [_pairs_of(of_test, settings) for _, of_test in table.groupby(["kind", "task", "limit"], sort=True)]
    filled = [part for part in parts if not part.empty]
    columns = [*_PAIR, *_OF[3:], "difference", "path", "path_reference"]
    return pd.concat(filled, ignore_index=True)[columns] if filled else pd.DataFrame(columns=columns)


def _pairs_of(table: pd.DataFrame, settings: Sequence[str]) -> pd.DataFrame:
    """Return the pairs of one test."""
    score = "acc" if table["chance_corrected"].isna().all() else "chance_corrected"
    table = table[table[score].notna()].reset_index(drop=True)
    rows: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
    stated = [{name: _text(row[name]) for name in SAME_CONFIGURATION} for row in rows]
    places = {tuple(texts.values()): place for place, texts in enumerate(stated)}
    found: list[dict[str, Any]] = []
    for setting in settings:
        if table[setting].nunique(dropna=False) < 2:
            continue
        for row, texts in zip(rows, stated, strict=True):
            reference = _reference(setting, row)
            other = _partner(texts, setting, _text(reference), places)
            if other is None:
                continue
            partner = rows[other]
            found.append({
                **{name: row[name] for name in _PAIR}, "setting": setting, "reference": reference,
                "value": row[setting], "score": score, "difference": row[score] - partner[score],
                "path": row["path"], "path_reference": partner["path"],
            })  # fmt: skip
    return pd.DataFrame(found)


def _reference(setting: str, row: Mapping[str, Any]) -> str | None:
    value = reference_of(setting, row["kind"], row["architecture"])
    if setting == "ENCODING_LAYER" and not pd.isna(row["num_layers"]):
        return str(int(row["num_layers"])) if value is None else value
    return value


_Texts = dict[str, str]
"""A row's `SAME_CONFIGURATION` as texts."""


def _partner(texts: _Texts, setting: str, reference: str, places: Mapping[tuple[str, ...], int]) -> int | None:
    """Return the place of the run that has the reference's value and is the same in all else; None: there is none."""
    if texts[setting] == reference:
        return None
    form = _without_idle({**texts, setting: reference})
    return None if form is None or form == texts else places.get(tuple(form.values()))


def _text(value: object) -> str:
    return _UNSET if value is None or pd.isna(value) else str(value)  # type: ignore[call-overload]


def _without_idle(texts: _Texts) -> _Texts | None:
    """Return a row with what has no effect in it unset, as tables hold it; None where settings don't go together."""
    stated = _Stated(*(texts[name] for name in _DECIDING))
    description = "" if texts["description"] == _UNSET else texts["description"]
    form = _canonical(stated, has_shots=texts["num_fewshot"] != "0", description=description)
    if form is None:
        return None
    scheme, segment, example = form
    done: _Texts = {**texts, "encoding_scheme": scheme, "SEGMENT_AGG_SCHEME": segment, "EXAMPLE_AGG_SCHEME": example}
    for of_choices, of_context in (
        ("OUT_WORD_AGG_SCHEME", "WORD_AGG_SCHEME"),
        ("OUT_ENCODING_LAYER", "ENCODING_LAYER"),
    ):
        if done[of_choices] == done[of_context]:
            done[of_choices] = _UNSET
    return done


@cache
def _canonical(stated: _Stated, has_shots: bool, description: str) -> tuple[str, str, str] | None:
    """Return scheme, segment and example aggregation of the canonical form, which `results.canonical_form` decides."""
    known = known_task(stated.kind, stated.task, None)
    settings = {"WORD_AGG_SCHEME": stated.word, "SEGMENT_AGG_SCHEME": stated.segment, "NORM": stated.norm}
    if stated.kind == "dist_sim":
        settings["SIMILARITY_FUNC"] = "dot_product"
    try:
        config = RunConfig(
            model=stated.kind, pretrained="any", task=stated.task, encoding_scheme=stated.scheme,
            num_fewshot=int(has_shots), description=description,
            vectors=VectorSettings.parse(**settings, EXAMPLE_AGG_SCHEME=stated.example),
        )  # fmt: skip
    except ConfigurationError:
        return None
    form = config if known is None else canonical(config, known.dataset)
    public = form.vectors.public()
    return str(form.encoding_scheme), _text(public["SEGMENT_AGG_SCHEME"]), _text(public["EXAMPLE_AGG_SCHEME"])
