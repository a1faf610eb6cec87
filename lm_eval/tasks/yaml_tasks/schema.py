"""The keys of a task file: their types, and which are supported, ignored or refused."""

from collections.abc import Sequence
from typing import Any

from lm_eval.common.text import did_you_mean
from lm_eval.errors import ConfigurationError
from lm_eval.tasks.yaml_tasks.parser import Function, TaskFile

_TEXT: dict[type, str] = {str: "text"}
_SPLIT: dict[type, str] = {str: "a split's name", type(None): "null"}
_VALUE: dict[type, str] = {str: "a template or a field's name", int: "a number", list: "a list", Function: "!function"}
_FUNCTION: dict[type, str] = {Function: "!function"}

KEYS: dict[str, dict[type, str]] = {
    "task": {str: "the task's name"},
    "dataset_path": _TEXT,
    "dataset_name": {str: "text", type(None): "null"},
    "dataset_kwargs": {dict: "KEY: value lines", type(None): "null"},
    "training_split": _SPLIT,
    "validation_split": _SPLIT,
    "test_split": _SPLIT,
    "fewshot_split": _SPLIT,
    "process_docs": _FUNCTION,
    "doc_to_text": _VALUE,
    "doc_to_target": _VALUE,
    "doc_to_choice": {**_VALUE, dict: "KEY: value lines"},
    "target_delimiter": _TEXT,
    "fewshot_delimiter": _TEXT,
    "description": {str: "a template", Function: "!function"},
    "answer_hint": _TEXT,
    "fewshot_config": {dict: "KEY: value lines", type(None): "null"},
    "metric_list": {list: "a list"},
    "process_results": _FUNCTION,
    "gen_prefix": {str: "a template"},
    "output_type": _TEXT,
    "metadata": {dict: "KEY: value lines", type(None): "null"},
}
"""Supported keys. `answer_hint`, not an upstream key, is the end of `doc_to_text` that joins the answer's segment."""

WITHOUT_EFFECT = (
    "task_alias", "tag", "group", "group_alias", "aggregate_metric_list", "should_decontaminate",
    "doc_to_decontamination_query", "recipe",
)  # fmt: skip
"""Keys that are ignored: they change no score."""

LEFT_OUT = {
    "num_fewshot": "shots are what --num_fewshot says",
    "generation_kwargs": "no text is generated",
    "repeats": "every document is scored once",
}
"""Keys that are ignored with a note, and why that changes no score."""

NOT_SUPPORTED = (
    "filter_list", "use_prompt", "custom_dataset", "doc_to_image", "doc_to_audio", "class", "unsafe_code", "task_list",
)  # fmt: skip
"""Keys that are refused: scores without them would differ."""

_WOULD_DIFFER = "is not supported, and scores without it would differ; remove it or choose another task"
_WHY_NOT = {
    "class": "is not supported: the task is a Python class of the upstream harness, which makes its prompts and scores "
    "there; say its prompts as doc_to_text, doc_to_choice and doc_to_target",
    "custom_dataset": "is not supported: its function loads the rows; write them to files and give data_dir=",
}

FEWSHOT_KEYS = ("sampler", "split", "samples", "fewshot_delimiter")
UPSTREAM_FEWSHOT_KEYS = (
    "num_fewshot", "process_docs", "fewshot_indices", "doc_to_text", "doc_to_choice", "doc_to_target", "gen_prefix",
    "target_delimiter",
)  # fmt: skip
"""Keys that upstream supports and this program doesn't; they only rule out shots."""
SAMPLERS = ("default", "first_n")
OUTPUT_TYPES = ("multiple_choice", "loglikelihood")
_GENERATING = ("generate_until", "loglikelihood_rolling")


def check_keys(file: TaskFile) -> list[str]:
    """Check a task file's keys and return a note for each that is ignored.

    Raises:
        ConfigurationError: an unknown key, a value of the wrong type, or a key that is not supported.
    """
    known = (*KEYS, *WITHOUT_EFFECT, *LEFT_OUT, *NOT_SUPPORTED)
    if file.keys.get("output_type") in _GENERATING and "class" not in file.keys:
        choose_output_type(file)  # its error says more than that a key is not supported
    for key, value in file.keys.items():
        path = file.origins[key]
        if key not in known:
            raise ConfigurationError(f"{path}: unknown key {key!r}{did_you_mean(key, known)}; {_valid()}")
        if key in NOT_SUPPORTED and value not in (None, False):
            raise ConfigurationError(f"{path}: {key} {_WHY_NOT.get(key, _WOULD_DIFFER)}")
        if key in KEYS and type(value) not in KEYS[key] and not (value is None and key not in ("task", "dataset_path")):
            raise ConfigurationError(f"{path}: {key} must be {_either(KEYS[key].values())}, got {value!r:.80}")
    return [
        f"{file.origins[key]}: {key}: {value!r:.60} is left out: {LEFT_OUT[key]}"
        for key, value in file.keys.items()
        if key in LEFT_OUT and value not in (None, 0, 1)
    ]


def refuse_unknown(where: str, key: object, known: Sequence[str]) -> None:
    """Refuse an unknown key.

    Raises:
        ConfigurationError: the key is not a known one.
    """
    if key not in known:
        raise ConfigurationError(
            f"{where}: unknown key {key!r}{did_you_mean(str(key), known)}; choose from {', '.join(known)}"
        )


def _valid() -> str:
    return f"choose from include, {', '.join(tuple(KEYS))}"


def _either(kinds: Any) -> str:  # noqa: ANN401
    return " or ".join(dict.fromkeys(kinds))


def choose_output_type(file: TaskFile) -> str:
    """Return a task file's output type.

    Raises:
        ConfigurationError: it is not a supported one; a file without output_type means generate_until.
    """
    output_type = file.keys.get("output_type")
    if output_type not in OUTPUT_TYPES:
        path = file.origins.get("output_type", file.path)
        problem = "is missing, which means generate_until" if output_type is None else f"is {output_type!r}"
        raise ConfigurationError(
            f"{path}: output_type {problem}, which is not supported; only tasks of {', '.join(OUTPUT_TYPES)} are"
        )
    return str(output_type)
