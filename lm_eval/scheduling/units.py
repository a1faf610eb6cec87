"""What goes to a worker and comes back: work units, reports, outcomes, events; and claims of runs."""

import platform
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lm_eval.config.checkpoint import Checkpoint
from lm_eval.config.run_config import RunConfig
from lm_eval.results.failures import Failure
from lm_eval.results.identity import Run

ModelKey = tuple[str, str | None, str | None, Checkpoint]
"""What decides which model is loaded: name, revision, dtype, checkpoint options."""


def model_key(config: RunConfig) -> ModelKey:
    """Return the key of the model that a configuration needs."""
    return config.pretrained, config.revision, config.dtype, config.checkpoint


@dataclass(frozen=True, kw_only=True)
class WorkUnit:
    """Runs that share a pass, computed together by one worker."""

    runs: tuple[Run, ...]
    deaths: int = 0
    """How many workers have died computing it."""
    share: float | None = None
    """GPUs that it needs after it ran out of memory; None takes the share of its model."""

    @property
    def key(self) -> ModelKey:
        """The model that it needs."""
        return model_key(self.runs[0].config)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended: with a result, with a failure, or computed by another driver."""

    config: RunConfig
    result: dict[str, Any] | None = None
    """The content of its result file."""
    failure: Failure | None = None
    elsewhere: bool = False
    """Whether another driver has written its result."""


@dataclass(frozen=True, kw_only=True)
class UnitReport:
    """What a worker returns for a unit."""

    outcomes: list[Outcome]
    could_load: bool = True
    """Whether the model could be loaded; if not, no other unit of it needs to be tried."""
    seconds: float = 0.0
    """What the unit took, without the loading of its model."""
    log: str = ""
    """What the worker has written since the last report."""
    log_end: int = 0
    """Bytes that it has written in all."""
    host: str = field(default_factory=platform.node)


@dataclass(frozen=True, kw_only=True)
class Started:
    """A worker has started a unit."""

    unit: WorkUnit
    worker: str


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A worker has ended a unit, successfully or not; `log` is what it wrote meanwhile."""

    worker: str
    log: str


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Nothing has happened for a moment."""


Event = Started | Ended | Waiting | Outcome


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The answer to claiming runs: which this driver may compute, and what has become of the rest."""

    mine: tuple[Run, ...]
    done: tuple[Run, ...] = ()
    """Another driver has written their results."""
    held: tuple[Run, ...] = ()
    """Another driver computes them now."""
    failed: tuple[tuple[Run, Failure], ...] = ()
    """Another driver has computed them, and they failed."""


def claim_all(runs: Sequence[Run]) -> Claim:
    """Claim all runs, where no other driver works on the folder."""
    return Claim(mine=tuple(runs))


def make_units(runs: Sequence[Run]) -> list[WorkUnit]:
    """Group runs that share a pass into work units, in the order of their first runs."""
    units: dict[object, list[Run]] = defaultdict(list)
    for run in runs:
        units[run.pass_key].append(run)
    return [WorkUnit(runs=tuple(shared)) for shared in units.values()]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a driver is to carry out."""

    runs: Sequence[Run]
    num_done: int = 0
    """Runs whose results existed before."""
    replaced: frozenset[str] = frozenset()
    """Names of runs that have a result, which is to be replaced."""
    failure_files: Mapping[str, Path] = field(default_factory=dict)
    """Files that record earlier failures, by the run's name."""
