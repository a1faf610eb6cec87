"""A job of Slurm: it ends in order when its time is nearly up, and is queued again only where that helps."""

import json
import os
import signal
from pathlib import Path

import pytest

from lm_eval.grid.slurm import job
from lm_eval.grid.slurm.common_dtype import forget_capabilities, known_capabilities, settle_capabilities
from lm_eval.grid.slurm.overview import read_arrays
from lm_eval.grid.slurm.submission import draft, freeze
from lm_eval.grid.slurm.surroundings import settle_in
from lm_eval.results.folder import ResultsFolder
from lm_eval.scheduling.executors.in_process import InProcessExecutor
from lm_eval.scheduling.hardware import Gpu, Machine, machine_of
from lm_eval.scheduling.units import Ended
from tests.support.grids import options, small_grid


class Disturbed(InProcessExecutor):
    """Computes in this process, which gets a signal once so many units have ended."""

    def __init__(self, number: int, after: int):
        super().__init__()
        object.__setattr__(self, "sent", (number, after))

    def machines(self):
        number, after = self.sent
        if after == 0:
            os.kill(os.getpid(), number)
        return super().machines()

    def run(self, queue, workforce):
        number, after = self.sent
        for event in super().run(queue, workforce):
            yield event
            after -= isinstance(event, Ended)
            if after == 0 and isinstance(event, Ended):
                os.kill(os.getpid(), number)


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Path:
    """A folder of programs that write down how they were called, in place of Slurm's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("scontrol", "squeue"):
        path = folder / name
        path.write_text(
            f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/calls\ncat {tmp_path}/{name}.out 2>/dev/null; true\n'
        )
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    for name, value in {"SLURM_JOB_ID": "42", "SLURM_ARRAY_JOB_ID": "40", "SLURM_ARRAY_TASK_ID": "1"}.items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture(autouse=True)
def _as_before(monkeypatch, tmp_path):
    """Whatever a job changes of this process is as before."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGALRM)
    handlers = {number: signal.getsignal(number) for number in numbers}
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LM_EVAL_SLURM_JOB", "")
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def run_job(gpt2, data_dir, tmp_path, monkeypatch, programs):
    """Run a job of a submission with an executor; return its status, what it records, and Slurm's commands called."""
    monkeypatch.setattr("sys.argv", ["run_parallel_x.py"])

    def run(executor=None, submission=None, **flags):
        made = submission or submit(**flags)
        monkeypatch.setattr("lm_eval.grid.script.choose_executor", lambda *_, **__: executor or InProcessExecutor())
        (tmp_path / "calls").unlink(missing_ok=True)
        status = job.main([str(made.folder)])
        record = json.loads((made.folder / "jobs" / "40_1.json").read_text())
        calls = (tmp_path / "calls").read_text().splitlines() if (tmp_path / "calls").exists() else []
        return status, record, [call for call in calls if "requeue" in call]

    def submit(**flags):
        chosen = options(data_dir, tmp_path / "results", slurm="-p gpu", slurm_jobs=2, **flags)
        drafted = draft(chosen, tmp_path / "results", 60.0)
        made = freeze(drafted, [small_grid(gpt2)]).submitted_as("40", None)
        made.write()
        return made

    run.submit = submit
    return run


def results(tmp_path) -> list[Path]:
    return list((tmp_path / "results").glob("*.json"))


def test_a_job_that_computes_everything_has_finished(run_job, tmp_path):
    status, record, calls = run_job()
    assert (status, record["why"], record["is_queued_again"], calls) == (0, "finished", False, [])
    assert len(results(tmp_path)) == 3


def test_a_job_that_is_told_finishes_what_is_under_way_and_queues_itself_again(run_job, tmp_path):
    submission = run_job.submit()
    status, record, calls = run_job(Disturbed(signal.SIGUSR1, 1), submission)
    assert (status, record["why"]) == (130, "its time is nearly up")
    assert record["is_queued_again"]
    assert calls == ["scontrol requeue 40_1"]
    assert 0 < len(results(tmp_path)) < 3
    assert run_job(None, submission)[0] == 0
    assert len(results(tmp_path)) == 3


def test_a_job_that_got_nothing_done_is_not_queued_again(run_job):
    status, record, calls = run_job(Disturbed(signal.SIGUSR1, 0))
    assert (status, record["is_queued_again"], calls) == (130, False, [])
    assert "nothing was finished in it, so it is not queued again: give it a longer --time" in record["why"]


def test_a_cancelled_job_is_interrupted_and_not_queued_again(run_job, tmp_path):
    status, record, calls = run_job(Disturbed(signal.SIGTERM, 1))
    assert (status, record["why"], calls) == (130, "cancelled", [])
    assert len(results(tmp_path)) > 0


def test_a_job_that_is_cancelled_after_it_was_told_is_not_queued_again(run_job, monkeypatch):
    class Cancelled(Disturbed):
        def run(self, queue, workforce):
            for event in super().run(queue, workforce):
                yield event
                if isinstance(event, Ended):
                    os.kill(os.getpid(), signal.SIGTERM)

    status, record, calls = run_job(Cancelled(signal.SIGUSR1, 1))
    assert (status, record["why"], record["is_queued_again"], calls) == (130, "cancelled", False, [])


