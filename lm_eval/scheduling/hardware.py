"""What a machine can compute on: its CPU cores, its memory and its GPUs.

Knows nothing of torch or Ray, so that a plan need not wait for them: it asks the driver's own library, NVML, for GPUs.
Doesn't know what is in use, the parts of a GPU that is split (MIG; an entry of `CUDA_VISIBLE_DEVICES` that names one
counts as invalid), or `CUDA_DEVICE_ORDER`: GPUs are numbered by their place on the bus.
"""

import ctypes
import math
import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import psutil

_GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU; what is unknown of one that was only declared to Ray is None."""

    name: str
    memory_gib: float | None
    """All of its memory, in GiB, used or not."""
    capability: tuple[int, int] | None
    """CUDA compute capability."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine, or as much of it as this process may use."""

    host: str
    num_cpus: int
    """CPU cores."""
    memory_gib: float
    """Host memory, in GiB."""
    gpus: tuple[Gpu, ...]
    """In the order in which CUDA counts them."""


class _NvmlError(RuntimeError):
    """A call of the library that failed."""


def load_nvml() -> Any:  # noqa: ANN401  (its functions are looked up by name)
    """Load the driver's management library.

    Raises:
        OSError: there is none, so there is no NVIDIA driver.
    """
    return ctypes.CDLL("libnvidia-ml.so.1")


def local_machine(load: Callable[[], Any] = load_nvml) -> Machine:
    """Describe this machine.

    Args:
        load: returns the library that knows the GPUs.
    """
    return Machine(
        host=socket.gethostname(),
        num_cpus=usable_cpus(),
        memory_gib=host_memory_bytes() / _GIB,
        gpus=local_gpus(load),
    )


def local_gpus(load: Callable[[], Any] = load_nvml) -> tuple[Gpu, ...]:
    """Return the GPUs that CUDA programs started here see: none where the library is missing or fails.

    Args:
        load: returns the library that knows them.
    """
    try:
        nvml = load()
        _call(nvml.nvmlInit_v2)
    except (OSError, AttributeError, _NvmlError):
        return ()
    try:
        handles = _handles(nvml)
        uuids = [_text(nvml.nvmlDeviceGetUUID, handle) for handle in handles]
        seen = visible_indices(os.environ.get("CUDA_VISIBLE_DEVICES"), uuids)
        return tuple(_describe(nvml, handles[index]) for index in seen)
    except (AttributeError, _NvmlError):
        return ()
    finally:
        nvml.nvmlShutdown()


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
        found = [index for index, uuid in enumerate(uuids) if uuid.startswith(entry)]
        return found[0] if len(found) == 1 else None
    number = re.match(r"\+?\d+", entry, re.ASCII)  # CUDA reads with strtoul, which lets anything follow
    return int(number[0]) if number and int(number[0]) < len(uuids) else None


class _Memory(ctypes.Structure):
    """The library's `nvmlMemory_t`, in bytes."""

    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


_MAX_TEXT = 96
"""Bytes of the library's longest name or UUID."""


def _call(function: Callable[..., int], *arguments: Any) -> None:  # noqa: ANN401
    if status := function(*arguments):
        raise _NvmlError(f"status {status}")


def _handles(nvml: Any) -> list[ctypes.c_void_p]:  # noqa: ANN401
    count = ctypes.c_uint()
    _call(nvml.nvmlDeviceGetCount_v2, ctypes.byref(count))
    handles = [ctypes.c_void_p() for _ in range(count.value)]
    for index, handle in enumerate(handles):
        _call(nvml.nvmlDeviceGetHandleByIndex_v2, ctypes.c_uint(index), ctypes.byref(handle))
    return handles


def _text(function: Callable[..., int], handle: ctypes.c_void_p) -> str:
    buffer = ctypes.create_string_buffer(_MAX_TEXT)
    _call(function, handle, buffer, ctypes.c_uint(_MAX_TEXT))
    return buffer.value.decode(errors="replace")


def _describe(nvml: Any, handle: ctypes.c_void_p) -> Gpu:  # noqa: ANN401
    major, minor = ctypes.c_int(), ctypes.c_int()
    _call(nvml.nvmlDeviceGetCudaComputeCapability, handle, ctypes.byref(major), ctypes.byref(minor))
    return Gpu(
        name=_text(nvml.nvmlDeviceGetName, handle),
        memory_gib=_memory_gib(nvml, handle),
        capability=(major.value, minor.value),
    )


def _memory_gib(nvml: Any, handle: ctypes.c_void_p) -> float | None:  # noqa: ANN401
    memory = _Memory()
    try:
        _call(nvml.nvmlDeviceGetMemoryInfo, handle, ctypes.byref(memory))
    except _NvmlError:  # GPUs that share the host's memory have none of their own to tell
        return None
    return float(memory.total / _GIB)


def usable_cpus(root: Path = Path("/")) -> int:
    """Return the CPU cores that this process may use: those it may run on, or fewer where its control group has less.

    Args:
        root: the folder that holds `proc` and `sys`.
    """
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([mine, *(math.ceil(quota) for quota in _cpu_quotas(root))]))


def _cpu_quotas(root: Path) -> Iterator[float]:
    """Yield the CPU quotas, in cores, of the process's control group and of those around it, in versions 2 and 1."""
    for folder in _group_folders(root, "cpu"):
        try:
            if (folder / "cpu.max").exists():
                quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            else:
                quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii")
                period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
            if float(quota) > 0:
                yield float(quota) / float(period)
        except (OSError, ValueError):  # there is none, or it says "max"
            continue


def host_memory_bytes(root: Path = Path("/")) -> int:
    """Return the bytes of memory that this process may use: the machine's, or less where its control group has less.

    Args:
        root: the folder that holds `proc` and `sys`.
    """
    physical: int = psutil.virtual_memory().total
    return min([physical, *_group_limits(root)])


def _group_limits(root: Path) -> Iterator[int]:
    """Yield the memory limits, in bytes, of the process's control group and of those around it, in versions 2 and 1."""
    for folder in _group_folders(root, "memory"):
        for file in ("memory.max", "memory.limit_in_bytes"):
            try:
                yield int((folder / file).read_text(encoding="ascii"))
            except (OSError, ValueError):  # there is none, or it says "max"
                continue


def _group_folders(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the process's control group and of those around it, in versions 2 and 1."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if number == "0" and not controllers:
            top = root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            top = root / "sys/fs/cgroup" / controllers
            top = top if top.exists() else root / "sys/fs/cgroup" / controller
        else:
            continue
        path = PurePosixPath(group.strip("/"))  # inside a container it may be one that only its host has
        yield from (top / place for place in (path, *path.parents))
