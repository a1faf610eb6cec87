"""What a task is: a dataset's rows read as examples, and the form in which they are scored (SPEC §2).

Knows nothing of encoding schemes, tokens or models.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lm_eval.errors import DataError

Row = Mapping[str, Any]
Form = Literal["standard", "similarity", "generation"]

FORM_OF_MODEL: dict[str, Form] = {"hf": "standard", "dist_sim": "similarity", "dist_gen": "generation"}


@dataclass(frozen=True, kw_only=True)
class Example:
    """One row of a dataset."""

    question: tuple[str, ...]
    """Question segments, in order."""
    choices: tuple[str, ...]
    """Candidate answers as they are scored, leading blank included."""
    gold: tuple[int, ...]
    """Indices of the right choices; a shot shows the first."""
    source: str = field(default="", compare=False)
    """Where the row stands (file and line), for messages; not part of the content."""

    def __post_init__(self) -> None:
        if not self.gold or not all(0 <= index < len(self.choices) for index in self.gold):
            raise DataError(
                f"{self.source}: the right choices {list(self.gold)} are not among {len(self.choices)} choices"
            )


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset on the hub or in a folder, and how its rows become examples."""

    name: str
    """Folder name under `data_dir`."""
    hub_path: str
    """Name on the dataset hub."""
    training_split: str | None
    """Split that shots are drawn from; None draws them from the evaluation split."""
    evaluation_split: str
    """Split whose documents are scored: test where there is one, else validation."""
    read_row: Callable[[Row, str], Example]
    """Makes an example of a row; raises DataError with the given source where it cannot."""
    answer_hint: str = ""
    """Text before the answer, such as `Answer:`."""
    hint_delimiter: str = ""
    """Joins question and hint."""
    shot_delimiter: str = "\n\n"
    """Joins samples where a scheme wants one text."""
    question_is_one_segment: bool = True
    """Whether the query alone, without shots, is one segment in `segment_each_example`."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A dataset in one of three forms: ordinary scoring, similarity, or generation."""

    name: str
    dataset: Dataset
    form: Form
    metrics: tuple[str, ...]
    """Names from `lm_eval.metrics.METRICS`, in the order of the result."""
    version: int = 0


def require(row: Row, key: str, kind: type, source: str) -> Any:  # noqa: ANN401
    """Return a field of a row.

    Raises:
        DataError: the field is missing or of another type.
    """
    if key not in row:
        raise DataError(f"{source}: field {key!r} is missing; the row has {', '.join(row) or 'no fields'}")
    if not isinstance(row[key], kind) or isinstance(row[key], bool):
        raise DataError(f"{source}: field {key!r} must be of type {kind.__name__}, got {row[key]!r:.80}")
    for text in row[key] if kind is list else [row[key]]:
        if isinstance(text, str) and any("\ud800" <= character <= "\udfff" for character in text):
            raise DataError(f"{source}: field {key!r} holds half a character (a lone surrogate): {text!r:.80}")
    return row[key]


def require_texts(row: Row, key: str, at_least: int, source: str) -> list[str]:
    """Return a field that holds a list of texts.

    Raises:
        DataError: the field is missing, not a list of strings, or too short.
    """
    texts: list[str] = require(row, key, list, source)
    if len(texts) < at_least or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{source}: field {key!r} must be a list of at least {at_least} strings, got {texts!r:.80}")
    return texts


def as_choices(texts: list[str], key: str, source: str) -> tuple[str, ...]:
    """Put the blank before each choice.

    Raises:
        DataError: a choice is empty, so no token of it could be scored.
    """
    for index, text in enumerate(texts):
        if not text.strip():
            raise DataError(
                f"{source}: {key}[{index}] is empty after cleaning; every choice needs text, correct or remove the row"
            )
    return tuple(" " + text for text in texts)
