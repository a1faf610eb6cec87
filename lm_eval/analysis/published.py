"""The paper's published normalised scores, to be held against one's own (`data/published_scores.csv`)."""

from pathlib import Path

import numpy as np
import pandas as pd

from lm_eval.analysis.scores import is_main
from lm_eval.models.model_list import MODEL_LIST

PUBLISHED_SCORES = MODEL_LIST.with_name("published_scores.csv")
ROUNDING = 0.0015
"""How far a published score may be from the true one: three places, and baselines that are derived."""
_STANDARD_ERRORS = 2.0
_KEYS = ["task", "kind", "pretrained", "num_fewshot", "encoding_scheme"]


def read_published(path: Path = PUBLISHED_SCORES) -> pd.DataFrame:
    """Return the published scores: task, kind, pretrained, num_fewshot, encoding_scheme, normalised, source."""
    return pd.read_csv(path, comment="#")


def compare_with_published(scored: pd.DataFrame, architectures: dict[str, str]) -> pd.DataFrame:
    """Hold runs of the paper's main configurations against what it published.

    Args:
        scored: runs beside their baselines (`add_scores`).
        architectures: decoder-only or encoder-decoder, by `pretrained`; models that are left out count as decoder-only.

    Returns:
        A row a run that the paper has too: its normalised score and standard error, the published score, the
        difference, and whether that is within two standard errors and the rounding. A run of fewer documents than the
        paper's has a standard error that says so.
    """
    is_encoder_decoder = scored["pretrained"].map(architectures) == "encoder-decoder"
    chosen = np.zeros(len(scored), dtype=bool)
    for kind in ("dist_gen", "dist_sim"):
        chosen |= (is_main(scored, kind, "decoder-only") & ~is_encoder_decoder).to_numpy()
        chosen |= (is_main(scored, kind, "encoder-decoder") & is_encoder_decoder).to_numpy()
    columns = [*_KEYS, "model", "limit", "normalised", "normalised_stderr"]
    mine = scored.loc[chosen & scored["loading"].isna(), columns].dropna(subset=["normalised"])
    published = read_published().rename(columns={"normalised": "published"})
    table = mine.merge(published, on=_KEYS, how="inner")
    table["difference"] = table["normalised"] - table["published"]
    room = _STANDARD_ERRORS * table["normalised_stderr"].fillna(0.0) + ROUNDING
    table["agrees"] = table["difference"].abs() <= room
    return table.reset_index(drop=True)
