"""How many GPUs a worker takes (its share), and which GPUs are free for it.

Pure bookkeeping: knows nothing of Ray, of processes, or of the memory that is really in use. A share is a whole number
of GPUs on one machine, or a fraction of one GPU.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from lm_eval.errors import ConfigurationError
from lm_eval.scheduling.hardware import Gpu, Machine

_USABLE = 0.9
"""Usable part of a GPU's memory; the driver and fragmentation take the rest."""
_MAX_PACKED = 4
"""Most workers that share a GPU."""


def _usable_gib(gpu: Gpu, share: float) -> float:
    """Return the usable memory of a share, in GiB, if all its GPUs are like this one; infinite where it is unknown."""
    return math.inf if gpu.memory_gib is None else _USABLE * gpu.memory_gib * share


def gpus_that_hold(memory_gib: float, gpu_gib: float) -> int:
    """Return how many GPUs of a size hold so much together."""
    return max(1, math.ceil(memory_gib / (_USABLE * gpu_gib)))


def choose_share(
    memory_gib: float | None,
    machines: Sequence[Machine],
    *,
    num_gpus: int | None,
    num_units: int,
    name: str,
    dtype: str,
) -> float:
    """Choose the GPUs of a worker: the number asked for, else the fewest that hold the model, or a fraction of one.

    Args:
        memory_gib: what the model and its batches need, in GiB; None where unknown.
        machines: those of the cluster; at least one has a GPU.
        num_gpus: the number asked for; None leaves it to the memory.
        num_units: work units of the model; a GPU is shared only if there are more of them than GPUs.
        name: name of the model, for the message.
        dtype: dtype of its weights, for the message.

    Raises:
        ConfigurationError: no machine has so many GPUs, or none holds the model.
    """
    largest = _most_gpus(machines)
    if num_gpus is not None:
        if num_gpus > largest:
            raise ConfigurationError(
                f"--NUM_GPUS_PER_RUN {num_gpus}: no machine of the cluster has so many GPUs; the largest has {largest}"
            )
        return num_gpus
    if memory_gib is None:
        return 1
    for share in range(1, largest + 1):
        if any(_held_by(machine, share) >= memory_gib for machine in machines):
            return share if share > 1 else 1 / _num_packed(memory_gib, machines, num_units)
    most = max((_held_by(machine, share) for machine in machines for share in range(1, largest + 1)), default=0.0)
    raise ConfigurationError(
        f"{name}: the model needs about {memory_gib:.1f} GiB in {dtype}, the largest machine holds {most:.1f} GiB: "
        "choose a smaller model or dtype, add GPUs, or force a number with -N"
    )


def _most_gpus(machines: Iterable[Machine]) -> int:
    """Return how many GPUs a worker can have: of those that MIG has cut, a process can use one."""
    return max(
        (1 if any(gpu.is_part for gpu in machine.gpus) else len(machine.gpus) for machine in machines), default=0
    )


def _held_by(machine: Machine, share: int) -> float:
    """Return the usable GiB of so many GPUs of a machine: layers are spread evenly, so the smallest GPU counts."""
    held = sorted((_usable_gib(gpu, share) for gpu in machine.gpus), reverse=True)
    return held[share - 1] if share <= len(held) else 0.0


def _num_packed(memory_gib: float, machines: Iterable[Machine], num_units: int) -> int:
    """Return how many workers share a GPU: at most as many as fit on every GPU, and as there are units for."""
    gpus = [gpu for machine in machines for gpu in machine.gpus]
    if any(gpu.memory_gib is None for gpu in gpus):
        return 1
    most = min(_MAX_PACKED, math.ceil(num_units / len(gpus)))
    held_gib = {number: min(_usable_gib(gpu, 1 / number) for gpu in gpus) for number in range(2, most + 1)}
    return max((number for number in held_gib if held_gib[number] >= memory_gib), default=1)


def larger_share(share: float, machines: Sequence[Machine]) -> float | None:
    """Return the share to try after one ran out of memory: 1, then twice the GPUs; None beyond the largest machine.

    Args:
        share: the one that was too small.
        machines: those of the cluster.
    """
    largest = _most_gpus(machines)
    if share >= largest:
        return None
    return 1 if share < 1 else min(2 * share, largest)


