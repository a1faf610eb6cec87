"""A task out of a task file: a question, its choices and the right ones, in each form that makes sense (SPEC §2).

Prompts and metrics of the standard form are those of EleutherAI's lm-evaluation-harness at 0 shots.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval.errors import ConfigurationError, DataError
from lm_eval.settings import choices_text
from lm_eval.tasks.base import Dataset, Example, ProcessRows, Row, Task
from lm_eval.tasks.keys import (
    FEWSHOT_KEYS,
    LEFT_OUT,
    SAMPLERS,
    WITHOUT_EFFECT,
    check_keys,
    choose_metrics,
    choose_output_type,
)
from lm_eval.tasks.templates import Value, as_index, as_list
from lm_eval.tasks.yaml_files import Function, TaskFile, plain

SUFFIXES = {"standard": "", "similarity": "_d", "generation": "_dg"}
"""What the name of a form ends in."""


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
    metrics, more = choose_metrics(file, output_type)
    has_choices = output_type == "multiple_choice"
    if has_choices and file.keys.get("doc_to_choice") is None:
        raise ConfigurationError(f"{file.path}: doc_to_choice is missing; output_type multiple_choice needs it")
    name = str(file.keys["task"])
    of_form = {
        "standard": metrics,
        "generation": ("acc", "rand_acc", "acc_norm", "em") if has_choices else metrics,
        **({"similarity": ("acc", "rand_acc")} if has_choices else {}),
    }
    dataset, definition = _make_dataset(file, has_choices=has_choices), _fingerprint(file)
    return {
        form: Task(
            name=name + SUFFIXES[form],
            dataset=dataset,
            form=form,  # type: ignore[arg-type]
            metrics=chosen,
            version=_version(file),
            tokens_jointly=form == "standard",
            definition=definition,
            notes=(*notes, *more),
        )
        for form, chosen in of_form.items()
    }


def _version(file: TaskFile) -> int | float | str:
    version = (file.keys.get("metadata") or {}).get("version", 0)
    return version if isinstance(version, (int, float, str)) else str(version)


_SAID_ELSEWHERE = ("task", "metadata", "dataset_path", "dataset_name", "dataset_kwargs")
"""What an identity states beside the definition: task, version and data."""


def _fingerprint(file: TaskFile) -> str:
    """Return what identifies a definition: all that decides a number, with the content of its functions' files."""
    deciding = {
        key: plain(value)
        for key, value in file.keys.items()
        if key not in (*WITHOUT_EFFECT, *LEFT_OUT, *_SAID_ELSEWHERE) and value is not None
    }
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


def _make_dataset(file: TaskFile, *, has_choices: bool) -> Dataset:
    keys = file.keys
    reader = _RowReader.of(file, has_choices=has_choices)
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

        datasets.disable_progress_bars()
        try:
            return list(process(datasets.Dataset.from_list([dict(row) for row in rows])))
        except Exception as error:  # whatever a user's function does
            raise DataError(
                f"{source}: process_docs of {path}: {type(error).__name__}: {error}; "
                f"correct {function.reference} or the rows"
            ) from error
        finally:
            datasets.enable_progress_bars()

    return run


