"""Who gets what: decided from the queue and the machines alone, whatever starts the workers."""

from collections import Counter

import pytest

from lm_eval.config.checkpoint import Checkpoint
from lm_eval.config.runtime import Execution
from lm_eval.results.failures import Failure
from lm_eval.scheduling import assignment
from lm_eval.scheduling.allocation import Workforce
from lm_eval.scheduling.assignment import Assigner
from lm_eval.scheduling.hardware import Gpu, Machine
from lm_eval.scheduling.queue import WorkQueue
from lm_eval.scheduling.units import Outcome, UnitReport, make_units
from tests.support.grids import expand, grid
from tests.support.runs import fake_runs

BIG, SMALL = ("some/big", None, None, Checkpoint()), ("some/small", None, None, Checkpoint())


def machine(*memories_gib: float, num_cpus: int = 8) -> Machine:
    gpus = tuple(Gpu(name="any", memory_gib=memory, capability=(8, 0)) for memory in memories_gib)
    return Machine(host="any", num_cpus=num_cpus, memory_gib=64.0, gpus=gpus)


def queue_of(*models: str, shots: int = 2) -> WorkQueue:
    runs = fake_runs(expand(grid(models=list(models), num_fewshot=list(range(shots)))))
    return WorkQueue(units=make_units(runs), sizes={BIG: 3.0, SMALL: 1.0})


def on_gpus(*machines: Machine) -> Workforce:
    return Workforce(machines=machines, num_workers=4, threads=1, shares={BIG: 2, SMALL: 1})


def test_the_most_urgent_model_gets_the_gpus_it_needs_and_the_next_what_is_left():
    assigner = Assigner(queue_of("some/small", "some/big"), on_gpus(machine(12, 12, 12)))
    first = assigner.next_worker({}, 0, lambda: {0})
    second = assigner.next_worker({BIG: 1}, 1, lambda: {0})
    assert first is not None
    assert second is not None
    assert [(first.key, len(first.placement.gpus)), (second.key, len(second.placement.gpus))] == [(BIG, 2), (SMALL, 1)]
    assert assigner.next_worker({BIG: 1, SMALL: 1}, 2, lambda: {0}) is None


def test_a_machine_is_kept_free_for_a_model_that_waits_for_all_of_it():
    assigner = Assigner(queue_of("some/big", "some/small", shots=4), on_gpus(machine(12, 12)))
    small = assigner.next_worker({BIG: 9}, 0, lambda: {0})  # the large one is well served, so the small one is urgent
    assert small is not None
    assert small.key == SMALL
    assert assigner.next_worker({SMALL: 1}, 1, lambda: {0}) is None  # the free GPU waits for its fellow
    assigner.give_back(small.placement)
    big = assigner.next_worker({}, 0, lambda: {0})
    assert big is not None
    assert big.key == BIG


def test_a_free_worker_takes_units_of_its_model_and_share_until_none_is_left():
    queue = queue_of("some/small", shots=2)
    assigner = Assigner(queue, on_gpus(machine(12)))
    taken = [assigner.next_unit(SMALL, 1) for _ in range(3)]
    assert [unit is not None for unit in taken] == [True, True, False]
    assert assigner.next_unit(BIG, 2) is None


@pytest.mark.parametrize(("seconds", "starts"), [(1.0, False), (30.0, True)])
@pytest.mark.parametrize("gpus", [(), (12, 12)])
def test_a_model_gets_a_further_worker_only_for_more_work_than_its_start_takes(seconds, starts, gpus):
    queue = queue_of("some/small", shots=3)
    workforce = Workforce(machines=[machine(*gpus, num_cpus=2)], num_workers=2, threads=1)
    assigner = Assigner(queue, workforce)
    first = assigner.next_worker({}, 0, lambda: {0})
    assert first is not None
    outcomes = [Outcome(config=run.config) for run in first.unit.runs]
    assigner.pace.note(first.unit, UnitReport(outcomes=outcomes, seconds=seconds), 8.0)
    assert assigner.next_unit(SMALL, 1) is not None
    assert (assigner.next_worker({SMALL: 1}, 1, lambda: {0}) is not None) is starts
    assert (assigner.next_worker({}, 0, lambda: {0}) is not None) is not starts  # the only worker of a model is needed


def test_a_unit_that_wants_more_gpus_than_the_workers_have_gets_one_of_its_own():
    queue = queue_of("some/small", shots=1)
    queue.larger_share = lambda unit: 2.0
    assigner = Assigner(queue, on_gpus(machine(12, 12, 12)))
    first = assigner.next_worker({}, 0, lambda: {0})
    assert first is not None
    done = [Outcome(config=run.config) for run in first.unit.runs]
    assigner.pace.note(first.unit, UnitReport(outcomes=done, seconds=1.0), 8.0)
    short = Failure(message="no memory", kind="memory")
    queue.report(first.unit, UnitReport(outcomes=[Outcome(config=o.config, failure=short) for o in done]))
    again = assigner.next_worker({SMALL: 1}, 0, lambda: {0})
    assert again is not None
    assert again.share == 2.0


def test_a_worker_takes_another_model_where_that_frees_what_the_first_took():
    queue = queue_of("some/big", "some/small", shots=1)
    assert Assigner(queue, on_gpus(machine(12, 12))).unit_of_another_model({SMALL: 1}) is None
    on_cpus = Assigner(queue, Workforce(machines=[machine()], num_workers=1, threads=1))
    taken = [on_cpus.unit_of_another_model({SMALL: 1}) for _ in range(3)]
    assert [unit and unit.key for unit in taken] == [BIG, SMALL, None]


def test_without_gpus_there_are_no_more_workers_than_planned():
    workforce = Workforce(machines=[machine(num_cpus=4)], num_workers=2, threads=1)
    assigner, workers = Assigner(queue_of("some/small", shots=4), workforce), Counter()
    for num_busy in range(2):
        started = assigner.next_worker(workers, num_busy, lambda: {0})
        assert started is not None
        assert started.execution(Execution(), has_gpus=False).device == "cpu"
        workers[SMALL] += 1
    assert assigner.next_worker(workers, 2, lambda: {0}) is None


@pytest.mark.parametrize(("share", "spread", "part"), [(2, True, 1.0), (1, False, 1.0), (0.25, False, 0.25)])
def test_a_share_says_how_a_worker_computes(share, spread, part):
    workforce = Workforce(machines=[machine(12, 12)], num_workers=4, threads=1, shares={SMALL: share})
    started = Assigner(queue_of("some/small"), workforce).next_worker({}, 0, lambda: {0})
    assert started is not None
    execution = started.execution(Execution(log_samples=True), has_gpus=True)
    assert (execution.device, execution.spread, execution.gpu_share) == (None, spread, part)
    assert execution.log_samples


def test_what_no_machine_can_run_any_more_is_given_up_after_a_while(monkeypatch):
    queue = queue_of("some/big")
    assigner = Assigner(queue, on_gpus(machine(12, 12)))
    assert assigner.next_worker({}, 0, set) is None
    assigner.give_up_lost_models()
    assert queue
    monkeypatch.setattr(assignment, "GIVE_UP_S", -1.0)
    assigner.give_up_lost_models()
    assert not queue
    assert {outcome.failure.kind for outcome in queue.settled() if outcome.failure} == {"death"}
