"""Shares of GPUs: how many a model takes, and that no GPU is given away twice."""

import subprocess
import sys
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_eval.errors import ConfigurationError
from lm_eval.scheduling.hardware import Gpu, Machine
from lm_eval.scheduling.placement import FreeGpus, Placement, choose_share, larger_share


def machine(*memories_gib):
    gpus = tuple(Gpu(name="any", memory_gib=memory, capability=None) for memory in memories_gib)
    return Machine(host="any", num_cpus=8, memory_gib=64.0, gpus=gpus)


def chosen(memory_gib, machines, *, num_gpus=None, num_units=1):
    return choose_share(memory_gib, machines, num_gpus=num_gpus, num_units=num_units, name="big/model", dtype="float16")


@pytest.mark.parametrize(
    ("memory_gib", "machines", "share"),
    [
        (8.9, [machine(10)], 1),
        (9.0, [machine(10)], 1),
        (9.1, [machine(10, 10)], 2),
        (18.1, [machine(10, 10, 10)], 3),
        (9.1, [machine(10, 10), machine(20)], 1),
        (30.0, [machine(10), machine(10, 10, 10, 10)], 4),
        (19.0, [machine(20, 10, 10)], 3),  # two count as 2 * 10
        (19.0, [machine(20, 20, 10)], 2),
        (19.0, [machine(10, 20, 20)], 2),
        (1000.0, [machine(None)], 1),
        (1000.0, [machine(10, None)], 1),
        (None, [machine(10, 10)], 1),
    ],
)
def test_a_model_gets_the_fewest_gpus_that_hold_it(memory_gib, machines, share):
    assert chosen(memory_gib, machines) == share


@pytest.mark.parametrize(
    ("memory_gib", "machines", "num_units", "share"),
    [
        (2.0, [machine(10, 10)], 2, 1),  # each unit has a GPU of its own already
        (2.0, [machine(10, 10)], 3, 1 / 2),  # two a GPU are enough to run all three at once
        (2.0, [machine(10, 10)], 6, 1 / 3),
        (2.0, [machine(10, 10)], 8, 1 / 4),
        (2.0, [machine(10, 10)], 100, 1 / 4),
        (3.0, [machine(10, 10)], 100, 1 / 3),
        (4.5, [machine(10, 10)], 100, 1 / 2),
        (4.6, [machine(10, 10)], 100, 1),
        (2.0, [machine(10), machine(5)], 100, 1 / 2),  # the smallest GPU decides
        (2.0, [machine(10), machine(3)], 100, 1),
        (2.0, [machine(10, None)], 100, 1),
        (2.0, [machine(None)], 100, 1),
        (12.0, [machine(10, 10)], 100, 2),
    ],
)
def test_small_models_share_a_gpu_where_units_outnumber_the_gpus(memory_gib, machines, num_units, share):
    assert chosen(memory_gib, machines, num_units=num_units) == share


@pytest.mark.parametrize("memory_gib", [0.5, 1000.0, None])
def test_a_number_asked_for_is_taken_whatever_the_memory(memory_gib):
    assert chosen(memory_gib, [machine(10, 10), machine(10)], num_gpus=2, num_units=100) == 2


def test_more_gpus_than_a_machine_has_are_refused():
    with pytest.raises(
        ConfigurationError,
        match=r"^--NUM_GPUS_PER_RUN 3: no machine of the cluster has so many GPUs; the largest has 2$",
    ):
        chosen(1.0, [machine(10, 10), machine(10)], num_gpus=3)


@pytest.mark.parametrize(
    ("machines", "held"),
    [([machine(10, 10)], "18.0"), ([machine(10), machine(20, 20, 1)], "36.0"), ([machine(30, 1)], "27.0"), ([], "0.0")],
)
def test_a_model_too_large_for_every_machine_is_refused(machines, held):
    with pytest.raises(
        ConfigurationError,
        match=f"^big/model: the model needs about 40.2 GiB in float16, the largest machine holds {held} GiB: "
        "choose a smaller model or dtype, add GPUs, or force a number with -N$",
    ):
        chosen(40.25, machines)


