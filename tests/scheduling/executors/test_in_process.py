"""The executor within this process: in which order, what it yields, and that it ends whatever happens."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lm_eval.scheduling.queue
from lm_eval.config.checkpoint import Checkpoint
from lm_eval.config.run_config import RunConfig
from lm_eval.results.failures import Failure
from lm_eval.results.identity import Run
from lm_eval.scheduling.allocation import Workforce
from lm_eval.scheduling.executors.base import Executor
from lm_eval.scheduling.executors.in_process import InProcessExecutor
from lm_eval.scheduling.hardware import Machine, local_machine
from lm_eval.scheduling.queue import WorkQueue
from lm_eval.scheduling.units import Claim, Ended, Outcome, Started, UnitReport, Waiting, make_units, model_key
from tests.support.grids import expand, grid
from tests.support.runs import fake_runs

MACHINE = Machine(host="any", num_cpus=2, memory_gib=8.0, gpus=())
WORKFORCE = Workforce(machines=[MACHINE], num_workers=1, threads=1)
BIG, SMALL = ("some/big", None, None, Checkpoint()), ("some/small", None, None, Checkpoint())
FATES = ("done", "failed", "memory", "load")


class FakeWorker:
    """Lets units end as their turn says, and then well; a model that could not be loaded stays so."""

    fates: Iterator[str] = iter(())
    ran: list[tuple[RunConfig, ...]]

    def __init__(self, execution: object, num_threads: int | None) -> None:
        self.unloadable: set[object] = set()
        FakeWorker.ran = []

    def run(self, configs: Sequence[RunConfig], resolve: Callable[[RunConfig], Run], blocks: object = ()) -> UnitReport:
        FakeWorker.ran.append(tuple(configs))
        key, fate = model_key(configs[0]), next(FakeWorker.fates, "done")
        if fate == "load" or key in self.unloadable:
            self.unloadable.add(key)
            failure = Failure(message="no weights", kind="load")
            return UnitReport(outcomes=[Outcome(config=c, failure=failure) for c in configs], could_load=False)
        if fate == "done":
            return UnitReport(outcomes=[Outcome(config=c, result={}) for c in configs])
        failure = Failure(message="no luck", kind="memory" if fate == "memory" else "run")
        first, *others = configs
        outcomes = [Outcome(config=first, failure=failure), *(Outcome(config=c, result={}) for c in others)]
        return UnitReport(outcomes=outcomes)


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    monkeypatch.setattr("lm_eval.scheduling.executors.in_process.Worker", FakeWorker)
    monkeypatch.setattr("lm_eval.scheduling.queue.HELD_POLL_S", 0.01)
    monkeypatch.setattr("lm_eval.scheduling.executors.in_process.HELD_POLL_S", 0.01)


def runs(*models: str, shots: Sequence[int] = (2, 1, 0)) -> list[Run]:
    values = {"WORD_AGG_SCHEME": ["mean", "w1mean"]}
    return fake_runs(expand(grid(models=list(models), num_fewshot=list(shots), settings=values)))


def events(queue: WorkQueue, fates: Sequence[str] = ()) -> list[object]:
    FakeWorker.fates = iter(fates)
    return list(InProcessExecutor().run(queue, WORKFORCE))


def outcomes(found: Sequence[object]) -> list[Outcome]:
    return [event for event in found if isinstance(event, Outcome)]


def test_it_is_an_executor_on_this_machine_that_needs_nothing():
    executor = InProcessExecutor()
    assert isinstance(executor, Executor)
    assert executor.machines() == [replace(local_machine(), max_workers=1)]
    executor.check_paths(["/nowhere"])
    executor.close()


def test_a_unit_is_begun_ended_and_told_before_the_next(monkeypatch):
    units = make_units(runs("some/small", shots=[1, 0]))
    found = events(WorkQueue(units=units))
    assert [type(event) for event in found] == 2 * [Started, Ended, Outcome, Outcome]
    assert [event.unit.runs for event in found if isinstance(event, Started)] == [unit.runs for unit in units]
    assert {event.worker for event in found if isinstance(event, (Started, Ended))} == {"here"}


def test_the_largest_model_goes_first_and_is_loaded_once(monkeypatch):
    units = make_units(runs("some/small", "some/big", shots=[2, 1, 0]))
    events(WorkQueue(units=units, sizes={BIG: 1e9, SMALL: 1e6}))
    assert [model_key(ran[0]) for ran in FakeWorker.ran] == 3 * [BIG] + 3 * [SMALL]


def test_an_empty_queue_is_nothing_to_do():
    assert events(WorkQueue(units=[])) == []


def test_what_lacks_memory_fails_where_there_is_no_larger_share():
    found = outcomes(events(WorkQueue(units=make_units(runs("some/big", shots=[1]))), ["memory"]))
    assert [o.failure.kind if o.failure else None for o in found] == ["memory", None]


def test_what_lacks_memory_is_tried_again_alone_where_there_is_a_larger_share():
    queue = WorkQueue(
        units=make_units(runs("some/big", shots=[1])), larger_share=lambda unit: 1.0 if unit.share is None else None
    )
    found = outcomes(events(queue, ["memory", "done"]))
    assert [o.failure for o in found] == [None, None]
    assert [len(ran) for ran in FakeWorker.ran] == [2, 1]


def test_a_model_that_cannot_be_loaded_is_tried_once_and_the_others_go_on():
    queue = WorkQueue(units=make_units(runs("some/big", "some/small")), sizes={BIG: 2.0})
    found = outcomes(events(queue, ["load"]))
    assert [model_key(ran[0]) for ran in FakeWorker.ran] == [BIG, SMALL, SMALL, SMALL]
    assert {(model_key(o.config), o.failure is None) for o in found} == {(BIG, False), (SMALL, True)}
    assert len(found) == 12


def test_what_another_driver_holds_is_waited_for_and_told_as_done_elsewhere():
    looks = iter(["held", "held", "done"])
    (unit,) = make_units(runs("some/big", shots=[1]))

    def claim(asked: Sequence[Run]) -> Claim:
        return Claim(mine=(), **{next(looks): tuple(asked)})

    found = events(WorkQueue(units=[unit], claim=claim))
    assert [o.elsewhere for o in outcomes(found)] == [True, True]
    assert {type(event) for event in found} == {Waiting, Outcome}
    assert FakeWorker.ran == []


def test_while_another_driver_holds_one_run_the_others_are_computed():
    (unit,) = make_units(runs("some/big", shots=[1]))
    looks = iter([True, True, False])

    def claim(asked: Sequence[Run]) -> Claim:
        if next(looks):
            return Claim(mine=tuple(asked[1:]), held=tuple(asked[:1]))
        return Claim(mine=tuple(asked))

    found = events(WorkQueue(units=[unit], claim=claim))
    assert [o.config for o in outcomes(found)] == [unit.runs[1].config, unit.runs[0].config]
    assert any(isinstance(event, Waiting) for event in found)


def test_a_grid_that_is_broken_off_runs_nothing_more():
    FakeWorker.fates = iter(())
    running = InProcessExecutor().run(WorkQueue(units=make_units(runs("some/big"))), WORKFORCE)
    for event in running:
        if isinstance(event, Outcome):
            break
    running.close()
    assert len(FakeWorker.ran) == 1


@settings(max_examples=50)
@given(
    fates=st.lists(st.sampled_from(FATES), max_size=12),
    claims=st.lists(st.sampled_from(["mine", "held", "half", "done"]), max_size=8),
    num_shares=st.integers(0, 2),
)
def test_whatever_happens_every_run_is_told_once_and_it_ends(fates, claims, num_shares):
    everything = runs("some/big", "some/small")
    answers, shares = iter(claims), {None: 1.0, 1.0: 2.0}

    def claim(asked: Sequence[Run]) -> Claim:
        answer = next(answers, "mine")
        if answer == "half":
            return Claim(mine=tuple(asked[1:]), held=tuple(asked[:1]))
        return Claim(**{"mine": (), answer: tuple(asked)})

    queue = WorkQueue(
        units=make_units(everything),
        claim=claim,
        larger_share=lambda unit: share if (share := shares.get(unit.share, 9.0)) <= num_shares else None,
    )
    told = [outcome.config for outcome in outcomes(events(queue, fates))]
    assert sorted(told, key=str) == sorted((run.config for run in everything), key=str)
    assert not queue


def test_held_units_keep_what_is_known_of_them(monkeypatch):
    (unit,) = make_units(runs("some/big", shots=[1]))
    answers = iter(["mine", "held", "mine", "held", "mine", "mine", "mine"])

    def claim(asked: Sequence[Run]) -> Claim:
        return Claim(**{"mine": (), next(answers): tuple(asked)})

    monkeypatch.setattr(lm_eval.scheduling.queue, "HELD_POLL_S", 0.0)
    queue, deaths = WorkQueue(units=[unit], claim=claim), []
    while queue:
        queue.look_again()
        taken = queue.take(BIG)
        if taken is not None:
            deaths.append((taken.deaths, len(taken.runs)))
            queue.died(taken, Failure(message="killed", kind="death"))
    assert deaths == [(0, 2), (1, 2), (2, 1), (2, 1)]
    assert {o.config for o in queue.settled()} == {run.config for run in unit.runs}
