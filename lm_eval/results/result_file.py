"""Result files: their content and names, reading them, writing them whole or not at all (experiment §7).

The only module that knows what a result file is called; `lm_eval.results.folder` finds them, by what they hold alone.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval.config.run_config import Limit, RunConfig
from lm_eval.results.identity import Identity, Stated, fingerprint

Result = Mapping[str, Any]

FAILURE_ENDING = ".error.json"
"""Of the file that records a failed run, beside the results; the rest of its name is the result's."""

_BY_TASK = ("results", "versions", "identity", "run", "samples", "verification")
"""Keys of a result file under which each task has its own entry."""


def merge_results(results: Sequence[Result]) -> dict[str, Any]:
    """Join the results of several tasks of one call into one."""
    merged = dict(results[0])
    for key in _BY_TASK:
        if any(key in result for result in results):
            merged[key] = {task: value for result in results for task, value in result.get(key, {}).items()}
    descriptions = [result["config"]["description_dict"] for result in results]
    merged["config"] = {
        **merged["config"],
        "description_dict": {task: text for texts in descriptions for task, text in texts.items()},
    }
    return merged


def mean_of_tasks(merged: Result, tasks: Sequence[str]) -> dict[str, float]:
    """Return the metrics that all of some tasks have, as means over the documents of all of them."""
    counts = {task: merged["run"][task]["num_documents"] for task in tasks}
    means = {}
    for name in merged["results"][tasks[0]]:
        values = [merged["results"][task].get(name) for task in tasks]
        if not name.endswith("_stderr") and None not in values:
            weighted = (value * count for value, count in zip(values, counts.values(), strict=True))
            means[name] = math.fsum(weighted) / sum(counts.values())
    return means


def replace_task(existing: Result, result: Result) -> Result:
    """Return a file's content with one task's result exchanged; the other tasks of the file stay."""
    if len(existing["results"]) == 1:
        return result
    (task,) = result["results"]
    others = {
        key: {name: of for name, of in value.items() if name != task} if key in _BY_TASK else value
        for key, value in existing.items()
    }
    return merge_results([others, result])


_NAME_BYTES = 150
"""Of a file name's readable part; file systems take 255 in all."""


def result_name(config: RunConfig, identity: Identity) -> str:
    """Return the name of a configuration's result file: readable in front, unique by the end."""
    parts = (config.task, config.model_name, config.encoding_scheme or config.model, f"{config.num_fewshot}shot")
    readable = re.sub(r"[^\w.+-]", "-", "_".join(parts)).encode()[:_NAME_BYTES].decode(errors="ignore")
    return f"{readable}_{fingerprint(identity)[:16]}.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredResult(Stated):
    """A result file that could be read, and what it states of one of its tasks."""

    path: Path
    content: Result

    @property
    def metrics(self) -> Mapping[str, float | None]:
        """The metrics of the configuration's task and their standard errors."""
        metrics: Mapping[str, float | None] = self.content["results"][self.config.task]
        return metrics


def read_results(path: Path) -> list[StoredResult]:
    """Read a result file, of the older form too: one result for each of its tasks.

    Raises:
        ValueError: the file is not JSON, or not a result with finite metrics; the message says what is wrong.
        OSError: the file cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = [_read_task(path, content, task) for task in content["results"]]
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a result file ({type(error).__name__}: {error})") from error
    if not found:
        raise ValueError("not a result file (it names no task)")
    return found


def _read_task(path: Path, content: Result, task: str) -> StoredResult:
    metrics = content["results"][task]
    for name in ("acc", *metrics):
        is_unknown_error = metrics[name] is None and name.endswith("_stderr")  # of a single document
        if not is_unknown_error and not math.isfinite(metrics[name]):
            raise ValueError(f"{name} of {task} is {metrics[name]}")
    for key in ("versions", "run"):
        if not isinstance(content.get(key, {}), dict):
            raise ValueError(f"not a result file ({key} is no object)")
    if not isinstance(content.get("run", {}).get(task, {}), dict):
        raise ValueError(f"not a result file (run of {task} is no object)")
    identity = _read_identity(content, task) if "identity" in content else None
    version = content.get("versions", {}).get(task, 0)
    config = read_config(content, task)
    return StoredResult(path=path, content=content, config=config, identity=identity, version=version)


def _read_identity(content: Result, task: str) -> dict[str, Any]:
    """Return what a result states of its identity; where no dtype was asked for, the one that the hardware decided."""
    identity = dict(content["identity"][task].items())
    if identity.get("dtype") is None:
        identity["dtype"] = content.get("run", {}).get(task, {}).get("dtype")
    for key in ("weights", "data"):
        identity[key].items()
    if isinstance(settings := identity.get("settings"), dict):
        identity["settings"] = _without_last_layer(settings)
    return identity


def _without_last_layer(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of an identity as they are written now: the last layer isn't named any more."""
    rest = {key: value for key, value in settings.items() if (key, value) != ("ENCODING_LAYER", "-1")}
    if "ENCODING_LAYER" not in rest and rest.get("OUT_ENCODING_LAYER") == "-1":
        del rest["OUT_ENCODING_LAYER"]
    return rest


def config_content(config: RunConfig, *, batch_size: int | None = None, device: str | None = None) -> dict[str, Any]:
    """Return how a result file states a configuration (experiment §7)."""
    return {
        "model": config.model,
        "model_args": config.model_args(),
        "task_args": config.task_args(),
        "num_fewshot": config.num_fewshot,
        "batch_size": batch_size,
        "device": device,
        "no_cache": True,
        "limit": None if config.limit == Limit() else str(config.limit),
        "bootstrap_iters": 0,
        "description_dict": {config.task: config.description} if config.description else {},
    }


def read_config(content: Result, task: str) -> RunConfig:
    """Return the configuration that a result file states for a task."""
    stated = content["config"]
    return RunConfig.parse(
        model=stated["model"],
        model_args=stated["model_args"],
        task=task,
        task_args=stated["task_args"],
        num_fewshot=stated["num_fewshot"],
        limit=stated["limit"],
        description=(stated.get("description_dict") or {}).get(task, ""),
    )


CHANCE = {"hellaswag": 0.25}
"""Accuracy of guessing by dataset, for results of the older form, which don't state it."""
