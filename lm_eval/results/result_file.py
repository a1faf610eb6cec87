"""Result files: their names and content, merging and reading them (experiment §7).

The only module that knows how a result file is named; `lm_eval.results.folder` finds results by content alone.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lm_eval.common.json_files import read_json
from lm_eval.common.typed_files import read_as
from lm_eval.config.layer import LAST, Layer
from lm_eval.config.limit import Limit
from lm_eval.config.run_config import SEED, RunConfig
from lm_eval.results.identity import Identity, StoredRun, fingerprint
from lm_eval.results.older_form import CHANCE
from lm_eval.results.provenance import Code, describe_code
from lm_eval.results.schema import ConfigFile, ResultFile, RunRecord, StatedIdentity, Timing, check_metrics
from lm_eval.tasks.registry import dataset_name

Result = Mapping[str, Any]

FAILURE_ENDING = ".error.json"
"""Ending of a file that records a failed run; the rest of its name is that of the result file."""

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
    """Return the metrics that all given tasks have, as means over all their documents."""
    counts = {task: merged["run"][task]["num_documents"] for task in tasks}
    means = {}
    for name in merged["results"][tasks[0]]:
        values = [merged["results"][task].get(name) for task in tasks]
        if not name.endswith("_stderr") and None not in values:
            weighted = (value * count for value, count in zip(values, counts.values(), strict=True))
            means[name] = math.fsum(weighted) / sum(counts.values())
    return means


def replace_task(existing: Result, result: Result) -> Result:
    """Return a file's content with the result of one task replaced; the other tasks stay."""
    if len(existing["results"]) == 1:
        return result
    (task,) = result["results"]
    other_tasks = {
        key: {name: of for name, of in value.items() if name != task} if key in _BY_TASK else value
        for key, value in existing.items()
    }
    return merge_results([other_tasks, result])


_NAME_BYTES = 150
"""Longest readable part of a file name, in bytes; file systems allow 255 for the whole name."""


def result_name(config: RunConfig, identity: Identity) -> str:
    """Return the name of a configuration's result file: readable in front, unique by the end."""
    parts = (config.task, config.model_name, config.encoding_scheme or config.model, f"{config.num_fewshot}shot")
    readable = re.sub(r"[^\w.+-]", "-", "_".join(parts)).encode()[:_NAME_BYTES].decode(errors="ignore")
    return f"{readable}_{fingerprint(identity)[:16]}.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredResult(StoredRun):
    """The result of one task in a result file."""

    path: Path
    content: Result
    """The whole content of the file."""

    @property
    def metrics(self) -> Mapping[str, float | None]:
        """The metrics of the configuration's task and their standard errors."""
        metrics: Mapping[str, float | None] = self.content["results"][self.config.task]
        return metrics

    @property
    def chance(self) -> float | None:
        """The accuracy of guessing; None where the file doesn't state it and it isn't known for the dataset."""
        stated = self.metrics.get("rand_acc")
        return CHANCE.get(dataset_name(self.config)) if stated is None else stated

    @property
    def has_samples(self) -> bool:
        """Whether the file holds the scores of every document."""
        return isinstance(samples := self.content.get("samples"), dict) and self.config.task in samples

    @property
    def has_texts(self) -> bool:
        """Whether the file holds the texts of every document beside its scores."""
        return self.has_samples and all("choices" in sample for sample in self.content["samples"][self.config.task])

    @cached_property
    def record(self) -> RunRecord:
        """How the result was computed, as far as the file states it."""
        return read_as(RunRecord, self._run)

    @property
    def code(self) -> Code | None:
        """The version of the code that computed it; None where the file doesn't say."""
        if self.record.code is not None:
            return self.record.code.model_dump()
        return None if self.record.lm_eval is None else {"version": self.record.lm_eval}

    @property
    def code_in_words(self) -> str | None:
        """The version of the code that computed it, in a few characters; None where the file doesn't say."""
        return None if self.code is None else describe_code(self.code)

    @property
    def timing(self) -> Timing | None:
        """The time that it took; None where the file doesn't state it, or not in a usable form."""
        try:
            return read_as(Timing, self._run)
        except ValueError:
            return None

    @property
    def _run(self) -> Mapping[str, Any]:
        runs = self.content.get("run")
        run = runs.get(self.config.task) if isinstance(runs, dict) else None
        return run if isinstance(run, dict) else {}


def read_results(path: Path) -> list[StoredResult]:
    """Read a result file, of the older form too: one result for each of its tasks.

    Raises:
        ValueError: the file is not JSON, or not a result with finite metrics; the message says what is wrong.
        OSError: the file cannot be read.
    """
    content: Any = read_json(path)
    try:
        file = read_as(ResultFile, content)
        for task, metrics in file.results.items():
            check_metrics(metrics, task)
            if not isinstance(file.run.get(task, {}), dict):
                raise ValueError(f"run of {task} is not an object")
        config = read_as(ConfigFile, content).config
        identities = {task: _read_identity(file, task) if "identity" in content else None for task in file.results}
    except ValueError as error:
        raise ValueError(f"not a result file ({error})") from error
    if not identities:
        raise ValueError("not a result file (it names no task)")
    return [
        StoredResult(
            path=path,
            content=content,
            config=config.parse(task),
            stated_identity=identity,
            version=file.versions.get(task, 0),
        )
        for task, identity in identities.items()
    ]


def _read_identity(file: ResultFile, task: str) -> dict[str, Any]:
    """Return the identity in a result; where it leaves the dtype open, with the dtype that was used."""
    stated: Any = file.identity.get(task)
    dtype = read_as(StatedIdentity, stated, f"identity of {task}").dtype
    identity = {**stated, "dtype": file.run.get(task, {}).get("dtype") if dtype is None else dtype}
    if isinstance(settings := identity.get("settings"), dict):
        identity["settings"] = _with_plain_layers(settings)
    return identity


def _with_plain_layers(settings: dict[str, Any]) -> dict[str, Any]:
    """Return an identity's settings in today's spelling: layer indices normalised, the last layer left out."""
    layers = {
        key: str(Layer.parse(value, key))
        for key, value in settings.items()
        if key.endswith("ENCODING_LAYER") and isinstance(value, str)
    }
    last = str(LAST)
    rest = {key: value for key, value in {**settings, **layers}.items() if (key, value) != ("ENCODING_LAYER", last)}
    if "ENCODING_LAYER" not in rest and rest.get("OUT_ENCODING_LAYER") == last:
        del rest["OUT_ENCODING_LAYER"]
    return rest


def config_content(
    config: RunConfig, *, batch_size: int | str | None = None, device: str | None = None
) -> dict[str, Any]:
    """Return the `config` entry of a result file (experiment §7)."""
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
        **({} if config.seed == SEED else {"seed": config.seed}),
    }
