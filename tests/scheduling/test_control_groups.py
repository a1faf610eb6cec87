"""Control groups of both versions, written as the system shows them, limit the memory and the cores."""

import os
from pathlib import Path

import pytest

from lm_eval.scheduling.control_groups import host_memory_bytes, usable_cpus


def write_groups(root: Path, groups: str, limits: dict[str, str]) -> Path:
    for path, text in {"proc/self/cgroup": groups, **limits}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="ascii")
    return root


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        ("0::/\n", {"sys/fs/cgroup/memory.max": "4096000\n"}, 4096000),
        ("0::/job/step\n", {"sys/fs/cgroup/job/memory.max": "8192\n"}, 8192),
        (
            "0::/job/step\n",
            {"sys/fs/cgroup/job/memory.max": "8192\n", "sys/fs/cgroup/job/step/memory.max": "max\n"},
            8192,
        ),
        ("4:cpu:/x\n5:memory:/job\n", {"sys/fs/cgroup/memory/job/memory.limit_in_bytes": "4096\n"}, 4096),
        ("5:cpu,memory:/only/outside\n", {"sys/fs/cgroup/memory/memory.limit_in_bytes": "4096\n"}, 4096),
    ],
)
def test_a_control_group_limits_the_memory(tmp_path, groups, limits, expected):
    assert host_memory_bytes(write_groups(tmp_path, groups, limits)) == expected


@pytest.mark.parametrize(
    ("groups", "limits"),
    [
        ("0::/\n", {"sys/fs/cgroup/memory.max": "max\n"}),
        ("5:memory:/\n", {"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}),
        ("1:name=systemd:/\n4:cpu:/x\n", {}),
        ("no group at all\n", {}),
    ],
)
def test_without_a_limit_all_of_the_memory_counts(tmp_path, groups, limits):
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert host_memory_bytes(write_groups(tmp_path, groups, limits)) == physical
    assert host_memory_bytes(tmp_path / "empty") == physical


OLD = "sys/fs/cgroup/cpu/job/cpu.cfs_"


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1),
        ("0::/job/step\n", {"sys/fs/cgroup/job/cpu.max": "50000 100000\n"}, 1),
        ("4:cpu:/job\n", {f"{OLD}quota_us": "1", f"{OLD}period_us": "9"}, 1),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ("4:cpu:/job\n", {f"{OLD}quota_us": "-1", f"{OLD}period_us": "9"}, None),
        ("no group at all\n", {}, None),
    ],
)
def test_a_control_group_limits_the_cores(tmp_path, groups, limits, expected):
    everything = usable_cpus(tmp_path / "empty")
    assert usable_cpus(write_groups(tmp_path, groups, limits)) == (expected or everything)
    assert everything == len(os.sched_getaffinity(0))
