"""What goes to a worker and what comes back: units of work, outcomes, events, claims."""

import platform
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lm_eval.config.checkpoint import Checkpoint
from lm_eval.config.run_config import RunConfig
from lm_eval.results.failures import Failure
from lm_eval.results.identity import Run

ModelKey = tuple[str, str | None, str | None, Checkpoint]
"""What decides the loaded model: name, revision, dtype, what else is loaded."""


def model_key(config: RunConfig) -> ModelKey:
    """Return what decides the loaded model of a configuration."""
    return config.pretrained, config.revision, config.dtype, config.checkpoint


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Runs that share a pass, on their way to a worker."""

    runs: tuple[Run, ...]
    deaths: int = 0
    """Workers that have died over it."""
    share: float | None = None
    """GPUs that it asks for after a lack of memory; None takes what its model is given."""

    @property
    def key(self) -> ModelKey:
        """The model that it needs."""
        return model_key(self.runs[0].config)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended: with the content of its result file, with a failure, or with a result of another driver's."""

    config: RunConfig
    result: dict[str, Any] | None = None
    failure: Failure | None = None
    elsewhere: bool = False
    """Whether another driver has written its result meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a worker hands back for a unit."""

    outcomes: list[Outcome]
    could_load: bool = True
    """Whether the model could be loaded; else no other unit of it needs to be tried."""
    log: str = ""
    """What the worker has written since the last report."""
    log_end: int = 0
    """Bytes that it has written in all."""
    host: str = field(default_factory=platform.node)


@dataclass(frozen=True, kw_only=True)
class Started:
    """A worker has begun with a unit."""

    unit: Unit
    worker: str


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A worker is done with a unit, in whatever way; `log` is what it wrote meanwhile."""

    worker: str
    log: str


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Nothing has happened for a moment."""


Event = Started | Ended | Waiting | Outcome


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What comes of asking for runs."""

    mine: tuple[Run, ...]
    done: tuple[Run, ...] = ()
    """Another driver has written their results."""
    held: tuple[Run, ...] = ()
    """Another driver computes them now."""
    failed: tuple[tuple[Run, Failure], ...] = ()
    """Another driver has computed them in vain."""


def claim_all(runs: Sequence[Run]) -> Claim:
    """Claim without asking: nobody else is there."""
    return Claim(mine=tuple(runs))


def make_units(runs: Sequence[Run]) -> list[Unit]:
    """Group runs that share a pass, in the order of their first."""
    units: dict[object, list[Run]] = defaultdict(list)
    for run in runs:
        units[run.pass_key].append(run)
    return [Unit(runs=tuple(together)) for together in units.values()]
