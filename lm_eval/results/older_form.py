"""Reading result files of the older form, which state no identity (experiment §7).

All knowledge of that form is here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lm_eval.config.run_config import RunConfig
from lm_eval.models.info import is_local

CHANCE = {"hellaswag": 0.25}
"""Accuracy of guessing by dataset, for results that don't state it."""


def upgraded_identity(form: RunConfig, version: object = 0) -> dict[str, Any]:
    """Return the identity of an older file in the newer form.

    What the file doesn't state is None, or has no entry in `weights` and `data`. The model's name and the data folder
    are no part of an identity, as their content may have changed; they are in the configuration.

    Args:
        form: the canonical form of the configuration in the file.
        version: the version of the task in the file.
    """
    return {
        "task_definition": None,
        "model": form.model,
        "weights": {} if form.revision is None else {"revision": form.revision},
        "dtype": form.dtype,
        "task": form.task,
        "task_version": version,
        "data": {},
        "num_fewshot": form.num_fewshot,
        "limit": str(form.limit),
        "seed": form.seed,
        "description": form.description,
        "encoding_scheme": form.encoding_scheme,
        "settings": dict(form.vectors.stated()),
    }


_OPEN = ("task_definition", "dtype")
"""What an older file may leave open, beside the content of model and data."""
_SINCE = ("front_tokens", "dummy_prefix", "dropped_behind", "text_borders")
"""What identities state of the borders of texts: an older file's texts had no such rules (experiment §9)."""


def is_open_or_equal(stated: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an upgraded identity equals another in everything that it states, and no later rule changed numbers."""
    return not any(key in wanted for key in _SINCE) and all(
        value == wanted.get(key) or (value is None and key in _OPEN)
        for key, value in stated.items()
        if key not in ("weights", "data")
    )


def has_same_origin(stated: RunConfig, wanted: RunConfig) -> bool:
    """Whether a file of the older form has the same model and data as a configuration, as far as it states them.

    Args:
        stated: the configuration in the file; what it doesn't state counts as equal.
        wanted: the configuration to compare with.
    """
    if stated.checkpoint != wanted.checkpoint or stated.revision not in (None, wanted.revision):
        return False
    if stated.data_dir is not None and (
        wanted.data_dir is None or _resolved(stated.data_dir) != _resolved(wanted.data_dir)
    ):
        return False
    if stated.pretrained == wanted.pretrained:
        return True
    if not is_local(wanted.pretrained):
        return False
    bare_name = "/" not in stated.pretrained and stated.pretrained == _resolved(wanted.pretrained).name
    return bare_name or _resolved(stated.pretrained) == _resolved(wanted.pretrained)


def _resolved(path: str) -> Path:
    return Path(path).expanduser().resolve()