@dataclass(frozen=True, kw_only=True, eq=False)
class _RowReader:
    """Makes an example of a row, as the keys `doc_to_text`, `doc_to_choice` and `doc_to_target` say."""

    text: Value
    choices: Value | None
    """None where the target alone is scored (output type loglikelihood)."""
    target: Value
    delimiter: str
    """Between question and choice."""
    description: Value | None
    hint: str
    """The end of the question that the answer shares a segment with."""

    @classmethod
    def of(cls, file: TaskFile, *, has_choices: bool) -> "_RowReader":
        def value(key: str) -> Value | None:
            written = file.keys.get(key)
            return None if written in (None, "") else Value.of(key, file.origins[key], written)

        text, target = value("doc_to_text") or Value.of("doc_to_text", file.path, ""), value("doc_to_target")
        if target is None:
            raise ConfigurationError(f"{file.path}: doc_to_target is empty; say which choice is right")
        delimiter = file.keys.get("target_delimiter")
        return cls(
            text=text,
            choices=value("doc_to_choice") if has_choices else None,
            target=target,
            delimiter=" " if delimiter is None else delimiter,
            description=value("description"),
            hint=file.keys.get("answer_hint") or "",
        )

    def __call__(self, row: Row, source: str) -> Example:
        """Make an example.

        Raises:
            DataError: the row lacks what a template wants, or a value breaks a rule; names row, file and key.
        """
        described = "" if self.description is None else self.description(row, source)
        if self.description is not None and not isinstance(described, str):
            raise self.description.wrong(source, "must give text", described)
        text, target = self.text(row, source), self.target(row, source)
        if self.choices is None:
            return self._continuation(text, target, described, source)
        choices = self._choices(row, source)
        position = as_index(text) if self.text.is_rendered(row) else text
        if isinstance(position, int) and _is_text_of_none(target, choices):
            return self._with_contexts(choices, position, target, described, source)
        return Example(
            question=self._question(text, source),
            choices=tuple(self.delimiter + choice for choice in choices),
            gold=self._gold(row, target, choices, source),
            description=described,
            lengths=tuple(map(len, choices)),
            source=source,
        )

    def _question(self, text: object, source: str) -> tuple[str, ...]:
        if not isinstance(text, str):
            raise self.text.wrong(source, "must give text", text)
        _check_whole(text, self.text, source)
        if self.hint and not text.endswith(self.hint):
            raise self.text.wrong(source, f"must end in answer_hint ({self.hint!r})", text[-40:])
        return (text.removesuffix(self.hint),)

    def _choices(self, row: Row, source: str) -> list[str]:
        value = self.choices
        assert value is not None  # noqa: S101  (asked for multiple choice alone)
        found = value(row, source)
        if value.is_rendered(row):
            found = as_list(found)
        if isinstance(found, Mapping):
            found = list(found.values())
        if not isinstance(found, Sequence) or isinstance(found, str) or not found:
            raise value.wrong(source, "must give a list of texts", found)
        for index, choice in enumerate(found):
            if not isinstance(choice, str) or not choice.strip():
                raise value.wrong(source, f"must give a list of texts, none of them empty: [{index}] is not", choice)
            _check_whole(choice, value, source)
        return list(found)

    def _gold(self, row: Row, target: object, choices: list[str], source: str) -> tuple[int, ...]:
        if self.target.is_rendered(row):
            target = as_list(as_index(target))
        indices = target if isinstance(target, list) else [target]
        if isinstance(target, str):
            if target not in choices:
                raise self.target.wrong(source, f"must be one of the choices {choices!r:.80} or an index", target)
            indices = [choices.index(target)]
        checked = [index for index in indices if isinstance(index, int) and 0 <= index < len(choices)]
        if len(checked) < len(indices):
            raise self.target.wrong(source, f"must be an index into {len(choices)} choices, from 0", target)
        if not indices:
            raise self.target.wrong(source, "must name at least one right choice", target)
        return tuple(dict.fromkeys(map(int, checked)))  # a label may be True or False

    def _with_contexts(
        self, contexts: list[str], position: int, target: object, described: str, source: str
    ) -> Example:
        """Make an example whose choices are contexts, before one common continuation."""
        if not isinstance(target, str) or not target.strip():
            raise self.target.wrong(
                source, "must be the text behind all choices, where doc_to_text is a number", target
            )
        if not 0 <= position < len(contexts):
            raise self.text.wrong(source, f"must be an index into {len(contexts)} choices, from 0", position)
        _check_whole(target, self.target, source)
        return Example(
            question=(),
            choices=(self.delimiter + target,) * len(contexts),
            gold=(position,),
            contexts=tuple(contexts),
            description=described,
            lengths=tuple(map(len, contexts)),
            source=source,
        )

    def _continuation(self, text: object, target: object, described: str, source: str) -> Example:
        """Make an example of one right answer, which stands as it is, without the delimiter."""
        if not isinstance(target, str) or not target.strip():
            raise self.target.wrong(source, "must give the text that is scored", target)
        _check_whole(target, self.target, source)
        question = self._question(text, source)
        return Example(question=question, choices=(target,), gold=(0,), description=described, source=source)


def _is_text_of_none(target: object, choices: list[str]) -> bool:
    """Whether a target is neither an index nor a choice: then it is what stands behind all of them."""
    return isinstance(target, str) and isinstance(as_index(target), str) and target not in choices


def _check_whole(text: str, value: Value, source: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise value.wrong(source, "holds half a character (a lone surrogate)", text)


@dataclass(frozen=True, kw_only=True)
class _Shots:
    """What a file says of shots."""

    split: str | None
    examples: tuple[Example, ...] | None
    in_order: bool
    delimiter: str
    refusal: str
    """Why there cannot be any; empty where there can."""

    @classmethod
    def of(cls, file: TaskFile, reader: _RowReader) -> "_Shots":
        chosen, path = file.keys.get("fewshot_config") or {}, file.origins.get("fewshot_config", file.path)
        others = [key for key, value in chosen.items() if key not in FEWSHOT_KEYS and value is not None]
        refusal = f"{path}: fewshot_config: {choices_text(others)} is not supported" if others else ""
        sampler = chosen.get("sampler", "default")
        if sampler not in SAMPLERS:
            shown = sampler.reference if isinstance(sampler, Function) else sampler
            refusal = f"{path}: fewshot_config: sampler {shown!r} is not supported; there are {choices_text(SAMPLERS)}"
        split = chosen.get("split")
        if split is not None and not isinstance(split, str):
            raise ConfigurationError(f"{path}: fewshot_config: split must be a split's name, got {split!r:.80}")
        delimiter = chosen.get("fewshot_delimiter", file.keys.get("fewshot_delimiter"))
        samples, examples = None if split or file.keys.get("fewshot_split") else chosen.get("samples"), None
        if samples is not None:
            try:
                examples = _own_shots(samples, path, reader)
            except ConfigurationError as error:  # without shots it does no harm
                refusal = str(error)
        return cls(
            split=split,
            examples=examples,
            in_order=sampler == "first_n",
            delimiter="\n\n" if delimiter is None else str(delimiter),
            refusal=refusal,
        )


def _own_shots(samples: Any, path: Path, reader: _RowReader) -> tuple[Example, ...]:  # noqa: ANN401
    where = f"{path}: fewshot_config: samples"
    if isinstance(samples, Function):
        make = samples.load("fewshot_config: samples")
        try:
            samples = make()
        except Exception as error:  # whatever a user's function does
            raise ConfigurationError(f"{where}: {type(error).__name__}: {error}; correct the function") from error
    if not isinstance(samples, list) or not all(isinstance(row, Mapping) for row in samples):
        raise ConfigurationError(f"{where} must be a list of rows, each KEY: value lines, got {samples!r:.80}")
    return tuple(reader(row, f"{where}[{index}]") for index, row in enumerate(samples))
