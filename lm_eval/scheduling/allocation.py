"""How many workers a grid gets, and how many GPUs (by the size of the model) or CPU cores each takes.

Decided from models' configs and machines alone, before anything is loaded; the plan shows it, an executor follows it.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lm_eval.common.text import count_of, short_name
from lm_eval.config.run_config import RunConfig
from lm_eval.errors import ConfigurationError
from lm_eval.models.dtypes import avoids_float16, suitable_dtype
from lm_eval.models.families import Family
from lm_eval.scheduling.hardware import Machine
from lm_eval.scheduling.memory_need import memory_gib
from lm_eval.scheduling.placement import choose_share, larger_share
from lm_eval.scheduling.units import ModelKey, WorkUnit

_MAX_THREADS = 4
"""CPU cores of a worker without a GPU while there is work for all workers: small models gain little from more."""
_MANY_WORKERS = 8
"""Number of CPU workers beyond which further cores go to the workers instead of to more workers."""


def grid_dtype(family: Family, machines: Sequence[Machine]) -> str:
    """Return the default dtype for a model: the same on all machines, so that results are comparable."""
    capabilities = [gpu.capability for machine in machines for gpu in machine.gpus]
    return suitable_dtype(capabilities, overflows_in_float16=family.overflows_in_float16)


def dtype_notes(families: Mapping[str, Family], machines: Sequence[Machine]) -> list[str]:
    """Return a line that says which models get another default dtype than their GPUs would have it, if any do.

    Args:
        families: of the models, by their names.
        machines: those to run on.
    """
    gpus = [gpu for machine in machines for gpu in machine.gpus]
    capabilities = [gpu.capability for gpu in gpus]
    names = [
        short_name(name)
        for name, family in families.items()
        if avoids_float16(capabilities, overflows_in_float16=family.overflows_in_float16)
    ]
    if not names:
        return []
    older = dict.fromkeys(gpu.name for gpu in gpus if avoids_float16([gpu.capability], overflows_in_float16=True))
    line = (
        f"{', '.join(names)}: float32, for float16 overflows in such models, and GPUs before Ampere "
        f"({', '.join(older)}) have no bfloat16; --dtype asks for another"
    )
    return [line]


@dataclass(frozen=True, kw_only=True)
class Workforce:
    """The workers of a grid: how many, and what each takes."""

    machines: Sequence[Machine]
    num_workers: int
    """At most so many at a time."""
    threads: int
    """CPU threads of each."""
    shares: Mapping[ModelKey, float] = field(default_factory=dict)
    """GPUs of a worker, by its model; empty where no machine has a GPU."""
    needs_gib: Mapping[ModelKey, float] = field(default_factory=dict)
    """Memory of a worker, by its model, where the size is known."""
    is_forced: bool = False
    """Whether the user set the number of GPUs, so that a model's memory need is ignored."""
    sizes: Mapping[ModelKey, float] = field(default_factory=dict)
    """Parameters of each model whose size is known."""

    @property
    def has_gpus(self) -> bool:
        """Whether workers run on GPUs."""
        return bool(self.shares)

    def larger_share(self, unit: WorkUnit) -> float | None:
        """Return the GPUs to try for a unit that ran out of memory; None where there are no more."""
        if not self.has_gpus:
            return None
        return larger_share(unit.share or self.shares[unit.key], self.machines)

    def describe(self) -> str:
        """Return the workforce in a few words."""
        if not self.has_gpus:
            return f"{count_of(self.num_workers, 'worker')} of {count_of(self.threads, 'CPU thread')}"
        shares = sorted(set(self.shares.values()))
        return f"{count_of(self.num_workers, 'worker')} of {' or '.join(map(describe_share, shares))}"


def describe_share(share: float) -> str:
    """Return a number of GPUs in words."""
    return f"1/{round(1 / share)} GPU" if share < 1 else count_of(round(share), "GPU")


@dataclass(frozen=True, kw_only=True)
class _Need:
    """The work and memory need of a model."""

    num_units: int = 0
    num_pieces: int = 0
    """Of all units: as many workers could have a share of the work."""
    dtype: str
    size: float | None
    """Parameters; None where the config leaves them open."""
    gib: float | None
    """Memory of the model and its batches."""


