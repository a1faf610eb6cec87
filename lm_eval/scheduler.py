"""Carrying out many runs: units of work, the worker that keeps a model loaded, the executor within this process.

An executor takes units (configurations that share a pass) and yields an outcome for every configuration, as soon as it
is known. It knows nothing of files; `lm_eval.ray_executor` is the parallel one.
"""

import traceback
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from lm_eval.config import RunConfig
from lm_eval.errors import ConfigurationError, RunError
from lm_eval.execution import Execution
from lm_eval.identity import pass_key

ModelKey = tuple[str, str | None, str | None]
Unit = list[RunConfig]
"""Configurations that share a pass."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended: with the content of its result file, or with the cause of its failure."""

    config: RunConfig
    result: dict[str, Any] | None = None
    error: str | None = None


@runtime_checkable
class Executor(Protocol):
    """Runs units of work."""

    def run(self, units: Sequence[Unit]) -> Iterator[Outcome]:
        """Yield the outcome of every configuration."""
        ...


def model_key(config: RunConfig) -> ModelKey:
    """Return what decides the loaded model of a configuration."""
    return config.pretrained, config.revision, config.dtype


def make_units(configs: Sequence[RunConfig]) -> list[Unit]:
    """Group configurations that share a pass, in the order of their first."""
    units: dict[object, Unit] = defaultdict(list)
    for config in configs:
        units[pass_key(config)].append(config)
    return list(units.values())


class Worker:
    """Keeps one model loaded and runs units of work on it."""

    def __init__(self, execution: Execution, num_threads: int | None) -> None:
        import torch  # noqa: PLC0415  (here it is loaded in the worker's process alone)

        if num_threads is not None:
            torch.set_num_threads(num_threads)
        self._execution = execution
        self._key: ModelKey | None = None
        self._model: Any = None
        self._load_error: str | None = None

    def run(self, unit: Unit) -> list[Outcome]:
        """Run a unit; what goes wrong is an outcome, never an exception."""
        if self._key != model_key(unit[0]):
            self._load(unit[0])
        if self._load_error is not None:
            return [Outcome(config=config, error=self._load_error) for config in unit]
        return self._run_together(unit)

    def _load(self, config: RunConfig) -> None:
        from lm_eval.evaluator import load_for  # noqa: PLC0415

        self._model, self._load_error, self._key = None, None, model_key(config)
        try:
            self._model = load_for(config, self._execution)
        except Exception as error:
            self._load_error = _cause(error)

    def _run_together(self, unit: Unit) -> list[Outcome]:
        from lm_eval.evaluator import evaluate_many, make_result  # noqa: PLC0415

        try:
            evaluations = evaluate_many(unit, self._model, self._execution, keep_documents=0)
        except (ConfigurationError, RunError) as error:  # of the documents, which all of them share
            return [Outcome(config=config, error=_cause(error)) for config in unit]
        except Exception as error:
            if len(unit) > 1:  # one of them may be to blame: each on its own
                return [outcome for config in unit for outcome in self._run_together([config])]
            return [Outcome(config=unit[0], error=_cause(error))]
        outcomes = []
        for evaluation in evaluations:
            try:
                result = make_result(evaluation, self._model, self._execution, log_samples=False)
                outcomes.append(Outcome(config=evaluation.config, result=result))
            except RunError as error:
                outcomes.append(Outcome(config=evaluation.config, error=_cause(error)))
        return outcomes


def _cause(error: Exception) -> str:
    """Return a message for what the user can mend, and a traceback for what is a bug."""
    if isinstance(error, (ConfigurationError, RunError)):
        return str(error)
    return "".join(traceback.format_exception(error)).strip()


@dataclass(frozen=True, kw_only=True)
class InProcessExecutor:
    """Runs one unit after the other in this process."""

    execution: Execution = field(default_factory=Execution)

    def run(self, units: Sequence[Unit]) -> Iterator[Outcome]:
        """Yield the outcome of every configuration."""
        worker = Worker(self.execution, None)
        for unit in units:
            yield from worker.run(unit)