@pytest.mark.parametrize(
    ("share", "machines", "larger"),
    [
        (0.25, [machine(10)], 1),
        (1 / 3, [machine(10, 10)], 1),
        (1, [machine(10)], None),
        (1, [machine(10), machine(10, 10)], 2),
        (2, [machine(*[10] * 8)], 4),
        (4, [machine(*[10] * 8)], 8),
        (8, [machine(*[10] * 8)], None),
        (2, [machine(10, 10, 10)], 3),
        (4, [machine(*[10] * 6)], 6),
        (3, [machine(*[10] * 8)], 6),
        (1, [], None),
    ],
)
def test_after_a_lack_of_memory_the_gpus_double_up_to_the_largest_machine(share, machines, larger):
    assert larger_share(share, machines) == larger


def place(machine_index, *gpus, share=1.0):
    return Placement(machine=machine_index, gpus=gpus, share=share)


def test_a_fraction_goes_to_the_fullest_gpu_that_has_it_left():
    room = FreeGpus([machine(10, 10)])
    assert room.take(1 / 4) == place(0, 0, share=1 / 4)
    assert room.take(1 / 2) == place(0, 0, share=1 / 2)
    assert room.take(1 / 2) == place(0, 1, share=1 / 2)
    assert room.take(1 / 4) == place(0, 0, share=1 / 4)
    assert room.take(1 / 2) == place(0, 1, share=1 / 2)
    assert room.take(1 / 4) is None


def test_three_thirds_make_a_whole():
    room = FreeGpus([machine(10)])
    thirds = [room.take(1 / 3) for _ in range(3)]
    assert thirds == [place(0, 0, share=1 / 3)] * 3
    assert room.take(1 / 3) is None
    for third in thirds:
        room.give_back(third)
    assert room.take(1) == place(0, 0, share=1)


def test_a_whole_number_needs_wholly_free_gpus_of_one_machine():
    room = FreeGpus([machine(10, 10), machine(10)])
    assert room.take(1 / 2) == place(0, 0, share=1 / 2)
    assert room.take(2) is None


def test_a_whole_number_goes_to_the_machine_with_the_fewest_free_gpus_that_suffice():
    room = FreeGpus([machine(*[10] * 4), machine(10, 10), machine(10)])
    assert room.take(2) == place(1, 0, 1, share=2)
    assert room.take(1) == place(2, 0)
    assert room.take(3) == place(0, 0, 1, 2, share=3)
    assert room.take(1) == place(0, 3)
    assert room.take(1) is None


def test_gpus_too_small_for_a_model_are_left_alone():
    room = FreeGpus([machine(10), machine(40, 10)])
    assert room.take(1, 30.0) == place(1, 0)
    assert room.take(1, 30.0) is None
    assert room.take(1, 9.0) == place(0, 0)
    assert room.take(1 / 2, 5.0) is None
    assert room.take(1 / 2, 4.5) == place(1, 1, share=1 / 2)


@pytest.mark.parametrize("share", [0, -1, 1.5, 2.25])
def test_a_share_is_whole_or_below_one(share):
    with pytest.raises(ValueError, match=f"whole number of GPUs or a fraction below 1, got {share}$"):
        FreeGpus([machine(10, 10, 10)]).take(share)


def test_what_is_not_taken_cannot_be_given_back():
    room = FreeGpus([machine(10)])
    taken = room.take(1)
    room.give_back(taken)
    with pytest.raises(ValueError, match=r"gpus=\(0,\), share=1\) is not taken, so it can't be given back$"):
        room.give_back(taken)


SHARES = (Fraction(1, 4), Fraction(1, 3), Fraction(1, 2), Fraction(1), Fraction(2), Fraction(3))
STEPS = st.lists(st.one_of(st.sampled_from(SHARES), st.integers(0, 20)), max_size=40)
"""Fractions are shares to take, integers choose a place to give back."""


def used(places, num_machines):
    """What is in use of each GPU of each machine, added up from the places alone."""
    parts = [{} for _ in range(num_machines)]
    for taken, share in places:
        for gpu in taken.gpus:
            parts[taken.machine][gpu] = parts[taken.machine].get(gpu, 0) + min(share, 1)
    return parts


