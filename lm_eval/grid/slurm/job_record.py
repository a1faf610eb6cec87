"""What a job tells of itself in a file of its submission: since when it runs, how it ended and why.

Many sites keep no accounts of jobs that have ended, so this is all that is known of them.
"""

import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from lm_eval.common.atomic import write_json
from lm_eval.common.json_files import read_json
from lm_eval.common.typed_files import FileModel, Text, read_as
from lm_eval.results.provenance import now


class _RecordFile(FileModel):
    job: Text
    host: Text
    pid: int
    restarts: int
    began: Text
    ended: Text | None
    why: Text
    status: int | None
    is_queued_again: bool


@dataclass(kw_only=True)
class JobRecord:
    """A job of a submission."""

    job: str
    """What Slurm calls it: the array and the place in it."""
    host: str
    pid: int
    restarts: int
    """How often it was queued again before."""
    began: str
    ended: str | None = None
    why: str = ""
    """Why it ended, in words."""
    status: int | None = None
    """Its exit status."""
    is_queued_again: bool = False

    @classmethod
    def of_this_process(cls) -> "JobRecord":
        """Return the record of the job that this process is, as it begins."""
        job_id = os.environ.get("SLURM_ARRAY_JOB_ID")
        place = os.environ.get("SLURM_ARRAY_TASK_ID")
        restarts = os.environ.get("SLURM_RESTART_COUNT", "0")
        return cls(
            job=f"{job_id}_{place}" if job_id and place else os.environ.get("SLURM_JOB_ID", f"process-{os.getpid()}"),
            host=os.environ.get("SLURMD_NODENAME") or platform.node(),
            pid=os.getpid(),
            restarts=int(restarts) if restarts.isdecimal() else 0,
            began=now(),
        )

    def write(self, submission: Path) -> None:
        """Write it into the folder of its submission.

        Raises:
            OSError: it cannot be written.
        """
        write_json(submission / "jobs" / f"{self.job}.json", asdict(self))


def read_records(submission: Path) -> Iterator[JobRecord]:
    """Yield the records of a submission's jobs; a file that can't be read is skipped."""
    for path in sorted((submission / "jobs").glob("*.json")):
        try:
            file = read_as(_RecordFile, read_json(path))
        except (OSError, ValueError):
            continue
        yield JobRecord(**{name: getattr(file, name) for name in type(file).model_fields})
