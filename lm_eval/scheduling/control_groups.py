"""The CPU cores and memory that this process may use, within the limits of its control group (cgroup) and its job."""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import psutil

from lm_eval.scheduling.allotment import allotted_bytes, allotted_cpus


def usable_cpus(root: Path = Path("/")) -> int:
    """Return how many CPU cores this process may use, by its CPU affinity and the quotas of its control group.

    Args:
        root: the folder that holds `proc` and `sys`.
    """
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(max(1, min([mine, allotted_cpus(), *(math.ceil(quota) for quota in _cpu_quotas(root))])))


def _cpu_quotas(root: Path) -> Iterator[float]:
    """Yield the CPU quotas, in cores, of the process's control group and its parents, in cgroup versions 2 and 1."""
    for folder in _group_folders(root, "cpu"):
        try:
            if (folder / "cpu.max").exists():
                quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            else:
                quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii")
                period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
            if float(quota) > 0:
                yield float(quota) / float(period)
        except (OSError, ValueError):  # no such file, or it says "max"
            continue


def host_memory_bytes(root: Path = Path("/")) -> int:
    """Return how many bytes of memory this process may use: the machine's, or the limit of its control group.

    Args:
        root: the folder that holds `proc` and `sys`.
    """
    physical: int = psutil.virtual_memory().total
    return int(min([physical, allotted_bytes(physical, os.cpu_count() or 1), *_group_limits(root)]))


def _group_limits(root: Path) -> Iterator[int]:
    """Yield the memory limits, in bytes, of the process's control group and its parents, in cgroup versions 2 and 1."""
    for folder in _group_folders(root, "memory"):
        for file in ("memory.max", "memory.limit_in_bytes"):
            try:
                yield int((folder / file).read_text(encoding="ascii"))
            except (OSError, ValueError):  # no such file, or it says "max"
                continue


def _group_folders(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the process's control group and its parents, in cgroup versions 2 and 1."""
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
        path = PurePosixPath(group.strip("/"))  # inside a container it may exist on the host only
        yield from (top / place for place in (path, *path.parents))
