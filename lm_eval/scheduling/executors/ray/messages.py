"""What a driver and the process that holds its Ray tell each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lm_eval.config.run_config import RunConfig
from lm_eval.config.runtime import Execution
from lm_eval.errors import RunError
from lm_eval.scheduling.executors.signs import Sign
from lm_eval.scheduling.units import UnitReport
from lm_eval.scoring.blocks import Block


class RayLostError(RunError):
    """Ray has died, or doesn't answer."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Call a function of `executors.ray.cluster`, and answer with what it returns."""

    function: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StartWorker:
    """Start a worker on a machine."""

    worker: str
    node: str
    """The machine's id."""
    resources: Mapping[str, float]
    execution: Execution
    threads: int
    folder: str | None
    """Where its log and its signs of life lie; None takes the machine's temporary folder."""


@dataclass(frozen=True, kw_only=True)
class RunUnit:
    """Let a worker compute runs that share a pass, or a piece of it."""

    worker: str
    configs: Sequence[RunConfig]
    blocks: Sequence[Block]


@dataclass(frozen=True, kw_only=True)
class EndWorker:
    """End a worker's process, also one that stands still, and remove its files once what it wrote isn't needed."""

    worker: str
    keeps_log: bool = False
    """Whether its log is still to be read, as it is computing."""


@dataclass(frozen=True, kw_only=True)
class Close:
    """Leave the cluster."""


@dataclass(frozen=True)
class Ready:
    """All is imported, and commands are read."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to an `Ask`."""

    value: Any = None
    error: Exception | None = None


@dataclass(frozen=True, kw_only=True)
class Reported:
    """A worker has computed its unit."""

    worker: str
    report: UnitReport


@dataclass(frozen=True, kw_only=True)
class Died:
    """A worker has died."""

    worker: str
    cause: str
    host: str | None
    log: str
    """The end of its log, as far as it wasn't read before."""


@dataclass(frozen=True, kw_only=True)
class Tick:
    """Ray answers, and what workers have shown."""

    nodes: frozenset[str]
    """The ids of the machines that are up."""
    signs: Mapping[str, Sign] = field(default_factory=dict)
    """The last sign of life of each worker that has shown one."""
    begun: frozenset[str] = frozenset()
    """The workers that have been started, whether they can show signs or not."""


Command = Ask | StartWorker | RunUnit | EndWorker | Close
Message = Ready | Answer | Reported | Died | Tick
