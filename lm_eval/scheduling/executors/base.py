"""What every executor can do."""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from lm_eval.scheduling.allocation import Workforce
from lm_eval.scheduling.hardware import Machine
from lm_eval.scheduling.queue import WorkQueue
from lm_eval.scheduling.units import Event


@runtime_checkable
class Executor(Protocol):
    """Runs units of work."""

    def machines(self) -> list[Machine]:
        """Return the machines that it runs on."""
        ...

    def check_paths(self, paths: Sequence[str]) -> None:
        """See that every machine has these folders and files.

        Raises:
            ConfigurationError: some are missing somewhere.
        """
        ...

    def run(self, queue: WorkQueue, workforce: "Workforce") -> Iterator[Event]:
        """Yield the outcome of every configuration, and what workers do meanwhile."""
        ...

    def close(self) -> None:
        """Let go of the machines."""
        ...
