"""The schema of result files, as typed models of the keys that are read (experiment §7).

Only keys that are used are checked: the scores of single documents and all other keys stay as they are.
"""

from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Field, PlainValidator

from lm_eval.common.typed_files import AS_STATED, FileModel, IntegerIfStated, Text, TextIfStated, read_as
from lm_eval.config.run_config import SEED, RunConfig

T = TypeVar("T")
Object = dict[Any, T]
"""A JSON object, with keys of any text."""


def _as_limit(value: object) -> str | int | None:
    if value is None or isinstance(value, str | int):
        return value
    raise ValueError("an integer N or START:END")


def _as_seed(value: object) -> int:
    if type(value) is int and value >= 0:
        return value
    raise ValueError("a non-negative integer")


class StatedConfig(FileModel):
    """The configuration, for all tasks of the file."""

    model: Text
    model_args: Text
    task_args: Text | None
    num_fewshot: int
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


class ResultFile(FileModel):
    """The entries of each task; each entry is checked separately."""

    results: Object[Any]
    versions: Object[Any] = Field(default_factory=dict)
    identity: Object[Any] = Field(default_factory=dict)
    run: Object[Any] = Field(default_factory=dict)


class _Metrics(FileModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | None]
    acc: float


def check_metrics(metrics: object, task: str) -> None:
    """Check that the metrics of a task are finite numbers; only a standard error may be None (a single document).

    Raises:
        ValueError: a metric is not; the message names it.
    """
    for name, value in (read_as(_Metrics, metrics, task).__pydantic_extra__ or {}).items():
        if value is None and not name.endswith("_stderr"):
            raise ValueError(f"{name} of {task} must be a finite number, got None")


class StatedIdentity(FileModel):
    """The identity of a configuration: only the keys whose form is checked."""

    weights: Object[Any]
    data: Object[Any]
    dtype: Text | None = None


class CodeVersion(FileModel):
    """The code that computed a result."""

    version: TextIfStated = None
    commit: TextIfStated = None
    changed: Annotated[bool | None, AS_STATED] = None


class RunRecord(FileModel):
    """How a result was computed, as far as the file states it; invalid values here don't invalidate the result."""

    code: Annotated[CodeVersion | None, AS_STATED] = None
    lm_eval: TextIfStated = None
    """The version of the code, in older files."""
    dtype: TextIfStated = None
    parameters: IntegerIfStated = None
    num_layers: IntegerIfStated = None
    """Blocks that a segment runs through."""
    num_documents: IntegerIfStated = None
    num_truncated_segments: IntegerIfStated = None
    vectors_per_context: Annotated[float | None, AS_STATED] = None
    tokens_per_vector: Annotated[float | None, AS_STATED] = None
    seconds: Annotated[float | None, AS_STATED] = None
    finished: TextIfStated = None
    host: TextIfStated = None


_Seconds = Annotated[float, Field(ge=0)]
_Count = Annotated[int, Field(gt=0)]


class PassTiming(FileModel):
    """The pass that some configurations shared."""

    num_configurations: _Count
    phases_s: Object[_Seconds]


class Timing(FileModel):
    """The time that a result took."""

    device: Text | None
    num_documents: _Count
    load_s: _Seconds
    parameters: Annotated[float, Field(ge=0)] | None = None
    shared: PassTiming = Field(alias="pass")
