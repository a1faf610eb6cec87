"""Describing how the closest stored result differs from a run, for the plan."""

from collections.abc import Mapping
from typing import Any

from lm_eval.results.identity import Run
from lm_eval.results.result_file import StoredResult

_SHOWN = 12
"""Characters of a fingerprint that are shown."""


OUTDATED = "outdated"
"""First word of the description of an outdated result."""


def describe_nearest(nearest: tuple[StoredResult, Mapping[str, str]] | None) -> str:
    """Describe the stored result that is closest to a run, and how it differs; "" where there is none."""
    if nearest is None:
        return ""
    stored, difference = nearest
    differences = ", ".join(f"{key}: {values}" for key, values in difference.items())
    if difference.keys() <= {"limit", "dtype", "seed"}:  # such a result is still valid
        return f"a result exists that differs in {differences}"
    return f"{OUTDATED}, differs in {differences} ({stored.path.name})"


def find_difference(stored: StoredResult, run: Run) -> dict[str, str]:
    """Return the differences between a result and a run of the same settings, in words, by name."""
    pairs: dict[str, tuple[object, object]] = {
        "limit": (stored.config.limit, run.config.limit),
        "seed": (stored.config.seed, run.config.seed),
        "version of the task": (stored.version, run.task.version),
    }
    if stored.is_older_form:
        for key in ("pretrained", "revision", "dtype", "data_dir"):
            if getattr(stored.config, key) is not None:
                pairs[key] = getattr(stored.config, key), getattr(run.config, key)
    else:
        pairs["dtype"] = stored.identity.get("dtype"), run.identity["dtype"]
        pairs.update(_pair_contents("data", stored.identity.get("data"), run.identity["data"]))
        pairs.update(_pair_contents("model", stored.identity.get("weights"), run.identity["weights"]))
    return {key: f"{there} there, {here} here" for key, (there, here) in pairs.items() if there != here}


def _pair_contents(what: str, there: object, here: Mapping[str, Any]) -> dict[str, tuple[object, object]]:
    stated = there if isinstance(there, Mapping) else {}
    return {f"{what} ({key})": (_short(stated.get(key)), _short(here.get(key))) for key in sorted({*stated, *here})}


def _short(value: object) -> object:
    is_hash = isinstance(value, str) and len(value) >= 40 and all(letter in "0123456789abcdef" for letter in value)
    return str(value)[:_SHOWN] if is_hash else value
