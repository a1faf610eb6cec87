"""How many workers a grid gets, and what each takes of GPUs, memory and CPU cores."""

from dataclasses import replace

import pytest

from lm_eval.config.checkpoint import Checkpoint
from lm_eval.errors import ConfigurationError
from lm_eval.models.families import FAMILIES, find_family
from lm_eval.models.info import ModelFacts
from lm_eval.models.size import find_size
from lm_eval.scheduling.allocation import (
    Workforce,
    describe_share,
    dtype_notes,
    grid_dtype,
    plan_workforce,
    share_cpus,
)
from lm_eval.scheduling.hardware import Gpu, Machine
from lm_eval.scheduling.units import make_units
from tests.support.grids import expand, grid
from tests.support.runs import fake_runs


@pytest.mark.parametrize(
    ("cpus", "num_units", "num_workers", "threads"),
    [
        ([2], 1, 1, 2),
        ([2], 2, 2, 1),
        ([2], 9, 2, 1),
        ([8], 1, 1, 8),
        ([8], 3, 3, 2),
        ([64], 1, 1, 64),
        ([64], 100, 16, 4),
        ([4, 4], 2, 2, 4),
        ([4, 4], 100, 8, 1),
        ([1], 5, 1, 1),
        ([8, 2], 2, 2, 4),
        ([8, 2], 1, 1, 8),
    ],
)
def test_few_units_of_work_get_all_cores_and_many_share_them(cpus, num_units, num_workers, threads):
    assert share_cpus(cpus, num_units) == (num_workers, threads)


def machine(*memories_gib: float, num_cpus: int = 8, memory_gib: float = 64.0, capability=(8, 0)) -> Machine:
    gpus = tuple(Gpu(name="any", memory_gib=memory, capability=capability) for memory in memories_gib)
    return Machine(host="any", num_cpus=num_cpus, memory_gib=memory_gib, gpus=gpus)


def facts(name: str, hidden: int, num_layers: int) -> ModelFacts:
    """A GPT-2 of any size: 12 * layers * hidden ** 2 parameters and the tables."""
    config = {"n_embd": hidden, "n_layer": num_layers, "n_positions": 1024, "vocab_size": 50257}
    return ModelFacts(name=name, family=FAMILIES["gpt2"], num_layers=num_layers, config=config)


SIZES = {
    "some/small": find_size(facts("some/small", 768, 12)),  # 0.124 billion parameters, 2.2 GiB in bfloat16 with batches
    "some/big": find_size(facts("some/big", 4096, 32)),  # 6.7 billion, 17.4 GiB
    "some/odd": find_size(replace(facts("some/odd", 768, 12), config={})),
}
BIG, SMALL = ("some/big", None, "bfloat16", Checkpoint()), ("some/small", None, "bfloat16", Checkpoint())


def workforce(models: list[str], machines: list[Machine], num_gpus: int | None = None, shots: int = 1) -> Workforce:
    dtype = "bfloat16" if any(each.gpus for each in machines) else "float32"
    configs = expand(grid(models=models, num_fewshot=list(range(shots))))
    units = make_units(fake_runs(replace(config, dtype=dtype) for config in configs))
    return plan_workforce(units, SIZES, machines, num_gpus)


def test_each_model_gets_the_gpus_that_hold_it():
    found = workforce(["some/small", "some/big"], [machine(12, 12, 12, 12)])
    assert found.shares == {BIG: 2, SMALL: 1}
    assert found.num_workers == 2
    assert found.threads == 2
    assert found.describe() == "2 workers of 1 GPU or 2 GPUs"
    assert found.sizes[BIG] == pytest.approx(6.65e9, rel=0.01)


def test_small_models_share_a_gpu_where_more_passes_wait_than_there_are_gpus():
    found = workforce(["some/small"], [machine(12, 12)], shots=8)
    assert found.shares == {SMALL: 1 / 4}
    assert (found.num_workers, found.describe()) == (8, "8 workers of 1/4 GPU")


def test_a_number_of_gpus_that_is_given_holds_whatever_the_size():
    found = workforce(["some/small", "some/big"], [machine(2, 2)], num_gpus=1)
    assert found.shares == {BIG: 1, SMALL: 1}
    assert found.is_forced


def test_a_model_of_unknown_size_gets_one_gpu():
    assert workforce(["some/odd"], [machine(1, 1)]).shares == {("some/odd", None, "bfloat16", Checkpoint()): 1}


