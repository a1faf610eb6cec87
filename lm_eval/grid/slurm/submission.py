"""A submission: a call frozen as files, in the results folder's state, from which its jobs carry it out.

`grid.yaml` holds the grids, with the models, tasks and lists of the call; `submission.json` its other flags, the digest
of the code, and the moment from which results count as its own. Each job has a file that tells how it began and ended.
"""

import os
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from lm_eval.common.atomic import write_json
from lm_eval.common.json_files import read_json
from lm_eval.common.typed_files import FileModel, Text, read_as
from lm_eval.errors import ConfigurationError
from lm_eval.grid.flags import Flags
from lm_eval.grid.grid import Grid
from lm_eval.grid.grid_file import read_grids, write_grids
from lm_eval.grid.options import Options
from lm_eval.results.pieces import state_folder
from lm_eval.results.provenance import code_digest, code_version, command_line, describe_code, now

_FROZEN = ("models", "tasks", "grid", "write_grid", "dry_run", "list", "slurm", "slurm_jobs", "slurm_setup")
"""Flags that are settled at the submission: what the grid holds, and what concerns the submission itself."""

_SHOWING = ("--dry_run", "--list")
"""Flags of a call that only shows what would be submitted."""


class _SubmissionFile(FileModel):
    argv: Annotated[list[Text], Field(min_length=1)]
    command_line: Text
    cwd: Text
    results_dir: Text
    flags: dict[str, bool | int | Text | None]
    has_num_gpus: bool
    num_jobs: Annotated[int, Field(ge=1)]
    lead_s: float
    since: float
    digest: Text
    code: Text
    submitted: Text
    job_id: Text | None
    cluster: Text | None


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A call that was submitted, with all that its jobs need to carry it out."""

    folder: Path
    """Where its files are."""
    argv: Sequence[str]
    """The call's words."""
    command_line: str
    cwd: str
    """The folder in which it was called."""
    results_dir: str
    flags: Mapping[str, bool | int | str | None]
    """The flags that the jobs go by."""
    has_num_gpus: bool
    num_jobs: int
    lead_s: float
    """Seconds before its time limit at which a job is told."""
    since: float = 0.0
    """The moment of the submission, by the file system's clock."""
    digest: str
    """Of the code."""
    code: str
    """The code's version, in words."""
    submitted: str
    job_id: str | None = None
    """What Slurm calls the array; None before it is submitted."""
    cluster: str | None = None
    """Which of several clusters has it; None where there is one."""

    @property
    def grid_file(self) -> Path:
        """The frozen grid."""
        return self.folder / "grid.yaml"

    @property
    def script(self) -> Path:
        """The job script."""
        return self.folder / "job.sh"

    @property
    def logs(self) -> Path:
        """Where what the jobs print goes."""
        return Path(self.results_dir) / "logs" / "slurm"

    def options(self) -> Options:
        """Return the flags of its jobs."""
        return Options(**self.flags, has_num_gpus=self.has_num_gpus)  # type: ignore[arg-type]

    def grids(self) -> list[Grid]:
        """Return the grids as they were at the submission."""
        return read_grids(str(self.grid_file))

    def submitted_as(self, job_id: str, cluster: str | None) -> "Submission":
        """Return it with the name that Slurm has given to its array."""
        return replace(self, job_id=job_id, cluster=cluster)

    def write(self) -> None:
        """Write it, without its grids."""
        content = asdict(self)
        del content["folder"]
        write_json(self.folder / "submission.json", content)


def submissions_folder(results: Path) -> Path:
    """Return the subfolder of a results folder that holds submissions."""
    return state_folder(results) / "slurm"


def draft(options: Options, results: Path, lead_s: float) -> Submission:
    """Return the submission of a call as it would be; nothing is written.

    Args:
        options: the flags.
        results: the results folder.
        lead_s: seconds before its time limit at which a job is told.
    """
    results = results.resolve()
    name = f"{datetime.now(tz=timezone.utc):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    flags: dict[str, Any] = {
        item.name: getattr(options, item.name) for item in fields(Flags) if item.name not in _FROZEN
    }
    return Submission(
        folder=submissions_folder(results) / name,
        argv=list(sys.argv),
        command_line=command_line(without=_SHOWING),
        cwd=os.getcwd(),  # noqa: PTH109  (as text, for the job script)
        results_dir=str(results),
        flags={**flags, "results_dir": str(results)},
        has_num_gpus=options.has_num_gpus,
        num_jobs=options.slurm_jobs,
        lead_s=lead_s,
        digest=code_digest(),
        code=describe_code(code_version()),
        submitted=now(),
    )


def freeze(submission: Submission, grids: Sequence[Grid]) -> Submission:
    """Write a submission into the state of its results folder, before it is handed over; return it with its moment.

    Args:
        submission: the submission.
        grids: the grids, with the models and tasks of the flags.

    Raises:
        ConfigurationError: the folder cannot be written.
    """
    folder = submission.folder
    try:
        (folder / "jobs").mkdir(parents=True)
        submission.logs.mkdir(parents=True, exist_ok=True)
        write_grids(str(submission.grid_file), grids)
        submission = replace(submission, since=submission.grid_file.stat().st_mtime)
        submission.write()
    except OSError as error:
        raise ConfigurationError(
            f"results folder {submission.results_dir}: cannot be written ({error.strerror}); choose another"
        ) from error
    return submission


def read_submission(folder: Path) -> Submission:
    """Read a submission.

    Raises:
        ConfigurationError: there is none, or it is damaged.
    """
    try:
        file = read_as(_SubmissionFile, read_json(folder / "submission.json"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{folder}: this submission can't be read ({error}); submit the call again") from error
    return Submission(folder=folder, **{name: getattr(file, name) for name in type(file).model_fields})


def check_code(submission: Submission) -> None:
    """See that a submission is carried out by the code that it was submitted with.

    Raises:
        ConfigurationError: this is other code.
    """
    if (here := code_digest()) != submission.digest:
        raise ConfigurationError(
            f"the code of lm_eval has changed since this was submitted (digest {submission.digest} then, {here} now; "
            f"then {submission.code}, now {describe_code(code_version())}): submit the call again"
        )
