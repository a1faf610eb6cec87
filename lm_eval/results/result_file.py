"""Result files: their names and content, merging and reading them (experiment §7).

The only module that knows how a result file is named; `lm_eval.results.folder` finds results by content alone.
"""

import functools
import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from lm_eval.common.json_files import parse_json
from lm_eval.common.regular_files import read_regular
from lm_eval.common.sharing import shared_object
from lm_eval.common.typed_files import read_json_as
from lm_eval.config.layer import LAST, Layer
from lm_eval.config.limit import Limit
from lm_eval.config.run_config import SEED, RunConfig
from lm_eval.results.identity import Identity, StoredRun, fingerprint
from lm_eval.results.older_form import CHANCE
from lm_eval.results.provenance import describe_code
from lm_eval.results.samples import read_samples_of
from lm_eval.results.schema import CodeVersion, ResultFile, RunRecord
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
    """The result of one task in a result file, as far as plans and tables need it."""

    folder: str
    file: str
    """The name of its file there."""
    metrics: Mapping[str, float | None]
    """The metrics of the configuration's task and their standard errors."""
    record: RunRecord
    """How it was computed, as far as the file states it."""
    has_samples: bool = False
    """Whether the file holds the scores of every document."""

    @property
    def path(self) -> Path:
        """Its file."""
        return Path(self.folder, self.file)

    @property
    def content(self) -> Result:
        """The whole content of the file, read now.

        Raises:
            ValueError: it is no result any more.
            OSError: it can't be read any more.
        """
        text = read_regular(self.path)
        _check(read_json_as(ResultFile, text))
        content: Any = parse_json(text)
        return content  # type: ignore[no-any-return]

    @property
    def accuracy(self) -> float:
        """The share of documents for which the right choice was found."""
        acc = self.metrics["acc"]
        assert acc is not None  # noqa: S101  (checked when it was read)
        return acc

    @property
    def chance(self) -> float | None:
        """The accuracy of guessing; None where the file doesn't state it and it isn't known for the dataset."""
        stated = self.metrics.get("rand_acc")
        return CHANCE.get(dataset_name(self.config)) if stated is None else stated

    @property
    def has_texts(self) -> bool:
        """Whether the file holds the texts of every document beside its scores; it is read again for them."""
        if not self.has_samples:
            return False
        try:
            samples = read_samples_of(self.path).samples.get(self.config.task, [])
        except (OSError, ValueError):
            return False
        return all(sample.choices is not None for sample in samples)

    @property
    def code(self) -> CodeVersion | None:
        """The version of the code that computed it; None where the file doesn't say."""
        if self.record.code is None and self.record.lm_eval is not None:
            return CodeVersion(version=self.record.lm_eval)
        return self.record.code

    @property
    def code_in_words(self) -> str | None:
        """The version of the code that computed it, in a few characters; None where the file doesn't say."""
        return None if self.code is None else _say_code(self.code)


@functools.lru_cache(maxsize=64)
def _say_code(code: CodeVersion) -> str:
    return describe_code(asdict(code))


def read_results(path: Path) -> list[StoredResult]:
    """Read a result file, of the older form too: one result for each of its tasks.

    Raises:
        ValueError: the file is not JSON, or not a result with finite metrics; the message says what is wrong.
        OSError: the file cannot be read, or is none.
    """
    text = read_regular(path)
    try:
        file = read_json_as(ResultFile, text)
        _check(file)
    except JSONDecodeError:
        raise
    except ValueError as error:
        raise ValueError(f"not a result file ({error})") from error
    folder, name = os.path.split(path)
    return [
        StoredResult(
            folder=sys.intern(folder),
            file=name,
            config=file.config.parse(task),
            stated_identity=None if file.is_older_form else _identity_of(file, task),
            version=file.versions.get(task, 0),
            metrics=metrics,
            record=file.run.get(task, RunRecord()),
            has_samples=task in file.tasks_with_samples,
        )
        for task, metrics in file.results.items()
    ]


def _check(file: ResultFile) -> None:
    if missing := [task for task in file.results if not file.is_older_form and task not in file.identity]:
        raise ValueError(f"identity of {missing[0]} is missing")
    if not file.results:
        raise ValueError("it names no task")


def _identity_of(file: ResultFile, task: str) -> dict[str, Any]:
    """Return the identity in a result; where it leaves the dtype open, with the dtype that was used."""
    stated = file.identity[task]
    if stated.get("dtype") is None:
        stated["dtype"] = file.run.get(task, RunRecord()).dtype
    for key in ("weights", "data"):
        stated[key] = shared_object(stated[key])
    if isinstance(settings := stated.get("settings"), dict):
        stated["settings"] = shared_object(settings, _with_plain_layers)
    return stated


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
