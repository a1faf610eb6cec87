"""What a machine can compute on, by a made-up driver, and the dtype that suits it."""

import os
from types import SimpleNamespace

import pynvml
import pytest

from lm_eval.models.dtypes import suitable_dtype
from lm_eval.scheduling.hardware import Device, Gpu, local_gpus, local_machine, visible_devices

H100 = ("GPU-aaaa-1111", "NVIDIA H100", 80, (9, 0))
T4 = ("GPU-aabb-2222", "Tesla T4", 16, (7, 5))
A100 = ("GPU-cccc-3333", "NVIDIA A100", 40, (8, 0))
UUIDS = [gpu[0] for gpu in (H100, T4, A100)]

NOT_SUPPORTED = pynvml.NVML_ERROR_NOT_SUPPORTED
LIBRARY_MISSING, DRIVER_MISSING = pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED
LOST, FUNCTION_MISSING = pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND


@pytest.fixture
def use_driver(monkeypatch):
    """Returns what puts a driver of GPUs (uuid, name, GiB, capability) into the library, and the list of its calls.

    `failing` gives functions the status that they end with; `as_bytes` has text come as bytes, as older releases of
    the library give it.
    """

    def use(gpus, failing=None, *, as_bytes=False):
        called = []

        def text(value):
            return value.encode() if as_bytes else value

        functions = {
            "nvmlInit": lambda: None,
            "nvmlShutdown": lambda: None,
            "nvmlDeviceGetCount": lambda: len(gpus),
            "nvmlDeviceGetHandleByIndex": lambda index: gpus[index],
            "nvmlDeviceGetUUID": lambda gpu: text(gpu[0]),
            "nvmlDeviceGetMigMode": lambda gpu: [0, 0],
            "nvmlDeviceGetName": lambda gpu: text(gpu[1]),
            "nvmlDeviceGetMemoryInfo": lambda gpu: SimpleNamespace(total=gpu[2] << 30),
            "nvmlDeviceGetCudaComputeCapability": lambda gpu: list(gpu[3]),
        }

        def recorded(name, function):
            def call(*arguments):
                called.append(name)
                if failing and name in failing:
                    raise pynvml.NVMLError(failing[name])
                return function(*arguments)

            return call

        for name, function in functions.items():
            monkeypatch.setattr(pynvml, name, recorded(name, function))  # which fails for one that the library lacks
        return called

    return use