@dataclass(frozen=True, kw_only=True)
class Placement:
    """The GPUs of a worker."""

    machine: int
    """Index of the machine."""
    gpus: tuple[int, ...]
    """Indices of its GPUs on the machine."""
    share: float
    """Number of GPUs; below 1, the part of its only GPU."""


class FreeGpus:
    """Keeps track of which GPUs, or parts of them, are free on each machine."""

    def __init__(self, machines: Sequence[Machine]) -> None:
        self._machines = machines
        self._free = [[Fraction(1)] * len(machine.gpus) for machine in machines]
        self._taken: list[Placement] = []

    def suitable(self, share: float, memory_gib: float = 0.0) -> list[int]:
        """Return the machines that have such a share, free or not."""
        exact = _exact(share)
        return [
            machine
            for machine, free in enumerate(self._free)
            if sum(self._holds(machine, gpu, exact, memory_gib) for gpu in range(len(free))) >= exact
        ]

    def num_free(self, machine: int) -> int:
        """Return how many GPUs of a machine are wholly free."""
        return sum(left == 1 for left in self._free[machine])

    def take(self, share: float, memory_gib: float = 0.0, among: Collection[int] | None = None) -> Placement | None:
        """Take a share where it leaves the most free for further ones; None where it doesn't fit at present.

        A fraction goes to the fullest GPU that has it left, a whole number to the machine with the fewest free GPUs
        that suffice.

        Args:
            share: number of GPUs: a whole number, or a fraction below 1.
            memory_gib: what the share must hold, in GiB, so that GPUs too small for it are skipped; 0 where the
                user set the share. A share from `choose_share` always has such GPUs, free or not.
            among: indices of the machines to choose from; None takes all.

        Raises:
            ValueError: an invalid share.
        """
        exact = _exact(share)
        candidates = self._fractions(exact, memory_gib) if exact < 1 else self._wholes(exact, memory_gib)
        allowed = [candidate for candidate in candidates if among is None or candidate[1] in among]
        if not allowed:
            return None
        _, machine, gpus = min(allowed)
        placement = Placement(machine=machine, gpus=gpus, share=share)
        self._change(placement, -1)
        self._taken.append(placement)
        return placement

    def give_back(self, placement: Placement) -> None:
        """Free the GPUs of a placement.

        Raises:
            ValueError: the placement isn't taken.
        """
        if placement not in self._taken:
            raise ValueError(f"{placement} is not taken, so it can't be given back")
        self._taken.remove(placement)
        self._change(placement, 1)

    def _fractions(self, share: Fraction, memory_gib: float) -> list[tuple[Fraction, int, tuple[int, ...]]]:
        """Return, for every GPU with a fraction free, the free part, the machine and the GPU."""
        return [
            (left, machine, (gpu,))
            for machine, free in enumerate(self._free)
            for gpu, left in enumerate(free)
            if left >= share and self._holds(machine, gpu, share, memory_gib)
        ]

    def _wholes(self, share: Fraction, memory_gib: float) -> list[tuple[int, int, tuple[int, ...]]]:
        """Return, for every machine with enough free GPUs, their number, the machine and its first suitable GPUs."""
        candidates = []
        for machine, free in enumerate(self._free):
            empty = [gpu for gpu, left in enumerate(free) if left == 1]
            fitting = [gpu for gpu in empty if self._holds(machine, gpu, share, memory_gib)]
            if len(fitting) >= share:
                candidates.append((len(empty), machine, tuple(fitting[: int(share)])))
        return candidates

    def _holds(self, machine: int, gpu: int, share: Fraction, memory_gib: float) -> bool:
        return _usable_gib(self._machines[machine].gpus[gpu], float(share)) >= memory_gib

    def _change(self, placement: Placement, sign: int) -> None:
        for gpu in placement.gpus:
            self._free[placement.machine][gpu] += sign * min(_exact(placement.share), Fraction(1))


def _exact(share: float) -> Fraction:
    """Return a share without its rounding, so that three thirds make a whole."""
    exact = Fraction(share).limit_denominator(1000)
    if exact <= 0 or (exact > 1 and exact.denominator != 1):
        raise ValueError(f"a share must be a whole number of GPUs or a fraction below 1, got {share}")
    return exact
