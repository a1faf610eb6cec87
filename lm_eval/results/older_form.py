"""The older form of result files, which states no identity, and what becomes of it in the one form (experiment §7).

Everything that is known of that form stands here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lm_eval.config.run_config import RunConfig
from lm_eval.models.info import is_local

CHANCE = {"hellaswag": 0.25}
"""Accuracy of guessing by dataset, for results that don't state it."""


def upgraded_identity(form: RunConfig, version: object = 0) -> dict[str, Any]:
    """Return what an older file states of its identity, in the form of the newer ones.

    What it doesn't state is None, or has no entry in `weights` and `data`. The model's name and the data's folder are
    no part of an identity, for they don't say what lay there; they stand in the configuration.

    Args:
        form: the one form of the configuration that the file states.
        version: of the task, as the file states it.
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
        "seed": None,
        "description": form.description,
        "encoding_scheme": form.encoding_scheme,
        "settings": form.vectors.stated(),
    }


def is_open_or_equal(stated: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an upgraded identity differs from another in nothing that it states."""
    return all(value in (None, wanted.get(key)) for key, value in stated.items() if key not in ("weights", "data"))


def has_same_origin(stated: RunConfig, wanted: RunConfig) -> bool:
    """Whether a file of the older form was computed with the wanted model and data, as far as it says.

    Args:
        stated: the file's configuration; what it doesn't state counts as equal.
        wanted: another.
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
