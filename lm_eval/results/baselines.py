"""Which baseline belongs to which run, where ADD_BOS or what the model's family does anyway gives both their tokens."""

from lm_eval.results.identity import BaselineKey, StoredRun, baseline_key


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


def keys_of_baseline(stored: StoredRun) -> list[BaselineKey]:
    """Return the keys under which runs look for a baseline."""
    *others, add_bos = baseline_key(stored.config)
    return [(*others, value) for value in dict.fromkeys([_text(add_bos), meant_bos(stored)])]


def key_of_run(stored: StoredRun) -> BaselineKey:
    """Return the key of the baseline that belongs to a run."""
    *others, _ = baseline_key(stored.config)
    return (*others, meant_bos(stored))


def _text(add_bos: object) -> str | None:
    return None if add_bos is None else str(add_bos)