def test_a_model_that_no_machine_holds_is_refused():
    with pytest.raises(
        ConfigurationError,
        match=r"some/big: the model needs about 17\.\d GiB in bfloat16, the largest machine holds 10\.8 GiB: choose ",
    ):
        workforce(["some/big"], [machine(12), machine(8)])
    with pytest.raises(
        ConfigurationError, match="--NUM_GPUS_PER_RUN 3: no machine of the cluster has so many GPUs; th"
    ):
        workforce(["some/small"], [machine(12, 12)], num_gpus=3)


def test_without_gpus_no_more_workers_are_started_than_the_memory_holds():
    assert workforce(["some/small"], [machine(num_cpus=4)], shots=8).num_workers == 4
    assert workforce(["some/small"], [machine(num_cpus=4, memory_gib=6)], shots=8).num_workers == 2
    assert workforce(["some/small"], [machine(num_cpus=4)]).describe() == "1 worker of 4 CPU threads"
    with pytest.raises(
        ConfigurationError,
        match=r"some/big: the model needs about 26\.\d GiB in float32, the largest machine has 16\.0 GiB of memor",
    ):
        workforce(["some/big"], [machine(memory_gib=16)])


def test_a_lack_of_memory_asks_for_the_whole_gpu_and_then_for_more():
    found = workforce(["some/small"], [machine(12, 12, 12)], shots=12)
    (config,) = expand(grid(models=["some/small"], num_fewshot=[1]))
    (unit,) = make_units(fake_runs([replace(config, dtype="bfloat16")]))
    asked = [found.shares[SMALL]]
    while (share := found.larger_share(replace(unit, share=asked[-1]))) is not None:
        asked.append(share)
    assert asked == [1 / 4, 1, 2, 3]
    assert workforce(["some/small"], [machine()]).larger_share(unit) is None


@pytest.mark.parametrize(
    ("capabilities", "family", "dtype"),
    [
        ([(8, 0), (9, 0)], "gpt2", "bfloat16"),
        ([(7, 5), (9, 0)], "gpt2", "float16"),
        ([(7, 5), (9, 0)], "t5", "float32"),
        ([], "gpt2", "float32"),
    ],
)
def test_a_grid_has_one_dtype_that_all_its_gpus_compute(capabilities, family, dtype):
    machines = [machine(12, capability=capability) for capability in capabilities] or [machine()]
    assert grid_dtype(FAMILIES[family], machines) == dtype


OLD, NEW = (
    Gpu(name="Tesla T4", memory_gib=16.0, capability=(7, 5)),
    Gpu(name="A100", memory_gib=80.0, capability=(8, 0)),
)


@pytest.mark.parametrize("family", ["t5", "mt5", "umt5", "gemma2", "gemma3", "gemma3_text", "t5gemma", "gemma3n"])
def test_what_overflows_in_float16_never_defaults_to_it_and_that_is_said(family):
    families = {"some/model": find_family({"model_type": family}, "some/model"), "other": FAMILIES["llama"]}
    machines = [replace(machine(), gpus=(OLD, NEW))]
    assert grid_dtype(families["some/model"], machines) == "float32"
    (line,) = dtype_notes(families, machines)
    assert line.startswith("model: float32, for float16 overflows in such models, and GPUs before Ampere (Tesla T4) ")


@pytest.mark.parametrize("gpus", [(), (NEW,), (replace(OLD, capability=None),)])
def test_where_no_old_gpu_is_known_nothing_is_said_of_dtypes(gpus):
    assert dtype_notes({"some/t5": FAMILIES["t5"]}, [replace(machine(), gpus=gpus)]) == []
    assert dtype_notes({"some/gpt2": FAMILIES["gpt2"]}, [replace(machine(), gpus=(OLD,))]) == []


@pytest.mark.parametrize(("share", "told"), [(0.25, "1/4 GPU"), (1 / 3, "1/3 GPU"), (1, "1 GPU"), (4, "4 GPUs")])
def test_a_share_is_told_in_words(share, told):
    assert describe_share(share) == told


def test_a_machine_of_one_worker_gives_it_all_cores_and_one_gpu():
    units = make_units(fake_runs(expand(grid(num_fewshot=[0, 1, 2]))))
    alone = Machine(host="here", num_cpus=8, memory_gib=64.0, gpus=(), max_workers=1)
    workforce = plan_workforce(units, {"some/model": 10**6}, [alone], None)
    assert (workforce.num_workers, workforce.threads) == (1, 8)
    with_gpu = replace(alone, gpus=(Gpu(name="H100", memory_gib=80.0, capability=(9, 0)),))
    assert plan_workforce(units, {"some/model": 10**6}, [with_gpu], None).num_workers == 1
