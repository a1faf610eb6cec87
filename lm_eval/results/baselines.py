"""Which baseline belongs to which run, where ADD_BOS or what the model's family does anyway gives both their tokens."""

from collections.abc import Mapping
from typing import NamedTuple

from lm_eval.results.identity import BaselineKey, StoredRun, baseline_key

CLEAR = 2.0
"""Standard errors of their difference by which a baseline must lie above chance to be a scale (experiment §8)."""
_ANY = "any dtype"


class Baseline(NamedTuple):
    """What scores are held against."""

    acc: float
    error: float
    """Its standard error; 0 where it isn't known."""


def meant_bos(stored: StoredRun) -> str | None:
    """Return the value of ADD_BOS that gives a run its tokens in front, stated or not; None where that is open."""
    stated, config = stored.config.vectors.add_bos, stored.config
    if stated is not None:
        return str(stated)
    if config.model == "hf" or "text_borders" in stored.identity:
        return None
    if stored.identity.get("front_tokens"):
        return str(True)
    return str(False) if config.model == "dist_gen" and config.vectors.decoding_scheme is None else None


def dtype_of(stored: StoredRun) -> str | None:
    """Return the dtype of the weights that were loaded; None where a result doesn't state it."""
    stated = stored.identity.get("dtype")
    return stated if stated and isinstance(stated, str) else stored.config.dtype


def keys_of_baseline(stored: StoredRun) -> list[BaselineKey]:
    """Return the keys under which runs look for a baseline; one is that of runs that state no dtype."""
    *others, add_bos = baseline_key(stored.config)
    meant = dict.fromkeys([_text(add_bos), meant_bos(stored)])
    return [(*others, value, dtype) for value in meant for dtype in (dtype_of(stored), _ANY)]


def baseline_of(stored: StoredRun, baselines: Mapping[BaselineKey, Baseline]) -> Baseline | None:
    """Return the baseline that belongs to a run: of its dtype, or of one that isn't known where one of them is not."""
    *others, _ = baseline_key(stored.config)
    dtype = dtype_of(stored)
    same, open_ = (baselines.get((*others, meant_bos(stored), of)) for of in (dtype, None if dtype else _ANY))
    return open_ if same is None else same


def _text(add_bos: object) -> str | None:
    return None if add_bos is None else str(add_bos)
