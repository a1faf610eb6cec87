"""How many workers carry a grid out, and what each takes: GPUs by the size of its model, or CPU cores.

Decided from models' configs and machines alone, before anything is loaded: the plan shows it, an executor follows it.
"""

import contextlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lm_eval.config.run_config import RunConfig
from lm_eval.errors import ConfigurationError
from lm_eval.models.dtypes import suitable_dtype
from lm_eval.models.families import Family
from lm_eval.models.info import ModelFacts
from lm_eval.models.size import count_parameters, memory_gib
from lm_eval.scheduling.hardware import Machine
from lm_eval.scheduling.placement import choose_share, larger_share
from lm_eval.scheduling.units import ModelKey, Unit

_MAX_THREADS = 4
"""CPU cores a worker takes, without a GPU and with work for all workers: small models gain little from more."""
_MANY_WORKERS = 8
"""CPU workers from which on each takes more cores instead of there being more of them."""


def grid_dtype(family: Family, machines: Sequence[Machine]) -> str:
    """Return the dtype for a model where none is asked for: the same on all machines, so that numbers don't mix."""
    capabilities = [gpu.capability for machine in machines for gpu in machine.gpus]
    return suitable_dtype(capabilities, overflows_in_float16=family.overflows_in_float16)


@dataclass(frozen=True, kw_only=True)
class Workforce:
    """The workers of a grid."""

    machines: Sequence[Machine]
    num_workers: int
    """At once, at the most."""
    threads: int
    """CPU threads of each."""
    shares: Mapping[ModelKey, float] = field(default_factory=dict)
    """GPUs of a worker, by its model; empty where there is none."""
    needs_gib: Mapping[ModelKey, float] = field(default_factory=dict)
    """Memory of a worker, by its model, where the size is known."""
    is_forced: bool = False
    """Whether the number of GPUs was given, so that it holds whatever a model needs."""
    sizes: Mapping[ModelKey, float] = field(default_factory=dict)
    """Parameters of each model whose size is known."""

    @property
    def has_gpus(self) -> bool:
        """Whether workers run on GPUs."""
        return bool(self.shares)

    def larger_share(self, unit: Unit) -> float | None:
        """Return the GPUs to try for a unit that ran out of memory; None where there are no more."""
        if not self.has_gpus:
            return None
        return larger_share(unit.share or self.shares[unit.key], self.machines)

    def describe(self) -> str:
        """Return the workforce in a few words."""
        if not self.has_gpus:
            return f"{_count(self.num_workers, 'worker')} of {_count(self.threads, 'CPU thread')}"
        shares = sorted(set(self.shares.values()))
        return f"{_count(self.num_workers, 'worker')} of {' or '.join(map(describe_share, shares))}"


def describe_share(share: float) -> str:
    """Return a number of GPUs in words."""
    return f"1/{round(1 / share)} GPU" if share < 1 else _count(round(share), "GPU")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def plan_workforce(
    units: Sequence[Unit], facts: Mapping[str, ModelFacts], machines: Sequence[Machine], num_gpus: int | None
) -> Workforce:
    """Decide on the workers of a grid.

    Args:
        units: what is to be computed, at least one.
        facts: of every model, by its name.
        machines: where.
        num_gpus: GPUs of each worker; None takes the fewest that hold its model.

    Raises:
        ConfigurationError: no machine has so many GPUs, or none holds a model.
    """
    counts = Counter(unit.key for unit in units)
    configs = {unit.key: unit.runs[0].config for unit in units}
    sizes = {key: size for key, config in configs.items() if (size := _size(facts.get(config.pretrained))) is not None}
    dtypes = {key: config.dtype or _dtype(config, facts, machines) for key, config in configs.items()}
    on_gpu = any(machine.gpus for machine in machines)
    needs = {
        key: memory_gib(size, dtypes[key], on_gpu=on_gpu, bits=configs[key].checkpoint.bits)
        for key, size in sizes.items()
    }
    if not on_gpu:
        return _cpu_workforce(len(units), machines, needs, sizes, dtypes)
    shares = {
        key: choose_share(needs.get(key), machines, num_gpus=num_gpus, num_units=count, name=key[0], dtype=dtypes[key])
        for key, count in counts.items()
    }
    total = sum(len(machine.gpus) for machine in machines)
    room = max(math.floor(total / share + 1e-6) for share in shares.values())
    cores = sum(machine.num_cpus for machine in machines)
    return Workforce(
        machines=machines,
        num_workers=max(1, min(room, len(units))),
        threads=max(1, min(_MAX_THREADS, cores // max(1, total))),
        shares=shares,
        needs_gib=needs,
        is_forced=num_gpus is not None,
        sizes={key: float(size) for key, size in sizes.items()},
    )


def _cpu_workforce(
    num_units: int,
    machines: Sequence[Machine],
    needs: Mapping[ModelKey, float],
    sizes: Mapping[ModelKey, int],
    dtypes: Mapping[ModelKey, str],
) -> Workforce:
    """Share CPU cores among workers, no more of them than the machines' memory holds the largest model."""
    most = max(machine.memory_gib for machine in machines)
    for key, need in needs.items():
        if need > most:
            raise ConfigurationError(
                f"{key[0]}: the model needs about {need:.1f} GiB in {dtypes[key]}, the largest machine has {most:.1f} "
                "GiB of memory and no GPU: choose a smaller model or dtype, or a machine with more"
            )
    largest = max(needs.values(), default=0.0)
    fitting = sum(math.floor(machine.memory_gib / largest) for machine in machines) if largest else num_units
    num_workers, threads = share_cpus([machine.num_cpus for machine in machines], max(1, min(num_units, fitting)))
    return Workforce(
        machines=machines,
        num_workers=num_workers,
        threads=threads,
        needs_gib=needs,
        sizes={key: float(size) for key, size in sizes.items()},
    )


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


def _size(facts: ModelFacts | None) -> int | None:
    if facts is not None:
        with contextlib.suppress(KeyError, TypeError, ValueError):  # a config that leaves its size open
            return count_parameters(facts.config, facts.family)
    return None


def _dtype(config: RunConfig, facts: Mapping[str, ModelFacts], machines: Sequence[Machine]) -> str:
    known = facts.get(config.pretrained)
    return "float32" if known is None else grid_dtype(known.family, machines)