@pytest.fixture(autouse=True)
def _no_choice_of_gpus(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize("as_bytes", [False, True])
def test_every_gpu_is_described(use_driver, as_bytes):
    called = use_driver([H100, T4], as_bytes=as_bytes)
    assert local_gpus() == (
        Gpu(name="NVIDIA H100", memory_gib=80.0, capability=(9, 0)),
        Gpu(name="Tesla T4", memory_gib=16.0, capability=(7, 5)),
    )
    assert (called[0], called[-1]) == ("nvmlInit", "nvmlShutdown")


@pytest.mark.parametrize("as_bytes", [False, True])
def test_only_visible_gpus_count_and_in_the_order_asked_for(use_driver, monkeypatch, as_bytes):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-aaaa")
    use_driver([H100, T4, A100], as_bytes=as_bytes)
    assert [gpu.name for gpu in local_gpus()] == ["NVIDIA A100", "NVIDIA H100"]


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
    assert visible_devices(variable, [Device(uuid) for uuid in UUIDS]) == tuple((index, None) for index in indices)


CUT = [Device("GPU-aaaa-1111", ("MIG-1a", "MIG-1b")), Device("GPU-bbbb-2222"), Device("GPU-cccc-3333", ("MIG-3a",))]


@pytest.mark.parametrize(
    ("variable", "seen"),
    [
        (None, [(0, "MIG-1a"), (0, "MIG-1b"), (1, None), (2, "MIG-3a")]),
        ("MIG-1b", [(0, "MIG-1b")]),
        ("MIG-3,MIG-1a", [(2, "MIG-3a"), (0, "MIG-1a")]),
        ("MIG-1", []),
        ("MIG-1a,MIG-1a", []),
        ("MIG-9,MIG-1a", []),
        ("0", [(0, "MIG-1a"), (0, "MIG-1b")]),
        ("GPU-c,1", [(2, "MIG-3a"), (1, None)]),
        ("0,MIG-1b", []),
    ],
)
def test_a_gpu_that_mig_has_cut_counts_as_its_instances(variable, seen):
    assert list(visible_devices(variable, CUT)) == seen


def test_an_instance_is_described_by_its_own_memory_and_the_capability_of_its_gpu(use_driver, monkeypatch):
    instances = [("MIG-1a", "NVIDIA H100 MIG 3g.40gb", 40), ("MIG-1b", "NVIDIA H100 MIG 1g.10gb", 10)]
    use_driver([H100, T4])

    def instance(gpu, index):
        if index >= len(instances):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return instances[index]

    def mode(gpu):
        if gpu == T4:
            raise pynvml.NVMLError(NOT_SUPPORTED)
        return [1, 1]

    monkeypatch.setattr(pynvml, "nvmlDeviceGetMigMode", mode)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMaxMigDeviceCount", lambda gpu: 7)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMigDeviceHandleByIndex", instance)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", {one[0]: one for one in instances}.get)
    assert local_gpus() == (
        Gpu(name="NVIDIA H100 MIG 3g.40gb", memory_gib=40.0, capability=(9, 0), is_part=True),
        Gpu(name="NVIDIA H100 MIG 1g.10gb", memory_gib=10.0, capability=(9, 0), is_part=True),
        Gpu(name="Tesla T4", memory_gib=16.0, capability=(7, 5)),
    )
    assert [gpu.uuid for gpu in local_gpus()] == ["MIG-1a", "MIG-1b", T4[0]]


@pytest.mark.parametrize("status", [LIBRARY_MISSING, DRIVER_MISSING])
def test_a_machine_without_library_or_driver_has_no_gpus(use_driver, status):
    called = use_driver([H100], {"nvmlInit": status})
    assert local_gpus() == ()
    assert called == ["nvmlInit"]


@pytest.mark.parametrize(
    "name",
    [
        "nvmlInit",
        "nvmlDeviceGetCount",
        "nvmlDeviceGetHandleByIndex",
        "nvmlDeviceGetUUID",
        "nvmlDeviceGetName",
        "nvmlDeviceGetCudaComputeCapability",
    ],
)
@pytest.mark.parametrize("status", [LOST, FUNCTION_MISSING])
def test_a_driver_that_fails_or_lacks_a_function_means_no_gpus(use_driver, name, status):
    called = use_driver([H100], {name: status})
    assert local_gpus() == ()
    assert called[-1] == ("nvmlInit" if name == "nvmlInit" else "nvmlShutdown")


def test_a_driver_that_cannot_be_left_was_asked_all_the_same(use_driver):
    use_driver([T4], {"nvmlShutdown": LOST})
    assert [gpu.name for gpu in local_gpus()] == ["Tesla T4"]


def test_a_gpu_without_memory_of_its_own_has_an_unknown_one(use_driver):
    use_driver([H100], {"nvmlDeviceGetMemoryInfo": NOT_SUPPORTED})
    assert local_gpus() == (Gpu(name="NVIDIA H100", memory_gib=None, capability=(9, 0)),)


def test_this_machine_has_cores_memory_and_a_name(use_driver):
    use_driver([T4])
    machine = local_machine()
    assert machine.host
    assert 1 <= machine.num_cpus <= (os.cpu_count() or 1)
    assert 0 < machine.memory_gib <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    assert machine.gpus == (Gpu(name="Tesla T4", memory_gib=16.0, capability=(7, 5)),)


def test_the_real_driver_is_asked_without_harm():
    assert all(isinstance(gpu, Gpu) for gpu in local_gpus())


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
