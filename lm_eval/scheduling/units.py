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
from lm_eval.results.pieces import Part
from lm_eval.scoring.blocks import Block

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
    blocks: tuple[Block, ...] = ()
    """Of a long pass, the blocks that are to be computed, as pieces of one or more; none: all documents at once."""
    num_documents: int = 0
    """Of the whole pass; 0 where that isn't known before it runs."""

    @property
    def key(self) -> ModelKey:
        """The model that it needs."""
        return model_key(self.runs[0].config)

    @property
    def size(self) -> int:
        """How many workers could have a share of it."""
        return max(1, len(self.blocks))

    @property
    def num_left(self) -> int:
        """The documents that are to be computed."""
        return sum(end - start for start, end in self.blocks) if self.blocks else self.num_documents


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
    """How its runs ended; of a piece, those that failed."""
    parts: Mapping[RunConfig, Part] = field(default_factory=dict)
    """Of a piece, what it holds of each run that didn't fail."""
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
class PieceDone:
    """A piece of a long pass has been computed, as far as its runs didn't fail."""

    unit: WorkUnit
    parts: Mapping[RunConfig, Part]


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Nothing has happened for a moment."""


Settled = Outcome | PieceDone
"""What the queue has decided."""
Event = Started | Ended | Waiting | Settled


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


@dataclass(frozen=True, kw_only=True)
class PieceClaim:
    """The answer to claiming some blocks of a long pass: what this driver may compute, and what has become of the rest.

    The blocks between those of `mine`, `held` and `rest` are done.
    """

    runs: tuple[Run, ...] = ()
    blocks: tuple[Block, ...] = ()
    """The blocks that this driver may compute now, in a row, and the runs that lack them."""
    held: tuple[Block, ...] = ()
    """Others compute these now."""
    rest: tuple[Block, ...] = ()
    """These weren't asked for yet."""
    done: tuple[Run, ...] = ()
    """Another driver has written their results."""
    failed: tuple[tuple[Run, Failure], ...] = ()
    """Another driver has computed them, and they failed."""


def claim_all_blocks(unit: WorkUnit, number: int) -> PieceClaim:
    """Claim the first blocks of a unit, where no other driver works on the folder."""
    return PieceClaim(runs=unit.runs, blocks=unit.blocks[:number], rest=unit.blocks[number:])


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
    log_samples: bool = False
    """Whether results state the scores of every document."""
    log_texts: bool = False
    """Whether results with the scores of every document state its texts too."""
    since: float | None = None
    """The moment, by the file system's clock, from which results and failures count as this order's; None takes the
    driver's start."""
