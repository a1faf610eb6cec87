"""The interface of executors; `executors.choose` is where `--cluster` chooses among them."""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from lm_eval.errors import RunError
from lm_eval.scheduling.allocation import Workforce
from lm_eval.scheduling.hardware import Machine
from lm_eval.scheduling.queue import WorkQueue
from lm_eval.scheduling.units import Event


class ExecutorLostError(RunError):
    """What computes has been lost, or doesn't answer; what was finished is in the results folder."""


@runtime_checkable
class Executor(Protocol):
    """Computes the work units of a queue."""

    def machines(self) -> list[Machine]:
        """Return the machines to run on."""
        ...

    def check_paths(self, paths: Sequence[str]) -> None:
        """Check that every machine has these folders and files.

        Raises:
            ConfigurationError: a machine lacks some of them.
        """
        ...

    def run(self, queue: WorkQueue, workforce: "Workforce") -> Iterator[Event]:
        """Compute all work units; yield the outcome of every configuration, and events of the workers."""
        ...

    def close(self) -> None:
        """Release the machines."""
        ...
