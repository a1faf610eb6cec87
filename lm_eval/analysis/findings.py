"""What results say: how much of the way from guessing to the baseline the best runs keep, in numbers and a sentence."""

import pandas as pd

from lm_eval.analysis.layers import number_layers
from lm_eval.analysis.scores import OF_MODEL, find_best

_TESTS = {"dist_gen": "Test 1", "dist_sim": "Test 2"}
_MODELS = {"encoder-decoder": "encoder-decoders", "decoder-only": "decoders"}
MINUS = "\u2212"
"""As wide as a plus, and no hyphen."""


def count_tried(scored: pd.DataFrame, score: str = "chance_corrected") -> pd.DataFrame:
    """Return the best run of each model, dtype, task and number of shots, with `num_runs`: how many it is the best of.

    Controls don't count, nor do runs that hand over the whole context as it is, which only repeat the baseline. Runs
    that differ only in what a layer is called count once.

    Args:
        scored: runs with their scores.
        score: the column to go by.
    """
    runs = number_layers(scored[scored["encoding_scheme"] != "no_context"]).dropna(subset=[score])
    runs = runs[~_repeats_baseline(runs)]
    keys = [*OF_MODEL, "num_fewshot", "limit", "data"]
    counts = runs.groupby(keys, dropna=False)[score].transform("size")
    return find_best(runs.assign(num_runs=counts), score)


def _repeats_baseline(runs: pd.DataFrame) -> "pd.Series[bool]":
    """Whether runs put a vector for each token of the whole context where the baseline has that token's own."""
    is_decoder, layer = runs["architecture"] == "decoder-only", runs["ENCODING_LAYER"]
    is_whole = (runs["encoding_scheme"] == "concat_all_examples") & (runs["WORD_AGG_SCHEME"] == "concat")
    numbers = [None if pd.isna(number) else str(int(number)) for number in runs["num_layers"]]
    last = pd.Series(numbers, index=runs.index, dtype="object")
    is_own = (is_decoder & (layer == "E")) | (~is_decoder & (layer.isna() | (layer == last)))
    return (runs["kind"] == "dist_gen") & is_whole & is_own


def best_by_architecture(scored: pd.DataFrame) -> pd.DataFrame:
    """Return how far the best runs of each architecture's models reach, over all numbers of shots.

    Returns:
        A row for each test, task and architecture: `low` and `high`, the lowest and the highest chance-corrected score
        of the models' best runs, and `num_models`.
    """
    best = count_tried(scored)
    grouped = best.groupby(["kind", "task", "architecture"])
    ends: pd.DataFrame = grouped["chance_corrected"].agg(low="min", high="max").reset_index()
    return ends.assign(num_models=grouped["pretrained"].nunique().to_numpy())


def say_best(scored: pd.DataFrame) -> list[str]:
    """Return a sentence for each test: what the best runs of each architecture keep of the way from guessing to 1."""
    reach = best_by_architecture(scored)
    said = []
    for (kind, task), rows in reach.groupby(["kind", "task"]):
        where = f"{_TESTS.get(str(kind), str(kind))}"
        if reach[reach["kind"] == kind]["task"].nunique() > 1:
            where += f", {task}"
        ranges = [
            f"{_MODELS[row['architecture']]} {'' if place else 'keep '}{_say_range(row['low'], row['high'])}"
            for place, row in enumerate(rows.sort_values("high", ascending=False).to_dict("records"))
        ]
        said.append(f"{where}, best runs: {', '.join(ranges)}")
    return said


def _say_range(low: float, high: float) -> str:
    ends = [f"{round(100 * value)}".replace("-", MINUS) for value in (low, high)]
    return f"{ends[0] if ends[0] == ends[1] else ' to '.join(ends)} %"