def fits(share, counts, parts):
    free = [[1 - parts[index].get(gpu, 0) for gpu in range(count)] for index, count in enumerate(counts)]
    if share < 1:
        return any(left >= share for gpus in free for left in gpus)
    return any(gpus.count(1) >= share for gpus in free)


@given(counts=st.lists(st.integers(0, 4), max_size=3), steps=STEPS)
def test_no_gpu_is_given_away_twice_and_none_is_withheld(counts, steps):
    machines = [machine(*[10] * count) for count in counts]
    room, places = FreeGpus(machines), []
    for step in steps:
        if isinstance(step, Fraction):
            fitting = fits(step, counts, used(places, len(counts)))
            taken = room.take(float(step))
            assert (taken is not None) == fitting
            if taken is not None:
                assert len(set(taken.gpus)) == max(step, 1)
                assert all(0 <= gpu < counts[taken.machine] for gpu in taken.gpus)
                places.append((taken, step))
        elif places:
            room.give_back(places.pop(step % len(places))[0])
        assert all(part <= 1 for parts in used(places, len(counts)) for part in parts.values())
    for taken, _ in places:
        room.give_back(taken)
    whole = [room.take(1) for _ in range(sum(counts))]
    assert None not in whole
    assert room.take(1 / 4) is None


@given(
    memory_gib=st.floats(0.1, 200.0),
    sizes_gib=st.lists(st.lists(st.sampled_from([None, 8.0, 11.0, 24.0, 80.0]), min_size=1, max_size=4), min_size=1),
    num_units=st.integers(1, 50),
)
def test_an_empty_cluster_has_room_for_every_share_chosen(memory_gib, sizes_gib, num_units):
    machines = [machine(*sizes) for sizes in sizes_gib]
    try:
        share = chosen(memory_gib, machines, num_units=num_units)
    except ConfigurationError:
        assert all(FreeGpus(machines).take(number, memory_gib) is None for number in range(1, 5))
        return
    assert FreeGpus(machines).take(share, memory_gib) is not None
    assert all(FreeGpus(machines).take(number, memory_gib) is None for number in range(1, int(share)))


@pytest.mark.parametrize("number", [2, 3, 4])
def test_as_many_copies_as_were_chosen_fit_at_once_even_at_the_limit(number):
    machines = [machine(11, 11)]
    memory_gib = 0.9 * 11 * (1 / number)
    share = chosen(memory_gib, machines, num_units=100)
    room = FreeGpus(machines)
    assert share == 1 / number
    assert None not in [room.take(share, memory_gib) for _ in range(2 * number)]


def test_planning_loads_nothing_heavy():
    code = (
        "import sys, lm_eval.scheduling.hardware, lm_eval.scheduling.placement, lm_eval.models.size\n"
        "print(sorted({'torch', 'transformers', 'ray'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


def test_machines_that_have_a_share_at_all_are_told_free_or_not():
    room = FreeGpus([machine(80), machine(24, 24), machine(24, 24, 24)])
    assert room.suitable(1, 40) == [0]
    assert room.suitable(2) == [1, 2]
    assert room.suitable(1 / 2, 10) == [0, 1, 2]
    assert room.suitable(4) == []
    room.take(3)
    assert room.suitable(3) == [2]
    assert [room.num_free(index) for index in range(3)] == [1, 2, 0]


def test_a_share_is_only_taken_among_the_machines_that_come_into_question():
    room = FreeGpus([machine(24), machine(24, 24)])
    placement = room.take(1, among=[1])
    assert placement is not None
    assert placement.machine == 1
    assert room.take(2, among=[0]) is None


def test_a_process_gets_one_of_the_instances_that_mig_has_cut():
    part = Gpu(name="any", memory_gib=10.0, capability=None, is_part=True)
    cut = Machine(host="any", num_cpus=8, memory_gib=64.0, gpus=(part,) * 7)
    assert chosen(8.0, [cut], num_units=7) == 1
    assert larger_share(1, [cut]) is None
    with pytest.raises(ConfigurationError, match=r"the largest machine holds 9\.0 GiB"):
        chosen(9.1, [cut])
    assert chosen(9.1, [cut, machine(10, 10)]) == 2
