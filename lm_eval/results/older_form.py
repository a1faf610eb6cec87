"""The older form of result files, which states no identity, and what becomes of it in the one form (experiment §7).

Everything that is known of that form stands here.
"""

from typing import Any

from lm_eval.config.run_config import RunConfig

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
        "settings": {key: value for key, value in form.vectors.public().items() if value is not None},
    }
