"""Which share of the GPUs a run takes, and which GPUs are free for it.

Pure bookkeeping: knows nothing of Ray, of processes, or of the memory that is really in use. A share is a number of
GPUs: a whole one, all on one machine, or a fraction of one GPU.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from lm_eval.errors import ConfigurationError
from lm_eval.scheduling.hardware import Gpu, Machine

_USABLE = 0.9
"""Of a GPU's memory; the driver and fragments take the rest."""
_MAX_PACKED = 4
"""Runs that share a GPU, at the most."""


def _most_gib(gpu: Gpu, share: float) -> float:
    """Return what a share holds at the most, in GiB, if each of its GPUs is like this one; unknown memory holds all."""
    return math.inf if gpu.memory_gib is None else _USABLE * gpu.memory_gib * share


def choose_share(
    memory_gib: float | None,
    machines: Sequence[Machine],
    *,
    num_gpus: int | None,
    num_units: int,
    name: str,
    dtype: str,
) -> float:
    """Return the GPUs of a worker: as many as asked for, else the fewest that hold the model, else a fraction of one.

    Args:
        memory_gib: what the model and its batches need, in GiB; None where that isn't known.
        machines: the cluster's, of which at least one has a GPU.
        num_gpus: the number asked for; None leaves it to the memory.
        num_units: units of work that wait for the model; a GPU is shared only where there are more than GPUs.
        name: the model's, for the message.
        dtype: that of its weights, for the message.

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
    return max((len(machine.gpus) for machine in machines), default=0)


def _held_by(machine: Machine, share: int) -> float:
    """Return what so many GPUs of a machine hold, in GiB: layers are spread evenly, so the smallest counts."""
    held = sorted((_most_gib(gpu, share) for gpu in machine.gpus), reverse=True)
    return held[share - 1] if share <= len(held) else 0.0


def _num_packed(memory_gib: float, machines: Iterable[Machine], num_units: int) -> int:
    """Return how many runs share a GPU: no more than fit on any, and than it takes to have all units run at once."""
    gpus = [gpu for machine in machines for gpu in machine.gpus]
    if any(gpu.memory_gib is None for gpu in gpus):
        return 1
    wanted = min(_MAX_PACKED, math.ceil(num_units / len(gpus)))
    held = {number: min(_most_gib(gpu, 1 / number) for gpu in gpus) for number in range(2, wanted + 1)}
    return max((number for number in held if held[number] >= memory_gib), default=1)


def larger_share(share: float, machines: Sequence[Machine]) -> float | None:
    """Return the share to try after one ran out of memory: 1, then twice the GPUs; None beyond the largest machine.

    Args:
        share: the one that was too small.
        machines: the cluster's.
    """
    largest = _most_gpus(machines)
    if share >= largest:
        return None
    return 1 if share < 1 else min(2 * share, largest)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a run is."""

    machine: int
    """Index of the machine."""
    gpus: tuple[int, ...]
    """Indices of its GPUs on the machine."""
    share: float
    """Number of GPUs; below 1, the part of its only GPU."""


class Room:
    """The free GPUs of each machine."""

    def __init__(self, machines: Sequence[Machine]) -> None:
        self._machines = machines
        self._free = [[Fraction(1)] * len(machine.gpus) for machine in machines]
        self._taken: list[Place] = []

    def suitable(self, share: float, memory_gib: float = 0.0) -> list[int]:
        """Return the machines that have such a share at all, free or not."""
        exact = _exact(share)
        return [
            machine
            for machine, free in enumerate(self._free)
            if sum(self._holds(machine, gpu, exact, memory_gib) for gpu in range(len(free))) >= exact
        ]

    def num_free(self, machine: int) -> int:
        """Return how many GPUs of a machine are wholly free."""
        return sum(left == 1 for left in self._free[machine])

    def take(self, share: float, memory_gib: float = 0.0, among: Collection[int] | None = None) -> Place | None:
        """Take a share where it leaves the most room for others; None where it doesn't fit at present.

        A fraction goes to the fullest GPU that has it left, a whole number to the machine with the fewest free GPUs
        that suffice.

        Args:
            share: number of GPUs: a whole number, or a fraction below 1.
            memory_gib: what the share must hold, in GiB, so that GPUs too small for it are left alone; 0 where the
                share was forced. A share from `choose_share` always has such GPUs, free or not.
            among: the machines that come into question; None takes all.

        Raises:
            ValueError: a share that is neither.
        """
        exact = _exact(share)
        found = self._fractions(exact, memory_gib) if exact < 1 else self._wholes(exact, memory_gib)
        places = [place for place in found if among is None or place[1] in among]
        if not places:
            return None
        _, machine, gpus = min(places)
        place = Place(machine=machine, gpus=gpus, share=share)
        self._change(place, -1)
        self._taken.append(place)
        return place

    def give_back(self, place: Place) -> None:
        """Free a place.

        Raises:
            ValueError: the place isn't taken.
        """
        if place not in self._taken:
            raise ValueError(f"{place} is not taken, so it can't be given back")
        self._taken.remove(place)
        self._change(place, 1)

    def _fractions(self, share: Fraction, memory_gib: float) -> list[tuple[Fraction, int, tuple[int, ...]]]:
        """Return the free part, machine and GPU of every place for a fraction."""
        return [
            (left, machine, (gpu,))
            for machine, free in enumerate(self._free)
            for gpu, left in enumerate(free)
            if left >= share and self._holds(machine, gpu, share, memory_gib)
        ]

    def _wholes(self, share: Fraction, memory_gib: float) -> list[tuple[int, int, tuple[int, ...]]]:
        """Return the number of free GPUs, the machine and its first suitable GPUs of every machine with enough."""
        places = []
        for machine, free in enumerate(self._free):
            empty = [gpu for gpu, left in enumerate(free) if left == 1]
            fitting = [gpu for gpu in empty if self._holds(machine, gpu, share, memory_gib)]
            if len(fitting) >= share:
                places.append((len(empty), machine, tuple(fitting[: int(share)])))
        return places

    def _holds(self, machine: int, gpu: int, share: Fraction, memory_gib: float) -> bool:
        return _most_gib(self._machines[machine].gpus[gpu], float(share)) >= memory_gib

    def _change(self, place: Place, sign: int) -> None:
        for gpu in place.gpus:
            self._free[place.machine][gpu] += sign * min(_exact(place.share), Fraction(1))


def _exact(share: float) -> Fraction:
    """Return a share without its rounding, so that three thirds make a whole."""
    exact = Fraction(share).limit_denominator(1000)
    if exact <= 0 or (exact > 1 and exact.denominator != 1):
        raise ValueError(f"a share must be a whole number of GPUs or a fraction below 1, got {share}")
    return exact
