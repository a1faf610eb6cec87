"""What a run's command line needs that the table of runs doesn't hold: revision, adapters, where the data lies.

Runs of the same model, loading, dtype, task and data share it, so that one file of each such group is read.
"""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pandas as pd

from lm_eval.config.run_config import MODEL_KEYS, TASK_KEYS, RunConfig
from lm_eval.results.result_file import read_results

_GROUP = ["pretrained", "loading", "dtype", "task", "data"]
_IN_TABLE = ("pretrained", "dtype", "encoding_scheme")


def find_extras(table: pd.DataFrame) -> pd.DataFrame:
    """Return what `model_args` and `task_args` of each run hold beyond the table's columns, as `KEY=value,KEY=value`.

    Args:
        table: runs.

    Returns:
        Columns `model_args` and `task_args`, in the order of the runs; empty where a file cannot be read any more.
    """
    found: dict[tuple[Hashable, ...], tuple[str, str]] = {}
    extras = []
    for row in table[[*_GROUP, "path"]].astype("object").to_dict("records"):
        key = tuple(str(row[name]) for name in _GROUP)
        if key not in found:
            found[key] = _read_extras(Path(row["path"]), row["task"])
        extras.append(found[key])
    return pd.DataFrame(extras, columns=["model_args", "task_args"], index=table.index)


def _read_extras(path: Path, task: str) -> tuple[str, str]:
    try:
        configs = [stored.config for stored in read_results(path) if stored.config.task == task]
    except (OSError, ValueError):
        return "", ""
    return _extras_of(configs[0]) if configs else ("", "")


def _extras_of(config: RunConfig) -> tuple[str, str]:
    model = {**{key: getattr(config, key) for key in MODEL_KEYS}, **config.checkpoint.stated()}
    task = {key: getattr(config, key) for key in TASK_KEYS}
    return _join(model), _join(task)


def _join(values: dict[str, Any]) -> str:
    return ",".join(f"{key}={value}" for key, value in values.items() if value is not None and key not in _IN_TABLE)
