"""What the driver does with what is told of its workers, and with Ray when it is lost; the other side is made up."""

from collections.abc import Callable, Iterator

import pytest

from lm_eval.config.run_config import RunConfig
from lm_eval.config.runtime import Execution
from lm_eval.scheduling.allocation import Workforce
from lm_eval.scheduling.executors.base import ExecutorLostError
from lm_eval.scheduling.executors.choose import choose_executor
from lm_eval.scheduling.executors.ray import executor as module
from lm_eval.scheduling.executors.ray import pool
from lm_eval.scheduling.executors.ray.executor import RayExecutor
from lm_eval.scheduling.executors.ray.link import RayLink
from lm_eval.scheduling.executors.ray.messages import (
    Command,
    Died,
    EndWorker,
    Message,
    RayLostError,
    Reported,
    RunUnit,
    StartWorker,
    Tick,
)
from lm_eval.scheduling.executors.ray.watch import Watch
from lm_eval.scheduling.executors.signs import Sign
from lm_eval.scheduling.hardware import Machine, local_machine
from lm_eval.scheduling.queue import WorkQueue
from lm_eval.scheduling.units import Ended, Outcome, UnitReport, make_units
from tests.support.grids import expand, grid
from tests.support.runs import fake_runs

HERE = Machine(host="here", num_cpus=2, memory_gib=8.0, gpus=())
WORKFORCE = Workforce(machines=[HERE], num_workers=1, threads=1)


class FakeLink(RayLink):
    """The other side of a link: each look at it, as many as a test says, tells what a worker does with its unit."""

    is_local, worker_folder, joined = True, None, ""

    def __init__(self, tells: Callable[[list[Command]], list[Message]]) -> None:
        self.sent: list[Command] = []
        self._tells = tells

    def connect(self) -> None:
        pass

    def ask(self, function: str, *arguments: object) -> list[str]:
        assert function == "list_nodes"
        return ["node"]

    def send(self, command: Command) -> None:
        self.sent.append(command)

    def receive(self, timeout_s: float) -> list[Message]:
        return self._tells(self.sent) if timeout_s else []

    def close(self) -> None:
        pass


def queue_of(number: int) -> WorkQueue:
    return WorkQueue(units=make_units(fake_runs(expand(grid(models=["some/model"], num_fewshot=list(range(number)))))))


def well(sent: list[Command]) -> list[Message]:
    """Every unit that is under way ends well."""
    (*_, last) = [command for command in sent if isinstance(command, RunUnit)]
    return [Reported(worker=last.worker, report=report_of(last.configs))]


def report_of(configs: list[RunConfig]) -> UnitReport:
    return UnitReport(outcomes=[Outcome(config=config, result={}) for config in configs])


def run(link: FakeLink, queue: WorkQueue, watch: Watch | None = None) -> Iterator[object]:
    return pool.WorkerPool(queue, WORKFORCE, link, ["node"], Execution(), watch or Watch()).run()


def test_a_worker_goes_on_with_unit_after_unit_and_is_ended_at_last():
    link = FakeLink(well)
    events = list(run(link, queue_of(3)))
    assert len([event for event in events if isinstance(event, Outcome)]) == 3
    kinds = [type(command) for command in link.sent]
    assert kinds == [StartWorker, RunUnit, RunUnit, RunUnit, EndWorker]


def test_the_unit_of_a_dead_worker_goes_to_another_twice_at_most():
    def dies(sent: list[Command]) -> list[Message]:
        (*_, last) = [command for command in sent if isinstance(command, RunUnit)]
        return [Died(worker=last.worker, cause="killed", host="here", log="the end")]

    link = FakeLink(dies)
    events = list(run(link, queue_of(1)))
    (outcome,) = [event for event in events if isinstance(event, Outcome)]
    assert outcome.failure.message == "its worker died (killed) 3 times"
    assert (outcome.failure.kind, outcome.failure.log_tail) == ("death", "the end")
    assert [command.worker for command in link.sent if isinstance(command, StartWorker)] == [
        *("worker-1", "worker-2", "worker-3")
    ]


class Silence:
    """Workers that show a sign once and then none; the first ends when it is told to, or never."""

    def __init__(self, monkeypatch, *, ends: bool) -> None:
        self.now, self.ends = 0.0, ends
        monkeypatch.setattr(pool.time, "monotonic", lambda: self.now)

    def __call__(self, sent: list[Command]) -> list[Message]:
        self.now += 1.0
        units = [command for command in sent if isinstance(command, RunUnit)]
        if units[-1].worker != "worker-1":
            return well(sent)
        told_to_end = any(isinstance(command, EndWorker) for command in sent)
        if told_to_end and self.ends:
            return [Died(worker="worker-1", cause="Ray says nothing of use", host="here", log="")]
        return [Tick(nodes=frozenset(["node"]), signs={"worker-1": Sign(1, "1", 1)})]


