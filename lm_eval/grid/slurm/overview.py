"""What has become of the jobs of a results folder: which wait, run and have ended, and why."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lm_eval.common.command import INTERRUPTED
from lm_eval.errors import ConfigurationError
from lm_eval.grid.slurm.commands import QueuedJob, queued_jobs
from lm_eval.grid.slurm.job_record import JobRecord, read_records
from lm_eval.grid.slurm.submission import Submission, read_submission, submissions_folder

_ENDED_SHOWN = 3
"""How many submissions are shown whose jobs have all ended."""
_NAMES_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Array:
    """A submission, and what has become of each of its jobs, in words."""

    submission: Submission
    states: Mapping[str, str]
    """By the job's name."""
    is_over: bool
    """Whether no job waits or runs."""

    def lines(self) -> list[str]:
        """Describe it: the jobs of each state together."""
        submission, by_state = self.submission, defaultdict[str, list[str]](list)
        for job, state in self.states.items():
            by_state[state].append(job)
        number = f"{submission.num_jobs} job{'' if submission.num_jobs == 1 else 's'}"
        return [
            f"Slurm {submission.job_id}, {number}, submitted {submission.submitted}: {submission.command_line}",
            *(f"    {len(jobs)} {state}: {_name(jobs)}" for state, jobs in by_state.items()),
        ]


def _name(jobs: Sequence[str]) -> str:
    more = f" and {len(jobs) - _NAMES_SHOWN} more" if len(jobs) > _NAMES_SHOWN else ""
    return ", ".join(jobs[:_NAMES_SHOWN]) + more


def read_arrays(results: Path) -> list[Array]:
    """Return the submissions of a results folder, the newest first: all that go on, and some that are over."""
    arrays: list[Array] = []
    num_over = 0
    folder = submissions_folder(results)
    for path in sorted(folder.iterdir(), reverse=True) if folder.is_dir() else ():
        try:
            submission = read_submission(path)
        except ConfigurationError:  # damaged, or of another version of this code
            continue
        if submission.job_id is None:
            continue
        array = _look_at(submission)
        num_over += array.is_over
        if not array.is_over or num_over <= _ENDED_SHOWN:
            arrays.append(array)
    return arrays


def _look_at(submission: Submission) -> Array:
    records = {record.job: record for record in read_records(submission.folder)}
    names = [f"{submission.job_id}_{place}" for place in range(submission.num_jobs)]
    if all((record := records.get(name)) and record.ended and record.status != INTERRUPTED for name in names):
        return Array(submission=submission, states={n: _say_end(records[n]) for n in names}, is_over=True)
    queued = queued_jobs(str(submission.job_id), submission.cluster)
    by_name = {job.job: job for job in queued or ()}
    states = {name: _say(records.get(name), by_name.get(name), is_known=queued is not None) for name in names}
    is_over = queued is not None and not by_name
    return Array(submission=submission, states=states, is_over=is_over)


def _say(record: JobRecord | None, job: QueuedJob | None, *, is_known: bool) -> str:
    """Return what has become of a job, in words.

    Args:
        record: what it tells itself; None before it has begun.
        job: what Slurm says of it; None where it doesn't know the job.
        is_known: whether Slurm could be asked.
    """
    if job is not None and job.state == "PENDING":
        again = f" again, {record.why}," if record is not None and record.is_queued_again else ""
        return f"queued{again} ({job.reason})" if again else f"waiting ({job.reason})"
    if job is not None and (record is None or record.ended is None):
        return f"{job.state.lower()} on {job.reason}"
    if record is not None and record.ended is not None and not record.is_queued_again:
        return _say_end(record)
    if job is not None:
        return f"{job.state.lower()} on {job.reason}, {record.why if record else ''}"
    if not is_known:
        return (
            "waiting or running, Slurm can't be asked"
            if record is None
            else f"running on {record.host} when it last wrote"
        )
    return (
        "ended before it began"
        if record is None
        else f"ended on {record.host} without a word (killed, or its node lost)"
    )


def _say_end(record: JobRecord) -> str:
    return f"ended ({record.why})"
