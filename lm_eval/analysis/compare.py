"""Comparisons of runs over the same documents, with the scores that `--log_samples` stores.

Paired: both runs have answered the same documents, so what counts is where they differ. McNemar's exact test asks
whether one is right more often where only one is; the bootstrap gives the difference an interval.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray

from lm_eval.common.regular_files import say_why
from lm_eval.config.run_config import SEED
from lm_eval.errors import ConfigurationError
from lm_eval.results.samples import Sample, SamplesFile, read_samples_of

LEVEL = 0.95
"""Of intervals."""
_RESAMPLES = 10_000
_SEED = 0

Corrections = Mapping[str, str]
CORRECTIONS: Corrections = {"holm": "holm", "benjamini-hochberg": "fdr_bh"}
"""For many comparisons: Holm bounds the chance of any false finding, Benjamini-Hochberg the share of false ones."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """What a run answered, document by document."""

    path: Path
    task: str
    is_right: "pd.Series[bool]"
    """Whether the best score is a right choice's, by `doc_id`."""
    margins: "pd.Series[float]"
    """By how much the best right choice outscores the best wrong one; NaN where a document has only one kind."""
    documents: str
    """What identifies the documents and their data."""
    by_id: Mapping[int, Sample] = field(default_factory=dict)
    """What is known of each, by `doc_id`."""


def read_samples(path: Path, task: str | None = None) -> Samples:
    """Read the per-document scores of a result file.

    Args:
        path: the file.
        task: which of its tasks; None takes the only one.

    Raises:
        ConfigurationError: the file holds no samples, or several tasks and none is named.
    """
    try:
        file = read_samples_of(path)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: {say_why(error)}") from error
    samples = file.samples
    if task is None and len(samples) == 1:
        (task,) = samples
    if task is None or task not in samples:
        held = f"it has those of {', '.join(samples)}" if samples else "run it again with --log_samples"
        if task is None and samples:
            raise ConfigurationError(f"{path}: holds documents of several tasks; name one: {', '.join(samples)}")
        of_task = "" if task is None else f" for task {task}"
        raise ConfigurationError(f"{path}: holds no scores of single documents{of_task}; {held}")
    by_id = {sample.doc_id: sample for sample in samples[task]}
    if task.startswith("webqs") and (without := [number for number, one in by_id.items() if not one.is_exact_match]):
        raise ConfigurationError(
            f"{path}: document {without[0]} of {task} states no is_exact_match, by which its answers are right or "
            "wrong; run it again with --log_samples"
        )
    right = [_is_right(task, one) for one in by_id.values()]
    return Samples(
        path=path,
        task=task,
        is_right=pd.Series(right, index=list(by_id), dtype=bool),
        margins=pd.Series({number: _margin(one) for number, one in by_id.items()}, dtype=float),
        documents=_documents(file, task),
        by_id=by_id,
    )


def _margin(sample: Sample) -> float:
    right = [score for number, score in enumerate(sample.scores) if number in sample.gold]
    wrong = [score for number, score in enumerate(sample.scores) if number not in sample.gold]
    return max(right) - max(wrong) if right and wrong else math.nan


def _is_right(task: str, sample: Sample) -> bool:
    if task.startswith("webqs"):
        return any((sample.is_exact_match or [])[index] for index in sample.gold)
    return sample.best in sample.gold


def _documents(file: SamplesFile, task: str) -> str:
    """Return what identifies a run's documents: the scored split's content, or the hub's name, and the order's seed."""
    data = file.data_of(task)
    scored = data.get("validation") or data.get("test") or data.get("hub")
    return f"{task.partition('_')[0]} {scored}" + ("" if file.seed == SEED else f" --seed {file.seed}")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How two runs differ over the documents that both have answered."""

    num_documents: int
    acc_a: float
    acc_b: float
    difference: float
    """Accuracy of B less that of A."""
    low: float
    """Lower end of the bootstrap's interval of the difference."""
    high: float
    only_a: int
    """Documents that A alone has right."""
    only_b: int
    p_value: float
    """Of McNemar's exact test: how often a difference as large would come about by chance."""


def compare(a: Samples, b: Samples) -> Comparison:
    """Compare two runs over the documents that both have answered.

    Raises:
        ConfigurationError: they have no document in common, or read other data.
    """
    if a.documents != b.documents:
        raise ConfigurationError(f"{a.path} and {b.path} are of other data ({a.documents}; {b.documents})")
    common = a.is_right.index.intersection(b.is_right.index)
    if common.empty:
        raise ConfigurationError(f"{a.path} and {b.path} have no document in common; compare runs of the same limit")
    return compare_answers(a.is_right.loc[common].to_numpy(), b.is_right.loc[common].to_numpy())


def compare_answers(a: Bool[ndarray, " document"], b: Bool[ndarray, " document"]) -> Comparison:
    """Compare the answers of two runs to the same documents, in the same order."""
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    low, high = paired_bootstrap(b.astype(np.float64) - a.astype(np.float64))
    return Comparison(
        num_documents=len(a),
        acc_a=float(a.mean()),
        acc_b=float(b.mean()),
        difference=float(b.mean() - a.mean()),
        low=low,
        high=high,
        only_a=only_a,
        only_b=only_b,
        p_value=mcnemar(only_a, only_b),
    )


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the two-sided p-value of McNemar's exact test.

    Args:
        only_a: documents that the first run alone has right.
        only_b: documents that the second alone has right.
    """
    from scipy.stats import binomtest  # noqa: PLC0415  (a second to import, for figures too, which compare nothing)

    disagreements = only_a + only_b
    return 1.0 if disagreements == 0 else float(binomtest(only_a, disagreements, 0.5).pvalue)


def paired_bootstrap(
    differences: Float[ndarray, " document"], *, resamples: int = _RESAMPLES, level: float = LEVEL, seed: int = _SEED
) -> tuple[float, float]:
    """Return the interval of a mean difference: percentiles of the means of documents drawn with repetition.

    A document's difference is -1, 0 or 1, so only how often each is drawn counts: one multinomial draw each time.

    Args:
        differences: of each document.
        resamples: how many.
        level: share of resamples inside the interval.
        seed: of the random numbers.
    """
    values, counts = np.unique(differences, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(differences), counts / len(differences), size=resamples)
    means = drawn @ values / len(differences)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def compare_many(
    pairs: Sequence[tuple[Samples, Samples]], *, correction: str = "holm", level: float = LEVEL
) -> pd.DataFrame:
    """Compare many pairs of runs, with p-values corrected for their number.

    Args:
        pairs: the runs A and B of each comparison.
        correction: `holm` or `benjamini-hochberg`.
        level: runs count as different where the corrected p-value is below 1 - level.

    Returns:
        A row a pair: the fields of `Comparison`, the files, `p_corrected` and `is_different`.

    Raises:
        ConfigurationError: an unknown correction, or runs that can't be compared.
    """
    if correction not in CORRECTIONS:
        raise ConfigurationError(f"unknown correction {correction!r}; choose from {', '.join(CORRECTIONS)}")
    rows = [{"path_a": str(a.path), "path_b": str(b.path), **vars(compare(a, b))} for a, b in pairs]
    columns = ["path_a", "path_b", *Comparison.__dataclass_fields__, "p_corrected", "is_different"]
    table = pd.DataFrame(rows, columns=columns)
    if rows:
        from statsmodels.stats.multitest import multipletests  # noqa: PLC0415  (as above)

        is_different, corrected, *_ = multipletests(table["p_value"], alpha=1 - level, method=CORRECTIONS[correction])
        table["p_corrected"], table["is_different"] = corrected, is_different
    return table