@pytest.mark.parametrize("ends", [True, False])
def test_a_worker_that_stands_still_is_replaced_before_its_place_is_used_again(monkeypatch, capsys, ends):
    link = FakeLink(Silence(monkeypatch, ends=ends))
    two = Workforce(machines=[HERE, HERE], num_workers=2, threads=2)
    events = list(pool.WorkerPool(queue_of(1), two, link, ["node", "node"], Execution(), Watch(5.0)).run())
    assert [type(event) for event in events if isinstance(event, Outcome)] == [Outcome]
    places = [type(command).__name__ for command in link.sent]
    assert places[:4] == ["StartWorker", "RunUnit", "EndWorker", *(["EndWorker"] if ends else ["StartWorker"])]
    told = capsys.readouterr().err
    assert "worker-1 is replaced: no sign of life for 5 s" in told
    assert ("worker-1 cannot be ended" in told) is not ends
    log = "".join(event.log for event in events if isinstance(event, Ended))
    assert ("showed no sign of life" if ends else "could not be ended") in log


def test_a_report_that_comes_after_all_counts_and_its_worker_gets_nothing_more(monkeypatch):
    silence = Silence(monkeypatch, ends=True)

    def tells(sent: list[Command]) -> list[Message]:
        is_ended = any(isinstance(command, EndWorker) for command in sent)
        return well(sent) if is_ended else silence(sent)

    link = FakeLink(tells)
    events = list(run(link, queue_of(2), Watch(5.0)))
    assert [event.failure for event in events if isinstance(event, Outcome)] == [None, None]
    assert [command.worker for command in link.sent if isinstance(command, RunUnit)] == ["worker-1", "worker-2"]


def test_a_machine_gets_no_worker_as_long_as_a_process_there_cannot_be_ended(monkeypatch, capsys):
    silence = Silence(monkeypatch, ends=False)

    def tells(sent: list[Command]) -> list[Message]:
        others = {command.worker for command in sent if isinstance(command, StartWorker)} - {"worker-1"}
        if silence.now > 80 and not others:
            return [Died(worker="worker-1", cause="gone at last", host="here", log="")]
        return silence(sent)

    link = FakeLink(tells)
    events = list(run(link, queue_of(1), Watch(5.0)))
    assert [event.failure for event in events if isinstance(event, Outcome)] == [None]
    assert 80 < silence.now < 90
    assert "worker-1 cannot be ended" in capsys.readouterr().err


def test_a_report_that_came_before_ray_was_lost_is_taken():
    class LostLater(FakeLink):
        def receive(self, timeout_s: float) -> list[Message]:
            if timeout_s:
                raise RayLostError("Ray on this machine has not answered for 60 s")
            return well(self.sent)

    queue = queue_of(1)
    events: list[object] = []
    with pytest.raises(RayLostError):
        events.extend(run(LostLater(well), queue))
    assert [event.failure for event in events if isinstance(event, Outcome)] == [None]
    assert [event.worker for event in events if isinstance(event, Ended)] == ["worker-1"]
    assert not queue


def test_a_worker_that_was_never_started_is_a_fault_of_the_machines_own_ray(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(pool.time, "monotonic", lambda: now[0])

    def nothing(sent: list[Command]) -> list[Message]:
        now[0] += 20
        return [Tick(nodes=frozenset(["node"]))]

    queue = queue_of(1)
    with pytest.raises(RayLostError, match="has started no process for worker-1"):
        list(run(FakeLink(nothing), queue))
    assert len(queue) == 1  # waits again
    assert "worker-1 has been waiting for CPU cores of here" in capsys.readouterr().err


def lose_then(monkeypatch, times: int) -> list[FakeLink]:
    """Let Ray be lost so many times, each time with a unit under way, and then work."""
    links: list[FakeLink] = []

    def lose(sent: list[Command]) -> list[Message]:
        raise RayLostError("Ray on this machine has not answered for 60 s")

    def link(cluster: str, silent_s: float) -> FakeLink:
        links.append(FakeLink(lose if len(links) < times else well))
        return links[-1]

    monkeypatch.setattr(module, "RayLink", link)
    return links


def test_ray_on_this_machine_is_started_again_and_the_grid_goes_on(monkeypatch, capsys):
    links, queue = lose_then(monkeypatch, 3), queue_of(2)
    events = list(RayExecutor().run(queue, WORKFORCE))
    assert len(links) == 4
    assert [event.failure for event in events if isinstance(event, Outcome)] == [None, None]
    assert "Ray is started again (3 of 3 times)" in capsys.readouterr().err


def test_ray_that_is_lost_a_fourth_time_ends_the_grid_in_order(monkeypatch):
    lose_then(monkeypatch, 4)
    queue = queue_of(2)
    with pytest.raises(ExecutorLostError, match="after 3 new starts; call again for the rest"):
        list(RayExecutor().run(queue, WORKFORCE))
    assert len(queue) == 2


def test_a_cluster_that_was_joined_is_not_started_again(monkeypatch):
    links = lose_then(monkeypatch, 1)
    monkeypatch.setattr(module, "check_address", lambda cluster: None)
    with pytest.raises(ExecutorLostError, match="call again once the cluster runs"):
        list(RayExecutor(cluster="there:6379").run(queue_of(1), WORKFORCE))
    assert len(links) == 1


def test_a_dry_run_joins_no_cluster_that_was_not_asked_for_by_its_address(capsys):
    executor = choose_executor("auto", log_samples=False, is_dry=True)
    assert executor.machines() == [local_machine()]
    assert "a dry run joins no cluster" in capsys.readouterr().err
    assert isinstance(choose_executor("there:6379", log_samples=False, is_dry=True), RayExecutor)