def test_a_preempted_job_queues_itself_again(run_job, tmp_path):
    (tmp_path / "scontrol.out").write_text("JobId=42 JobState=RUNNING PreemptTime=2026-01-01T00:00:00 Requeue=1\n")
    status, record, calls = run_job(Disturbed(signal.SIGTERM, 1))
    assert (status, record["why"], calls) == (130, "preempted", ["scontrol requeue 40_1"])


def test_a_job_that_slurm_has_queued_again_itself_says_so(run_job, programs, tmp_path):
    with (programs / "scontrol").open("a") as program:
        program.write('[ "$1" = requeue ] && echo "Job is pending execution for job 42" >&2 && exit 1\ntrue\n')
    _, record, _ = run_job(Disturbed(signal.SIGUSR1, 1))
    assert (record["why"], record["is_queued_again"]) == ("its time is nearly up", True)


def test_a_job_that_may_not_be_queued_again_says_so(run_job, programs, tmp_path):
    with (programs / "scontrol").open("a") as program:
        program.write('[ "$1" = requeue ] && echo "Access/permission denied" >&2 && exit 1\ntrue\n')
    _, record, _ = run_job(Disturbed(signal.SIGUSR1, 1))
    assert not record["is_queued_again"]
    assert "it could not be queued again (Access/permission denied): submit the call again" in record["why"]


def test_a_job_of_other_code_says_so_and_ends(run_job, monkeypatch):
    submission = run_job.submit()
    monkeypatch.setattr("lm_eval.grid.slurm.submission.code_digest", lambda: "another")
    status, record, calls = run_job(None, submission)
    assert (status, record["is_queued_again"], calls) == (2, False, [])
    assert record["why"].startswith("the code of lm_eval has changed since this was submitted")


def test_overwriting_counts_from_the_submission_not_from_the_job(run_job, tmp_path, capsys):
    run_job()
    submission = run_job.submit(overwrite_results=True)
    assert run_job(Disturbed(signal.SIGUSR1, 1), submission)[0] == 130
    assert "3 to run, 0 done" in capsys.readouterr().out
    assert run_job(None, submission)[0] == 0
    assert "1 to run, 2 done" in capsys.readouterr().out


def test_status_tells_of_jobs_that_wait_run_and_have_ended(run_job, tmp_path):
    submission = run_job.submit()
    (tmp_path / "squeue.out").write_text("40_0|PENDING|(Priority)\n40_1|RUNNING|n1\n")
    (array,) = read_arrays(tmp_path / "results")
    assert array.states == {"40_0": "waiting (Priority)", "40_1": "running on n1"}
    run_job(Disturbed(signal.SIGUSR1, 1), submission)
    (tmp_path / "squeue.out").write_text("40_1|PENDING|(BeginTime)\n")
    (array,) = read_arrays(tmp_path / "results")
    assert array.states["40_0"] == "ended before it began"
    assert array.states["40_1"] == "queued again, its time is nearly up, (BeginTime)"
    assert not array.is_over
    run_job(None, submission)
    (tmp_path / "squeue.out").write_text("")
    (array,) = read_arrays(tmp_path / "results")
    assert array.states["40_1"] == "ended (finished)"
    assert array.is_over
    assert array.lines()[0].startswith("Slurm 40, 2 jobs, submitted ")


def test_all_jobs_decide_the_dtype_by_the_gpus_of_the_first(tmp_path):
    def with_gpu(capability):
        gpu = Gpu(name="any", memory_gib=None, capability=capability)
        return Machine(host="here", num_cpus=1, memory_gib=1.0, gpus=(gpu,))

    assert known_capabilities(tmp_path) is None
    assert settle_capabilities(tmp_path, with_gpu((9, 0))) == ((9, 0),)
    assert settle_capabilities(tmp_path, with_gpu((7, 0))) == ((9, 0),)
    assert known_capabilities(tmp_path) == ((9, 0),)
    forget_capabilities(tmp_path)
    assert settle_capabilities(tmp_path, with_gpu(None)) == (None,)
    assert [path.name for path in tmp_path.iterdir()] == ["gpus.json"]


def test_a_job_computes_in_the_dtype_that_was_settled(run_job, tmp_path):
    submission = run_job.submit()
    machine = machine_of([(9, 0)])
    settle_capabilities(submission.folder.parent, machine)
    assert run_job(None, submission)[0] == 0
    assert {"bfloat16"} == {stored.identity["dtype"] for stored in ResultsFolder(tmp_path / "results")}


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({"SLURM_JOB_GPUS": "2,3"}, "2,3"),
        ({"SLURM_JOB_GPUS": "2,3", "CUDA_VISIBLE_DEVICES": "0,1"}, "0,1"),
        ({}, None),
    ],
)
def test_a_job_uses_the_gpus_that_slurm_has_given_it(monkeypatch, given, seen):
    for name in ("SLURM_JOB_GPUS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, given.get(name, ""))
        if name not in given:
            monkeypatch.delenv(name)
    settle_in()
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == seen
