"""The queue of a grid's work: order, claims, attempts; whatever happens, every run ends with one outcome."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_eval.config.checkpoint import Checkpoint
from lm_eval.config.run_config import RunConfig
from lm_eval.results.failures import Failure
from lm_eval.results.identity import Run
from lm_eval.scheduling.queue import MAX_ATTEMPTS, WorkQueue
from lm_eval.scheduling.units import Claim, Outcome, UnitReport, WorkUnit, make_units
from tests.support.grids import expand, grid
from tests.support.runs import fake_runs

SETTINGS = {"WORD_AGG_SCHEME": ["mean", "w1mean"]}
BIG, SMALL = ("some/big", None, None, Checkpoint()), ("some/small", None, None, Checkpoint())


def runs(*models: str, shots: Sequence[int] = (1, 2, 3)) -> list[Run]:
    """Two runs a pass, and a pass for each number of shots."""
    return fake_runs(expand(grid(models=list(models), num_fewshot=list(shots), settings=SETTINGS)))


def done(run: Run) -> Outcome:
    return Outcome(config=run.config, result={"of": run.config.num_fewshot})


def failed(run: Run, kind="run") -> Outcome:
    return Outcome(config=run.config, failure=Failure(message="no luck", kind=kind))


def test_configurations_that_share_a_pass_are_a_unit():
    units = make_units(runs("some/big", "some/small"))
    assert [len(unit.runs) for unit in units] == [2] * 6
    assert {unit.key for unit in units} == {BIG, SMALL}


def test_the_largest_model_goes_first_and_each_worker_makes_its_model_less_urgent():
    queue = WorkQueue(units=make_units(runs("some/small", "some/big")), sizes={BIG: 3.0, SMALL: 1.0})
    assert queue.by_urgency({}) == [BIG, SMALL]
    assert queue.by_urgency({BIG: 1}) == [BIG, SMALL]  # 3 / 2 a worker against 1
    assert queue.by_urgency({BIG: 3}) == [SMALL, BIG]


def test_units_of_a_model_are_taken_in_order_until_none_is_left():
    queue = WorkQueue(units=make_units(runs("some/big")))
    taken = []
    while (unit := queue.take(BIG)) is not None:
        taken.append(unit.runs[0].config.num_fewshot)
    assert taken == [1, 2, 3]
    assert not queue


def test_only_what_another_driver_neither_has_nor_does_is_taken():
    all_runs = runs("some/big", shots=[1, 2])
    claims = {1: Claim(mine=(), done=tuple(all_runs[:1]), held=tuple(all_runs[1:2]))}
    queue = WorkQueue(
        units=make_units(all_runs),
        claim=lambda asked: claims.get(asked[0].config.num_fewshot, Claim(mine=tuple(asked))),
    )
    unit = queue.take(BIG)
    assert unit is not None
    assert unit.runs == tuple(all_runs[2:])
    assert list(queue.settled()) == [Outcome(config=all_runs[0].config, elsewhere=True)]
    assert queue.take(BIG) is None
    assert len(queue) == 1  # what the other driver does is still waited for


def test_what_another_driver_held_is_asked_for_again_after_a_while(monkeypatch):
    monkeypatch.setattr("lm_eval.scheduling.queue.HELD_POLL_S", 60.0)
    answers = iter([False, True])

    def claim(asked):
        return Claim(mine=tuple(asked)) if next(answers) else Claim(mine=(), held=tuple(asked))

    queue = WorkQueue(units=make_units(runs("some/big", shots=[1])), claim=claim)
    assert queue.take(BIG) is None
    queue.look_again()
    assert queue.by_urgency({}) == []
    monkeypatch.setattr("lm_eval.scheduling.queue.HELD_POLL_S", 0.0)
    queue.look_again()
    assert queue.take(BIG) is not None
    assert not queue


def test_a_run_that_lacks_memory_is_tried_with_more_gpus_until_there_are_no_more():
    (unit,) = make_units(runs("some/big", shots=[1]))
    shares = {None: 1.0, 1.0: 2.0, 2.0: None}
    queue = WorkQueue(units=[unit], larger_share=lambda tried: shares[tried.share])
    asked = []
    while (taken := queue.take(BIG)) is not None:
        asked.append((taken.share, len(taken.runs)))
        queue.report(taken, UnitReport(outcomes=[failed(taken.runs[0], "memory"), *map(done, taken.runs[1:])]))
    assert asked == [(None, 2), (1.0, 1), (2.0, 1)]
    assert [(o.config, o.failure is None) for o in queue.settled()] == [
        (unit.runs[1].config, True),
        (unit.runs[0].config, False),
    ]


def test_a_model_that_cannot_be_loaded_fails_all_its_runs_and_no_other_models():
    queue = WorkQueue(units=make_units(runs("some/big", "some/small")))
    unit = queue.take(BIG)
    assert unit is not None
    failure = Failure(message="no weights", kind="load")
    outcomes = [Outcome(config=run.config, failure=failure) for run in unit.runs]
    queue.report(unit, UnitReport(outcomes=outcomes, could_load=False))
    settled = list(queue.settled())
    assert [outcome.failure for outcome in settled] == [failure] * 6
    assert {outcome.config.pretrained for outcome in settled} == {"some/big"}
    assert queue.by_urgency({}) == [SMALL]


def test_a_model_that_one_worker_has_loaded_is_not_given_up_because_another_cannot():
    queue = WorkQueue(units=make_units(runs("some/big")))
    first, second = queue.take(BIG), queue.take(BIG)
    assert first is not None
    assert second is not None
    queue.report(first, UnitReport(outcomes=[done(run) for run in first.runs]))
    outcomes = [failed(run, "load") for run in second.runs]
    queue.report(second, UnitReport(outcomes=outcomes, could_load=False))
    assert [outcome.failure for outcome in queue.settled()] == [None, None]
    assert queue.num_units(BIG) == 2


def test_what_another_driver_has_computed_in_vain_is_a_failure_here_too():
    (unit,) = make_units(runs("some/big", shots=[1]))
    failure = Failure(message="no luck")
    queue = WorkQueue(units=[unit], claim=lambda asked: Claim(mine=(asked[1],), failed=((asked[0], failure),)))
    assert queue.take(BIG) == replace(unit, runs=unit.runs[1:])
    assert list(queue.settled()) == [Outcome(config=unit.runs[0].config, failure=failure)]


def test_a_unit_whose_workers_die_is_tried_again_then_run_by_run_then_given_up():
    (unit,) = make_units(runs("some/big", shots=[1]))
    queue, sizes = WorkQueue(units=[unit]), []
    while (taken := queue.take(BIG)) is not None:
        sizes.append(len(taken.runs))
        queue.died(taken, Failure(message="killed", kind="death"))
    assert sizes == [2, 2, 1, 1]
    assert MAX_ATTEMPTS == 3
    assert [(o.config, o.failure.message) for o in queue.settled()] == [(run.config, "killed") for run in unit.runs]


EVENTS = st.lists(st.sampled_from(["done", "failed", "memory", "load", "death", "held"]), max_size=40)


@given(EVENTS, st.integers(0, 2))
def test_whatever_happens_every_run_ends_with_exactly_one_outcome(events, num_shares):
    everything = runs("some/big", "some/small")
    waiting = iter(events)
    shares = {None: 1.0, 1.0: 2.0, 2.0: 3.0}

    def claim(asked):
        if next(waiting, "done") == "held":
            return Claim(mine=tuple(asked[1:]), held=tuple(asked[:1]))
        return Claim(mine=tuple(asked))

    queue = WorkQueue(
        units=make_units(everything),
        claim=claim,
        larger_share=lambda unit: share if (share := shares.get(unit.share, 9.0)) <= num_shares else None,
    )
    ended: Counter[RunConfig] = Counter()
    for _ in range(1000):
        if not queue:
            break
        queue._checked_held = -1e9  # as if the time for another look had come
        queue.look_again()
        unit = queue.take(queue.by_urgency({})[0])
        ended.update(outcome.config for outcome in queue.settled())
        if unit is not None:
            _let_happen(queue, unit, next(waiting, "done"))
            ended.update(outcome.config for outcome in queue.settled())
    assert not queue
    assert ended == Counter(run.config for run in everything)


def _let_happen(queue: WorkQueue, unit: WorkUnit, event: str) -> None:
    if event == "death":
        queue.died(unit, Failure(message="killed", kind="death"))
    elif event == "load":
        outcomes = [failed(run, "load") for run in unit.runs]
        queue.report(unit, UnitReport(outcomes=outcomes, could_load=False))
    elif event in ("failed", "memory"):
        kind = "run" if event == "failed" else "memory"
        first, *others = unit.runs
        queue.report(unit, UnitReport(outcomes=[failed(first, kind), *map(done, others)]))
    else:
        queue.report(unit, UnitReport(outcomes=[done(run) for run in unit.runs]))


@pytest.mark.parametrize("share", [None, 2.0])
def test_a_unit_says_how_many_gpus_it_asks_for(share):
    units = [replace(unit, share=share) for unit in make_units(runs("some/big", shots=[1]))]
    queue = WorkQueue(units=units)
    assert queue.next_share(BIG) == share
    assert queue.num_units(BIG) == 1
    assert queue.num_units(SMALL) == 0
