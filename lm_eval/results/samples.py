"""The scores of single documents in a result file (`--log_samples`), and their texts (`--log_texts`)."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from lm_eval.common.regular_files import read_regular
from lm_eval.common.typed_files import AS_STATED, Count, FileModel, Text, read_json_as
from lm_eval.config.run_config import SEED
from lm_eval.results.schema import Object

_Segments = list[list[Text]]
"""The samples of a context, each a list of segments."""


class Sample(FileModel):
    """What is known of a document."""

    doc_id: Annotated[int, Field(ge=0, lt=2**63)]
    scores: Annotated[list[float], Field(min_length=1)]
    """Of each choice."""
    gold: list[int]
    """Which choices are right."""
    is_exact_match: list[bool] | None = None
    choices: list[Text] | None = None
    context: _Segments | None = None
    contexts: list[_Segments] | None = None
    """In place of one context, where choices differ in theirs."""

    @model_validator(mode="after")
    def _check_choices(self) -> "Sample":
        number = len(self.scores)
        if not all(0 <= index < number for index in self.gold):
            raise ValueError(f"one whose right choices are among its {number} scores")
        for name in ("is_exact_match", "choices"):
            if (of_choices := getattr(self, name)) is not None and len(of_choices) != number:
                raise ValueError(f"one with as many {name} as scores")
        return self

    @property
    def best(self) -> int:
        """The choice with the best score, the first one of a tie."""
        return self.scores.index(max(self.scores))

    @property
    def query(self) -> str:
        """The last sample of its context as one text: the question, or all where the scheme joins examples."""
        context = self.context or (self.contexts or [[]])[0]
        return "".join(context[-1]) if context else ""


class _Identity(FileModel):
    data: Annotated[Object[Any] | None, AS_STATED] = None


class _Config(FileModel):
    seed: Count = SEED


class SamplesFile(FileModel):
    """The samples of a file, by task, and what identifies their data."""

    samples: Object[list[Sample]] = Field(default_factory=dict)
    identity: Annotated[Object[_Identity] | None, AS_STATED] = None
    config: Annotated[_Config | None, AS_STATED] = None

    @property
    def seed(self) -> int:
        """The seed of the order of documents, by which they are numbered."""
        return SEED if self.config is None else self.config.seed

    def data_of(self, task: str) -> Object[Any]:
        """Return what identifies the data of a task, as far as the file states it."""
        identity = (self.identity or {}).get(task)
        return {} if identity is None else identity.data or {}


def read_samples_of(path: Path) -> SamplesFile:
    """Read the samples of a result file.

    Raises:
        ValueError: they aren't of the form that they should have; the message is one sentence.
        OSError: the file cannot be read.
    """
    return read_json_as(SamplesFile, read_regular(path))
