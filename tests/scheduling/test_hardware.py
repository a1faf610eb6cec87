"""What a machine can compute on, told by a made-up GPU library, and the dtype that suits it."""

import ctypes
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from lm_eval.models.dtypes import suitable_dtype
from lm_eval.scheduling.hardware import Gpu, host_memory_bytes, local_gpus, local_machine, usable_cpus, visible_indices

H100 = ("GPU-aaaa-1111", "NVIDIA H100", 80, (9, 0))
T4 = ("GPU-aabb-2222", "Tesla T4", 16, (7, 5))
A100 = ("GPU-cccc-3333", "NVIDIA A100", 40, (8, 0))
UUIDS = [gpu[0] for gpu in (H100, T4, A100)]

NOT_SUPPORTED, LOST, NO_DRIVER = 3, 15, 9


def fake_nvml(gpus, failing=None):
    """A library of GPUs (uuid, name, GiB, capability); `failing` gives functions the status that they end with."""
    ended = []

    def count(number):
        number._obj.value = len(gpus)

    def handle(index, found):
        found._obj.value = index.value + 1

    def describe(place, buffer, _size):
        buffer.value = place.encode()

    def memory(found, info):
        info._obj.total = gpus[found.value - 1][2] << 30

    def capability(found, major, minor):
        major._obj.value, minor._obj.value = gpus[found.value - 1][3]

    functions = {
        "nvmlInit_v2": lambda: None,
        "nvmlShutdown": lambda: ended.append(True),
        "nvmlDeviceGetCount_v2": count,
        "nvmlDeviceGetHandleByIndex_v2": handle,
        "nvmlDeviceGetUUID": lambda found, *rest: describe(gpus[found.value - 1][0], *rest),
        "nvmlDeviceGetName": lambda found, *rest: describe(gpus[found.value - 1][1], *rest),
        "nvmlDeviceGetMemoryInfo": memory,
        "nvmlDeviceGetCudaComputeCapability": capability,
    }

    def with_status(name, function):
        def call(*arguments):
            if failing and name in failing:
                return failing[name]
            function(*arguments)
            return 0

        return call

    return SimpleNamespace(ended=ended, **{name: with_status(name, function) for name, function in functions.items()})


@pytest.fixture(autouse=True)
def _no_choice_of_gpus(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_every_gpu_is_described():
    nvml = fake_nvml([H100, T4])
    assert local_gpus(lambda: nvml) == (
        Gpu(name="NVIDIA H100", memory_gib=80.0, capability=(9, 0)),
        Gpu(name="Tesla T4", memory_gib=16.0, capability=(7, 5)),
    )
    assert nvml.ended == [True]


def test_only_visible_gpus_count_and_in_the_order_asked_for(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-aaaa")
    assert [gpu.name for gpu in local_gpus(lambda: fake_nvml([H100, T4, A100]))] == ["NVIDIA A100", "NVIDIA H100"]


@pytest.mark.parametrize(
    ("variable", "indices"),
    [
        (None, (0, 1, 2)),
        ("", ()),
        ("-1", ()),
        ("none", ()),
        ("0", (0,)),
        ("2,0", (2, 0)),
        (" 1 , 2", (1, 2)),
        ("1,3,0", (1,)),
        ("1,-1,0", (1,)),
        ("1,,0", (1,)),
        ("2gpu,0", (2, 0)),
        ("0,0", ()),
        ("GPU-cccc-3333,GPU-aaaa-1111", (2, 0)),
        ("GPU-c", (2,)),
        ("GPU-aa", ()),
        ("GPU-aab,GPU-dddd,GPU-c", (1,)),
        ("GPU-c,GPU-cccc", ()),
        ("MIG-aaaa", ()),
    ],
)
def test_the_variable_is_read_as_cuda_reads_it(variable, indices):
    assert visible_indices(variable, UUIDS) == indices


def test_a_machine_without_the_library_has_no_gpus():
    def load():
        raise OSError("libnvidia-ml.so.1: cannot open shared object file")

    assert local_gpus(load) == ()


@pytest.mark.parametrize(
    "name",
    [
        "nvmlInit_v2",
        "nvmlDeviceGetCount_v2",
        "nvmlDeviceGetHandleByIndex_v2",
        "nvmlDeviceGetUUID",
        "nvmlDeviceGetName",
        "nvmlDeviceGetCudaComputeCapability",
    ],
)
@pytest.mark.parametrize("how", ["fails", "is absent"])
def test_a_library_that_fails_or_lacks_a_function_means_no_gpus(name, how):
    nvml = fake_nvml([H100], {name: LOST})
    if how == "is absent":
        delattr(nvml, name)
    assert local_gpus(lambda: nvml) == ()
    assert nvml.ended == ([] if name == "nvmlInit_v2" else [True])


def test_a_gpu_without_memory_of_its_own_has_an_unknown_one():
    nvml = fake_nvml([H100], {"nvmlDeviceGetMemoryInfo": NOT_SUPPORTED})
    assert local_gpus(lambda: nvml) == (Gpu(name="NVIDIA H100", memory_gib=None, capability=(9, 0)),)


def test_this_machine_has_cores_memory_and_a_name():
    machine = local_machine(lambda: fake_nvml([T4]))
    assert machine.host
    assert 1 <= machine.num_cpus <= (os.cpu_count() or 1)
    assert 0 < machine.memory_gib <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    assert machine.gpus == (Gpu(name="Tesla T4", memory_gib=16.0, capability=(7, 5)),)


def test_the_real_library_is_asked_without_harm():
    assert all(isinstance(gpu, Gpu) for gpu in local_gpus())


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


def gpu(capability):
    return Gpu(name="any", memory_gib=None, capability=capability)


@pytest.mark.parametrize(
    ("capabilities", "overflows", "dtype"),
    [
        ([], False, "float32"),
        ([None, None], False, "float32"),
        ([(8, 0)], False, "bfloat16"),
        ([(9, 0), (8, 6)], True, "bfloat16"),
        ([(9, 0), None], False, "bfloat16"),
        ([(7, 5)], False, "float16"),
        ([(7, 5)], True, "float32"),
        ([(9, 0), (7, 5)], False, "float16"),
        ([(9, 0), (7, 5)], True, "float32"),
        ([None, (7, 0)], False, "float16"),
        ([(12, 0)], False, "bfloat16"),
    ],
)
def test_the_dtype_suits_the_least_able_gpu_that_is_known(capabilities, overflows, dtype):
    assert suitable_dtype(capabilities, overflows_in_float16=overflows) == dtype


def test_the_memory_structure_is_the_librarys():
    from lm_eval.scheduling.hardware import _Memory  # noqa: PLC0415

    assert ctypes.sizeof(_Memory) == 24
    assert [name for name, _ in _Memory._fields_] == ["total", "free", "used"]


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
