"""Tasks from a task file: its dataset, shots and metrics, in each form that it can be scored in (experiment §2).

Prompts and metrics of the standard form are those of EleutherAI's lm-evaluation-harness at 0 shots.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lm_eval.errors import ConfigurationError, DataError
from lm_eval.tasks.base import Dataset, Example, ProcessRows, Row, Task
from lm_eval.tasks.yaml_tasks.metric_list import Metrics, choose_metrics
from lm_eval.tasks.yaml_tasks.parser import Function, TaskFile, plain
from lm_eval.tasks.yaml_tasks.row_reader import RowReader
from lm_eval.tasks.yaml_tasks.schema import (
    FEWSHOT_KEYS,
    LEFT_OUT,
    SAMPLERS,
    UPSTREAM_FEWSHOT_KEYS,
    WITHOUT_EFFECT,
    check_keys,
    choose_output_type,
    refuse_unknown,
)

SUFFIXES = {"standard": "", "similarity": "_d", "generation": "_dg"}
"""Ending of a task's name, by form."""


def make_tasks(file: TaskFile) -> dict[str, Task]:
    """Return the tasks of a file by form: standard, generation and, where there are choices to compare, similarity.

    Raises:
        ConfigurationError: a key that is missing, unknown, wrong or not supported; names file and key.
    """
    notes = check_keys(file)
    for key in ("task", "dataset_path", "doc_to_text", "doc_to_target"):
        if file.keys.get(key) is None:
            raise ConfigurationError(f"{file.path}: {key} is missing; add a line {key}: …")
    output_type = choose_output_type(file)
    metrics = choose_metrics(file, output_type)
    has_choices = output_type == "multiple_choice"
    if has_choices and file.keys.get("doc_to_choice") is None:
        raise ConfigurationError(f"{file.path}: doc_to_choice is missing; output_type multiple_choice needs it")
    name = str(file.keys["task"])
    of_form = {
        "standard": metrics.names,
        "generation": ("acc", "rand_acc", "acc_norm", "em") if has_choices else metrics.names_without_own(output_type),
        **({"similarity": ("acc", "rand_acc")} if has_choices else {}),
    }
    dataset, definition = _make_dataset(file, metrics, has_choices=has_choices), _fingerprint(file)
    untried = dataset if dataset.try_scoring is None else replace(dataset, try_scoring=None)
    return {
        form: Task(
            name=name + SUFFIXES[form],
            dataset=dataset if form == "standard" else untried,
            form=form,  # type: ignore[arg-type]
            metrics=chosen,
            version=_version(file),
            definition=definition,
            own=metrics.own if form == "standard" else None,
            notes=(*notes, *metrics.notes, *_notes_of_form(file, form)),
        )
        for form, chosen in of_form.items()
    }


def _notes_of_form(file: TaskFile, form: str) -> list[str]:
    if form == "standard" or file.keys.get("process_results") is None:
        return []
    return [f"{file.origins['process_results']}: process_results is left out: only --model hf scores by it"]


def _version(file: TaskFile) -> int | float | str:
    version = (file.keys.get("metadata") or {}).get("version", 0)
    return version if isinstance(version, (int, float, str)) else str(version)


_IDENTIFIED_ELSEWHERE = ("task", "metadata", "dataset_path", "dataset_name", "dataset_kwargs")
"""Keys that an identity states apart from the definition: task, version and data."""


def _fingerprint(file: TaskFile) -> str:
    """Return the SHA-256 of all keys that affect a score, with the content of the files of their functions."""
    deciding = {
        key: plain(value)
        for key, value in file.keys.items()
        if key not in (*WITHOUT_EFFECT, *LEFT_OUT, *_IDENTIFIED_ELSEWHERE) and value is not None
    }
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


