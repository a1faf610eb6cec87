"""The hardware of a machine: its CPU cores, its memory and its GPUs.

Knows nothing of torch or Ray, so that a plan need not wait for their import: GPUs are read by NVML, the GPU driver's
library. A GPU that MIG has cut counts as its instances, each a GPU of its own. Ignores memory in use and
`CUDA_DEVICE_ORDER`: GPUs are numbered in bus order.
"""

import contextlib
import os
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lm_eval.scheduling.control_groups import host_memory_bytes, usable_cpus

_GIB = 1 << 30

Capability = tuple[int, int]
"""CUDA compute capability of a GPU."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU; memory and capability are None where a GPU was only declared to Ray."""

    name: str
    memory_gib: float | None
    """All of its memory, in GiB, used or not."""
    capability: tuple[int, int] | None
    """CUDA compute capability."""
    is_part: bool = False
    """Whether it is an instance that MIG has cut out of a GPU; a process can use only one."""
    uuid: str | None = field(default=None, compare=False)
    """By which CUDA finds it; None where it was only declared."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine, or the part of it that this process may use."""

    host: str
    num_cpus: int
    """CPU cores."""
    memory_gib: float
    """Host memory, in GiB."""
    gpus: tuple[Gpu, ...]
    """In the order in which CUDA counts them."""
    max_workers: int | None = None
    """Workers that it runs at the most; None where its cores, memory and GPUs alone decide."""


def machine_of(capabilities: Sequence[Capability | None]) -> Machine:
    """Return a machine of which nothing is known but its GPUs' compute capabilities."""
    gpus = tuple(Gpu(name="of a job", memory_gib=None, capability=capability) for capability in capabilities)
    return Machine(host="any", num_cpus=1, memory_gib=0.0, gpus=gpus)


def local_machine() -> Machine:
    """Describe this machine."""
    return Machine(
        host=socket.gethostname(), num_cpus=usable_cpus(), memory_gib=host_memory_bytes() / _GIB, gpus=local_gpus()
    )


def local_gpus() -> tuple[Gpu, ...]:
    """Return the GPUs that CUDA programs started here see; none where NVML is missing or fails."""
    import pynvml  # noqa: PLC0415  (8,000 lines, for which `--help` and the import of a grid need not wait)

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        devices = [Device(_text(pynvml.nvmlDeviceGetUUID(handle)), _instances(handle)) for handle in handles]
        seen = visible_devices(os.environ.get("CUDA_VISIBLE_DEVICES"), devices)
        return tuple(_describe(handles[index], devices[index].uuid, instance) for index, instance in seen)
    except pynvml.NVMLError:
        return ()
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _instances(handle: Any) -> tuple[str, ...] | None:  # noqa: ANN401
    """Return the UUIDs of the instances that MIG has cut a GPU into; None where it is whole."""
    import pynvml  # noqa: PLC0415

    try:
        if pynvml.nvmlDeviceGetMigMode(handle)[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
            return None
        most = pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except pynvml.NVMLError:  # a GPU, or a driver, that knows no MIG
        return None
    found = []
    for index in range(most):
        with contextlib.suppress(pynvml.NVMLError):  # there may be fewer
            found.append(_text(pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index))))
    return tuple(found)


def _describe(whole: Any, uuid: str, instance: str | None) -> Gpu:  # noqa: ANN401
    import pynvml  # noqa: PLC0415

    handle = whole if instance is None else pynvml.nvmlDeviceGetHandleByUUID(instance)
    try:
        memory_gib = pynvml.nvmlDeviceGetMemoryInfo(handle).total / _GIB
    except pynvml.NVMLError:  # GPUs that share the host's memory report none
        memory_gib = None
    return Gpu(
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        memory_gib=memory_gib,
        capability=tuple(pynvml.nvmlDeviceGetCudaComputeCapability(whole)),
        is_part=instance is not None,
        uuid=instance or uuid,
    )


def _text(answer: str | bytes) -> str:
    """Return a text from NVML, which some releases return as bytes."""
    return answer.decode(errors="replace") if isinstance(answer, bytes) else answer


class Device(NamedTuple):
    """A GPU of a machine, as its driver lists it."""

    uuid: str
    instances: tuple[str, ...] | None = None
    """The UUIDs of those that MIG has cut it into; None where it is whole."""


Seen = tuple[int, str | None]
"""A GPU's index, and the UUID of its instance where it is cut."""


def visible_devices(variable: str | None, devices: Sequence[Device]) -> tuple[Seen, ...]:
    """Return the GPUs, and instances of GPUs, that CUDA sees, in its order.

    Args:
        variable: `CUDA_VISIBLE_DEVICES`: indices, UUIDs or unique beginnings of UUIDs; None where it isn't set. As in
            CUDA, the first invalid entry ends the list, and a GPU named twice leaves none. A GPU that is cut stands for
            all its instances: CUDA shows a process only one, but each worker is given another.
        devices: the GPUs of the machine.
    """
    if variable is None:
        return tuple(seen for index in range(len(devices)) for seen in _parts(index, devices[index]))
    found: list[Seen] = []
    for entry in variable.split(","):
        seen = _find(entry.strip(), devices)
        if not seen:
            break
        if set(seen) & set(found):
            return ()
        found += seen
    return tuple(found)


def _parts(index: int, device: Device) -> list[Seen]:
    return [(index, None)] if device.instances is None else [(index, instance) for instance in device.instances]


def _find(entry: str, devices: Sequence[Device]) -> list[Seen]:
    """Return what an entry names: a GPU, an instance, all instances of a GPU, or nothing."""
    if entry.startswith("MIG-"):
        every = [seen for index, device in enumerate(devices) for seen in _parts(index, device)]
        matches = [seen for seen in every if (seen[1] or "").startswith(entry)]
        return matches if len(matches) == 1 else []
    if entry.startswith("GPU-"):
        indices = [index for index, device in enumerate(devices) if device.uuid.startswith(entry)]
        return _parts(indices[0], devices[indices[0]]) if len(indices) == 1 else []
    number = re.match(r"\+?\d+", entry, re.ASCII)  # CUDA reads with strtoul, which lets anything follow
    index = int(number[0]) if number else len(devices)
    return _parts(index, devices[index]) if index < len(devices) else []
