"""The worker: keeps one model loaded and computes work units with it. Knows nothing of files or queues."""

import platform
import time
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lm_eval.common import garbage
from lm_eval.config.run_config import RunConfig
from lm_eval.config.runtime import Execution
from lm_eval.errors import ConfigurationError, MemoryShortageError, RunError
from lm_eval.results.failures import Failure, Kind
from lm_eval.results.identity import Run
from lm_eval.results.pieces import Part
from lm_eval.results.provenance import code_digest
from lm_eval.scheduling.executors.signs import Signs
from lm_eval.scheduling.units import ModelKey, Outcome, UnitReport, model_key
from lm_eval.scoring.blocks import Block

if TYPE_CHECKING:
    from lm_eval.scoring.evaluation import Evaluation

_Part = tuple[RunConfig, Part]


class Worker:
    """Keeps one model loaded and computes work units with it."""

    def __init__(self, execution: Execution, num_threads: int | None, signs: Signs | None = None) -> None:
        with garbage.importing():
            import torch  # noqa: PLC0415  (loaded in the worker's process alone)

        if num_threads is not None:
            torch.set_num_threads(num_threads)
        if execution.gpu_share < 1 and torch.cuda.is_available():
            torch.cuda.set_per_process_memory_fraction(execution.gpu_share)
        self._execution, self._signs = execution, signs or Signs()
        code_digest()  # of the code as it was imported, whatever becomes of its files
        self._key: ModelKey | None = None
        self._model: Any = None
        self._load_failure: Failure | None = None

    def run(
        self, configs: Sequence[RunConfig], resolve: Callable[[RunConfig], Run], blocks: Sequence[Block] = ()
    ) -> UnitReport:
        """Run configurations that share a pass; an error becomes an outcome, never an exception.

        Args:
            configs: the configurations.
            resolve: returns the run of each: known already, or resolved by this process.
            blocks: of a piece of a long pass, the documents; none for a whole pass.
        """
        if self._key != model_key(configs[0]):
            self._load(configs[0])
        failure = self._load_failure
        if failure is not None:
            outcomes = [Outcome(config=config, failure=failure) for config in configs]
            return UnitReport(outcomes=outcomes, could_load=failure.kind == "memory")
        self._signs.preparing()
        began = time.monotonic()
        try:
            runs = [resolve(config) for config in configs]
        except Exception as error:
            return UnitReport(outcomes=[Outcome(config=config, failure=_failure(error)) for config in configs])
        made = self._run_together(runs, blocks)
        return UnitReport(
            outcomes=[one for one in made if isinstance(one, Outcome)],
            parts=dict(one for one in made if not isinstance(one, Outcome)),
            seconds=time.monotonic() - began,
        )

    def _load(self, config: RunConfig) -> None:
        self._signs.loading()
        with garbage.importing():
            from lm_eval.inference.loading import load_for  # noqa: PLC0415

        self._model, self._load_failure, self._key = None, None, model_key(config)
        try:
            self._model = load_for(config, self._execution)
        except Exception as error:
            self._load_failure = _failure(error, "load")

    def _run_together(self, runs: list[Run], blocks: Sequence[Block]) -> "list[Outcome | _Part]":
        from lm_eval.scoring.run_pass import evaluate_many  # noqa: PLC0415

        keep = None if self._execution.log_samples or blocks else 0
        try:
            evaluations = evaluate_many(
                runs,
                self._model,
                self._execution,
                keep_documents=keep,
                blocks=blocks,
                progress=self._signs.progress(),
            )
        except (ConfigurationError, RunError) as error:  # of the documents, which all runs share, or of the memory
            return [Outcome(config=run.config, failure=_failure(error)) for run in runs]
        except Exception as error:
            if len(runs) > 1:  # one of them may be the cause: search for it by halves
                middle = len(runs) // 2
                return self._run_together(runs[:middle], blocks) + self._run_together(runs[middle:], blocks)
            return [Outcome(config=runs[0].config, failure=_failure(error))]
        made: list[Outcome | _Part] = []
        for evaluation in evaluations:
            try:
                made.append(self._make(evaluation, blocks))
            except Exception as error:  # this run's scores are at fault
                made.append(Outcome(config=evaluation.run.config, failure=_failure(error)))
        return made

    def _make(self, evaluation: "Evaluation", blocks: Sequence[Block]) -> "Outcome | _Part":
        """Return a run's result, or its part of a piece."""
        from lm_eval.scoring.evaluation import make_part, make_result  # noqa: PLC0415

        config = evaluation.run.config
        if blocks:
            return config, make_part(evaluation, self._model, self._execution, (blocks[0][0], blocks[-1][1]))
        return Outcome(config=config, result=make_result(evaluation, self._model, self._execution))


def _failure(error: Exception, kind: Kind = "run") -> Failure:
    """Return a failure: with a message alone where the user can fix the cause, with a traceback for a bug."""
    import torch  # noqa: PLC0415

    if isinstance(error, (MemoryShortageError, torch.OutOfMemoryError)):
        return Failure(message=str(error), kind="memory", host=platform.node())
    if isinstance(error, (ConfigurationError, RunError)):
        return Failure(message=str(error), kind=kind, host=platform.node())
    trace = "".join(traceback.format_exception(error)).strip()
    return Failure(message=f"{type(error).__name__}: {error}", kind=kind, traceback=trace, host=platform.node())
