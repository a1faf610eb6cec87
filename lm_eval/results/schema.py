"""The schema of result files, as typed models of the keys that are read (experiment §7).

Only keys that are used are checked: the scores of single documents and all other keys stay as they are.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, PlainValidator, StrictBool

from lm_eval.common.sharing import shared
from lm_eval.common.typed_files import (
    AS_STATED,
    PART,
    Count,
    FileModel,
    IntegerIfStated,
    Number,
    NumberIfStated,
    Text,
    TextIfStated,
)
from lm_eval.config.run_config import SEED, RunConfig

T = TypeVar("T")
Object = dict[Any, T]
"""A JSON object, with keys of any text."""


def _as_limit(value: object) -> str | int | None:
    if value is None or isinstance(value, str | int):
        return value
    raise ValueError("an integer N or START:END")


def _as_seed(value: object) -> int:
    if type(value) is int and 0 <= value < 2**63:
        return value
    raise ValueError("an integer from 0 to 2**63 - 1")


class StatedConfig(FileModel):
    """The configuration, for all tasks of the file."""

    model: Text
    model_args: Text
    task_args: Text | None
    num_fewshot: Annotated[int, Field(ge=0, lt=2**31)]
    limit: Annotated[str | int | None, PlainValidator(_as_limit)]
    description_dict: Object[Text | None] | None = None
    seed: Annotated[int, PlainValidator(_as_seed)] = SEED

    def parse(self, task: str) -> RunConfig:
        """Return the configuration of a task.

        Raises:
            ConfigurationError: an unknown key or value, or settings that don't go together.
        """
        return RunConfig.parse(
            model=self.model,
            model_args=self.model_args,
            task=task,
            task_args=self.task_args,
            num_fewshot=self.num_fewshot,
            limit=self.limit,
            description=(self.description_dict or {}).get(task) or "",
            seed=self.seed,
        )


class ConfigFile(FileModel):
    """A file that states a configuration: a result, or the record of a failure."""

    config: StatedConfig


def _check_metrics(metrics: dict[str, float | None]) -> dict[str, float | None]:
    """Check that there is an accuracy, and that only a standard error is None (of a single document)."""
    if "acc" not in metrics:
        raise ValueError("an object with acc")
    for name, value in metrics.items():
        if value is None and not name.endswith("_stderr"):
            raise ValueError(f"an object whose {name} is a finite number")
    return metrics


Metrics = Annotated[Object[float | None], AfterValidator(_check_metrics)]
"""The metrics of a task, and their standard errors."""


def _check_identity(identity: Object[Any]) -> Object[Any]:
    """Check the form of what is asked for by its keys; all else may be anything."""
    for key in ("weights", "data"):
        if not isinstance(identity.get(key), dict):
            raise ValueError(f"an object whose {key} is an object")
    if not isinstance(identity.get("dtype"), str | None):
        raise ValueError("an object whose dtype is text")
    return identity


StatedIdentity = Annotated[Object[Any], AfterValidator(_check_identity)]
"""The identity of a configuration, whole: a key that nobody asks for decides too whether two are the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeVersion:
    """The code that computed a result."""

    __pydantic_config__: ClassVar[ConfigDict] = PART
    version: TextIfStated = None
    commit: TextIfStated = None
    changed: Annotated[StrictBool | None, AS_STATED] = None


_Seconds = Annotated[Number, Field(ge=0)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Phases:
    """Seconds of the phases of a pass."""

    __pydantic_config__: ClassVar[ConfigDict] = PART
    score: _Seconds
    encode: _Seconds = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PassTiming:
    """The pass that some configurations shared."""

    __pydantic_config__: ClassVar[ConfigDict] = PART
    num_configurations: Annotated[Count, Field(gt=0)]
    phases_s: Phases


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """How a result was computed, as far as the file states it; invalid values here don't invalidate the result."""

    __pydantic_config__: ClassVar[ConfigDict] = PART
    code: Annotated[CodeVersion | None, AS_STATED, AfterValidator(shared)] = None
    lm_eval: TextIfStated = None
    """The version of the code, in older files."""
    dtype: TextIfStated = None
    parameters: IntegerIfStated = None
    num_layers: IntegerIfStated = None
    """Blocks that a segment runs through."""
    num_documents: IntegerIfStated = None
    num_truncated_segments: IntegerIfStated = None
    vectors_per_context: NumberIfStated = None
    tokens_per_vector: NumberIfStated = None
    seconds: NumberIfStated = None
    finished: TextIfStated = None
    host: TextIfStated = None
    device: TextIfStated = None
    load_s: Annotated[_Seconds | None, AS_STATED] = None
    of_pass: Annotated[PassTiming | None, AS_STATED, AfterValidator(shared), Field(alias="pass")] = None


class _Sample(FileModel):
    """The scores of a document, which are read when they are needed."""


class ResultFile(FileModel):
    """The entries of each task, as far as they are used; of the scores of documents only whether they are there."""

    results: Object[Metrics]
    versions: Object[Any] = Field(default_factory=dict)
    identity: Object[StatedIdentity] = Field(default_factory=dict)
    run: Object[RunRecord] = Field(default_factory=dict)
    samples: Annotated[Object[list[_Sample]] | None, AS_STATED] = None
    config: StatedConfig

    @property
    def is_older_form(self) -> bool:
        """Whether it states no identity."""
        return "identity" not in self.model_fields_set

    @property
    def tasks_with_samples(self) -> frozenset[str]:
        """The tasks of which it holds the scores of every document."""
        return frozenset(self.samples or ())