def plan_workforce(
    units: Sequence[WorkUnit], sizes: Mapping[str, int | None], machines: Sequence[Machine], num_gpus: int | None
) -> Workforce:
    """Decide how many workers a grid gets and what each takes.

    Args:
        units: the work units, at least one.
        sizes: parameters of every model, by its name; None where they are not known.
        machines: those to run on.
        num_gpus: GPUs of each worker; None takes the fewest that hold its model.

    Raises:
        ConfigurationError: no machine has so many GPUs, or none holds a model.
    """
    on_gpu = any(machine.gpus for machine in machines)
    counts, pieces = Counter(unit.key for unit in units), Counter[ModelKey]()
    for unit in units:
        pieces[unit.key] += unit.size
    configs = {unit.key: unit.runs[0].config for unit in units}
    needs = {
        key: replace(
            _need(config, sizes.get(config.pretrained), on_gpu=on_gpu), num_units=counts[key], num_pieces=pieces[key]
        )
        for key, config in configs.items()
    }
    return _gpu_workforce(needs, machines, num_gpus) if on_gpu else _cpu_workforce(needs, machines)


def _need(config: RunConfig, size: int | None, *, on_gpu: bool) -> _Need:
    dtype = config.dtype or "float32"
    if size is None:
        return _Need(dtype=dtype, size=None, gib=None)
    gib = memory_gib(size, dtype, on_gpu=on_gpu, bits=config.checkpoint.bits)
    return _Need(dtype=dtype, size=float(size), gib=gib)


def _gpu_workforce(needs: Mapping[ModelKey, _Need], machines: Sequence[Machine], num_gpus: int | None) -> Workforce:
    shares = {
        key: choose_share(
            need.gib, machines, num_gpus=num_gpus, num_units=need.num_units, name=key[0], dtype=need.dtype
        )
        for key, need in needs.items()
    }
    total = sum(len(machine.gpus) for machine in machines)
    max_workers = max(math.floor(total / share + 1e-6) for share in shares.values())
    cores = sum(machine.num_cpus for machine in machines)
    num_pieces = sum(need.num_pieces for need in needs.values())
    return Workforce(
        machines=machines,
        num_workers=int(max(1, min(max_workers, num_pieces, _most_workers(machines)))),
        threads=max(1, min(_MAX_THREADS, cores // max(1, total))),
        shares=shares,
        is_forced=num_gpus is not None,
        **_known(needs),
    )


def _cpu_workforce(needs: Mapping[ModelKey, _Need], machines: Sequence[Machine]) -> Workforce:
    """Share CPU cores among workers, no more of them than the machines' memory holds the largest model."""
    most = max(machine.memory_gib for machine in machines)
    for key, need in needs.items():
        if (need.gib or 0.0) > most:
            raise ConfigurationError(
                f"{key[0]}: the model needs about {need.gib:.1f} GiB in {need.dtype}, the largest machine has "
                f"{most:.1f} GiB of memory and no GPU: choose a smaller model or dtype, or a machine with more"
            )
    num_units = sum(need.num_pieces for need in needs.values())
    largest = max(need.gib or 0.0 for need in needs.values())
    fitting = sum(math.floor(machine.memory_gib / largest) for machine in machines) if largest else num_units
    fitting = int(max(1, min(num_units, fitting, _most_workers(machines))))
    num_workers, threads = share_cpus([machine.num_cpus for machine in machines], fitting)
    return Workforce(machines=machines, num_workers=num_workers, threads=threads, **_known(needs))


def _most_workers(machines: Sequence[Machine]) -> float:
    return sum(math.inf if machine.max_workers is None else machine.max_workers for machine in machines)


def _known(needs: Mapping[ModelKey, _Need]) -> dict[str, Any]:
    """Return the sizes and memory needs that are known, as fields of a `Workforce`."""
    return {
        "needs_gib": {key: need.gib for key, need in needs.items() if need.gib is not None},
        "sizes": {key: need.size for key, need in needs.items() if need.size is not None},
    }


def share_cpus(cpus: Sequence[int], num_units: int) -> tuple[int, int]:
    """Return how many workers share CPU cores, and the threads of each: few units of work get more threads.

    Args:
        cpus: the cores of each machine.
        num_units: units of work to be done.
    """
    usual = max(1, min(_MAX_THREADS, sum(cpus) // _MANY_WORKERS))
    num_workers = max(1, min(num_units, sum(count // usual for count in cpus)))
    fitting = (t for t in range(1, max(cpus) + 1) if sum(count // t for count in cpus) >= num_workers)
    return num_workers, max(fitting, default=1)