def _make_dataset(file: TaskFile, metrics: Metrics, *, has_choices: bool) -> Dataset:
    keys = file.keys
    process = None if metrics.own is None else metrics.own.process_results
    reader = RowReader.of(file, has_choices=has_choices, process=process)
    splits = {name: keys.get(f"{name}_split") for name in ("training", "validation", "test", "fewshot")}
    evaluation = splits["test"] or splits["validation"]
    if evaluation is None:
        raise ConfigurationError(f"{file.path}: neither test_split nor validation_split is there; add one of them")
    shots = _Shots.of(file, reader)
    pool = shots.split or splits["fewshot"] or splits["training"] or splits["validation"]
    arguments = dict(keys.get("dataset_kwargs") or {})
    arguments.pop("trust_remote_code", None)  # the datasets library runs no code of a dataset any more
    return Dataset(
        name=str(keys["task"]),
        hub_path=str(keys["dataset_path"]),
        hub_name=keys.get("dataset_name"),
        hub_arguments=arguments,
        training_split=None if pool == evaluation else pool,
        evaluation_split=evaluation,
        read_row=reader,
        try_scoring=None if process is None else reader.try_scoring,
        answer_hint=reader.hint,
        shot_delimiter=shots.delimiter,
        question_is_one_segment=not reader.hint,
        has_description=reader.description is not None,
        process_rows=_process_rows(file),
        shots_in_order=shots.in_order,
        own_shots=shots.examples,
        no_shots_because=shots.refusal,
    )


def _process_rows(file: TaskFile) -> ProcessRows | None:
    function = file.keys.get("process_docs")
    if function is None:
        return None
    process, path = function.load("process_docs"), file.origins["process_docs"]

    def run(rows: list[Row], source: str) -> list[Row]:
        import datasets  # noqa: PLC0415  (seconds to import, and only these tasks need it)

        was_quiet = datasets.are_progress_bars_disabled()
        datasets.disable_progress_bars()
        try:
            return list(process(datasets.Dataset.from_list([dict(row) for row in rows])))
        except Exception as error:  # whatever a user's function raises
            raise DataError(
                f"{source}: process_docs of {path}: {type(error).__name__}: {error}; "
                f"correct {function.reference} or the rows"
            ) from error
        finally:
            if not was_quiet:
                datasets.enable_progress_bars()

    return run


@dataclass(frozen=True, kw_only=True)
class _Shots:
    """The shots of a task, as its file defines them."""

    split: str | None
    examples: tuple[Example, ...] | None
    in_order: bool
    delimiter: str
    refusal: str
    """Why there cannot be shots; empty where there can."""

    @classmethod
    def of(cls, file: TaskFile, reader: RowReader) -> "_Shots":
        chosen, path = file.keys.get("fewshot_config") or {}, file.origins.get("fewshot_config", file.path)
        for key in chosen:
            refuse_unknown(f"{path}: fewshot_config", key, (*FEWSHOT_KEYS, *UPSTREAM_FEWSHOT_KEYS))
        unsupported = [key for key, value in chosen.items() if key not in FEWSHOT_KEYS and value is not None]
        refusal = f"{path}: fewshot_config: {', '.join(unsupported)} is not supported" if unsupported else ""
        sampler = chosen.get("sampler", "default")
        if sampler not in SAMPLERS:
            shown = sampler.reference if isinstance(sampler, Function) else sampler
            refusal = f"{path}: fewshot_config: sampler {shown!r} is not supported; there are {', '.join(SAMPLERS)}"
        split = chosen.get("split")
        if split is not None and not isinstance(split, str):
            raise ConfigurationError(f"{path}: fewshot_config: split must be a split's name, got {split!r:.80}")
        delimiter = chosen.get("fewshot_delimiter", file.keys.get("fewshot_delimiter"))
        if delimiter is not None and not isinstance(delimiter, str):
            raise ConfigurationError(f"{path}: fewshot_config: fewshot_delimiter must be text, got {delimiter!r:.80}")
        samples, examples = None if split or file.keys.get("fewshot_split") else chosen.get("samples"), None
        if samples is not None:
            try:
                examples = _own_shots(samples, path, reader)
            except ConfigurationError as error:  # it matters only where shots are asked for
                refusal = str(error)
        return cls(
            split=split,
            examples=examples,
            in_order=sampler == "first_n",
            delimiter="\n\n" if delimiter is None else str(delimiter),
            refusal=refusal,
        )


def _own_shots(samples: Any, path: Path, reader: RowReader) -> tuple[Example, ...]:  # noqa: ANN401
    where = f"{path}: fewshot_config: samples"
    if isinstance(samples, Function):
        make = samples.load("fewshot_config: samples")
        try:
            samples = make()
        except Exception as error:  # whatever a user's function raises
            raise ConfigurationError(f"{where}: {type(error).__name__}: {error}; correct the function") from error
    if not isinstance(samples, list) or not all(isinstance(row, Mapping) for row in samples):
        raise ConfigurationError(f"{where} must be a list of rows, each KEY: value lines, got {samples!r:.80}")
    return tuple(reader(row, f"{where}[{index}]") for index, row in enumerate(samples))
