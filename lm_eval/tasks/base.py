"""The types of a task: `Example`, `Dataset`, `Task`, and checks on the fields of a row (experiment §2).

Knows nothing of encoding schemes, tokens or models.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from lm_eval.errors import DataError
from lm_eval.tasks.row_files import Rows

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
    contexts: tuple[str, ...] = ()
    """A question for each choice, in place of `question`, where choices differ in their context (WinoGrande)."""
    description: str = ""
    """The task's own words before the shots."""
    lengths: tuple[int, ...] = ()
    """Characters of each choice without its delimiter, for the standard form's `acc_norm`."""
    source: str = field(default="", compare=False)
    """File and line of the row, for messages; not part of the content."""
    row: Row | None = field(default=None, compare=False, repr=False)
    """The row itself, where the task's own functions score it."""

    def __post_init__(self) -> None:
        if not self.gold or not all(0 <= index < len(self.choices) for index in self.gold):
            raise DataError(
                f"{self.source}: the right choices {list(self.gold)} are not among {len(self.choices)} choices"
            )
        if self.contexts and len(self.contexts) != len(self.choices):
            raise DataError(f"{self.source}: {len(self.contexts)} contexts for {len(self.choices)} choices")

    def of_choice(self, index: int) -> "Example":
        """Return the example with one choice alone, and the question that belongs to it."""
        if not self.contexts:
            return self
        return replace(
            self, question=(self.contexts[index],), choices=(self.choices[index],), gold=(0,), contexts=(), lengths=()
        )


class LazyExamples:
    """The examples of a split, each made of its row when it is asked for, and kept."""

    def __init__(self, rows: Rows, read_row: Callable[[Row, str], Example]) -> None:
        self._rows = rows
        self._read_row = read_row
        self._known: dict[int, Example] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: int) -> Example:
        """Return the example at a place.

        Raises:
            DataError: it can't be read, or is invalid; the message names file and line.
        """
        index = range(len(self))[place]
        self.read_ahead([index])
        return self._known[index]

    def __iter__(self) -> Iterator[Example]:
        """Yield all examples; those that nobody asked for by their places aren't kept."""
        rows = self._rows.take(range(len(self)))
        return (self._known.get(index) or self._read_row(*row) for index, row in enumerate(rows))

    def read_ahead(self, places: Iterable[int]) -> None:
        """Read the examples at some places in one go.

        Raises:
            DataError: one can't be read, or is invalid; the message names file and line.
        """
        missing = sorted(set(places) - self._known.keys())
        self._known.update(zip(missing, (self._read_row(*row) for row in self._rows.take(missing)), strict=True))


Examples = tuple[Example, ...] | LazyExamples

ProcessRows = Callable[[list[Row], str], list[Row]]
ProcessResults = Callable[[Row, Sequence[tuple[float, bool]], str], Mapping[str, Any]]
"""Makes the values of metrics of a row, each choice's score with whether it is an exact match, and the row's source."""
Aggregate = Callable[[list[Any]], Any]
"""Makes one number of a metric's values for all documents."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnScoring:
    """What functions of a task's own make of the scores, in place of the usual."""

    process_results: ProcessResults | None = None
    made: tuple[str, ...] = ()
    """The metrics whose values it makes, by the names that it gives them."""
    aggregations: Mapping[str, Aggregate] = field(default_factory=dict)
    """For some of the task's metrics, by their names there."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset on the hub or in a folder, and how its rows become examples."""

    name: str
    """Folder name under `data_dir`."""
    hub_path: str
    """Name on the dataset hub."""
    hub_name: str | None = None
    """Its configuration on the hub, where it has several."""
    hub_arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Further arguments of `datasets.load_dataset`."""
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
    has_description: bool = False
    """Whether examples have a description."""
    process_rows: ProcessRows | None = None
    """Transforms the rows of a split, given with their source, before they become examples."""
    try_scoring: Callable[[Example], None] | None = None
    """Checks that the task's own functions can score an example; raises DataError where they can't."""
    shots_in_order: bool = False
    """Whether shots are the first rows rather than drawn."""
    own_shots: tuple[Example, ...] | None = None
    """Shots that the task brings itself, in place of a split's rows."""
    no_shots_because: str = ""
    """Why the dataset cannot have shots; empty where it can."""

    @property
    def hub_title(self) -> str:
        """The name on the hub, with the configuration's."""
        return self.hub_path if self.hub_name is None else f"{self.hub_path} {self.hub_name}"

    def examples(self, rows: Iterable[tuple[Row, str]]) -> tuple[Example, ...]:
        """Make an example of each row of a split; every row comes with its source.

        Raises:
            DataError: no example can be made of a row.
        """
        if self.process_rows is None:
            return tuple(self.read_row(row, source) for row, source in rows)
        sourced_rows = list(rows)
        file = sourced_rows[0][1].rpartition(",")[0] if sourced_rows else self.name
        processed = self.process_rows([row for row, _ in sourced_rows], file)
        sources = [source for _, source in sourced_rows]
        if len(processed) != len(sourced_rows):
            sources = [f"{file}, row {index} of what process_docs returned" for index in range(len(processed))]
        return tuple(self.read_row(row, source) for row, source in zip(processed, sources, strict=True))


@dataclass(frozen=True, kw_only=True)
class Task:
    """A dataset in one of three forms: ordinary scoring, similarity, or generation."""

    name: str
    dataset: Dataset
    form: Form
    metrics: tuple[str, ...]
    """Names from `lm_eval.scoring.metrics.METRICS`, in the order of the result."""
    version: int | float | str = 0
    definition: str | None = None
    """Fingerprint of the YAML file that defines the task; None for a task that is a Python module."""
    own: OwnScoring | None = field(default=None, compare=False)
    """Functions that the task brings for its metrics."""
    notes: tuple[str, ...] = ()
    """What the task file asks for that is ignored here, a line each."""


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
