"""The hardware of a machine: its CPU cores, its memory and its GPUs.

Knows nothing of torch or Ray, so that a plan need not wait for their import: GPUs are read by NVML, the GPU driver's
library. Ignores memory in use, MIG instances (in `CUDA_VISIBLE_DEVICES` they count as invalid entries), and
`CUDA_DEVICE_ORDER`: GPUs are numbered in bus order.
"""

import contextlib
import os
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lm_eval.scheduling.control_groups import host_memory_bytes, usable_cpus

_GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU; memory and capability are None where a GPU was only declared to Ray."""

    name: str
    memory_gib: float | None
    """All of its memory, in GiB, used or not."""
    capability: tuple[int, int] | None
    """CUDA compute capability."""


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
        uuids = [_text(pynvml.nvmlDeviceGetUUID(handle)) for handle in handles]
        seen = visible_indices(os.environ.get("CUDA_VISIBLE_DEVICES"), uuids)
        return tuple(_describe(handles[index]) for index in seen)
    except pynvml.NVMLError:
        return ()
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _describe(handle: Any) -> Gpu:  # noqa: ANN401
    import pynvml  # noqa: PLC0415

    try:
        memory_gib = pynvml.nvmlDeviceGetMemoryInfo(handle).total / _GIB
    except pynvml.NVMLError:  # GPUs that share the host's memory report none
        memory_gib = None
    return Gpu(
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        memory_gib=memory_gib,
        capability=tuple(pynvml.nvmlDeviceGetCudaComputeCapability(handle)),
    )


def _text(answer: str | bytes) -> str:
    """Return a text from NVML, which some releases return as bytes."""
    return answer.decode(errors="replace") if isinstance(answer, bytes) else answer


def visible_indices(variable: str | None, uuids: Sequence[str]) -> tuple[int, ...]:
    """Return the indices of the GPUs that CUDA sees, in its order.

    Args:
        variable: `CUDA_VISIBLE_DEVICES`: indices, UUIDs or unique beginnings of UUIDs; None where it isn't set. As in
            CUDA, the first invalid entry ends the list, and a GPU named twice leaves none.
        uuids: the UUID of each GPU of the machine.
    """
    if variable is None:
        return tuple(range(len(uuids)))
    seen: list[int] = []
    for entry in variable.split(","):
        index = _find_gpu(entry.strip(), uuids)
        if index is None:
            break
        if index in seen:
            return ()
        seen.append(index)
    return tuple(seen)


def _find_gpu(entry: str, uuids: Sequence[str]) -> int | None:
    if entry.startswith("GPU-"):
        matches = [index for index, uuid in enumerate(uuids) if uuid.startswith(entry)]
        return matches[0] if len(matches) == 1 else None
    number = re.match(r"\+?\d+", entry, re.ASCII)  # CUDA reads with strtoul, which lets anything follow
    return int(number[0]) if number and int(number[0]) < len(uuids) else None
