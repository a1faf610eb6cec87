"""What a job finds on its node and settles before Ray starts: its GPUs, and the token that all jobs of a user share."""

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from lm_eval.scheduling.allotment import JOB_VARIABLE


def settle_in() -> None:
    """Settle what the job's processes inherit."""
    gpus = os.environ.get("SLURM_JOB_GPUS")
    if gpus and "CUDA_VISIBLE_DEVICES" not in os.environ:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus
    if job_id := os.environ.get("SLURM_JOB_ID"):
        os.environ[JOB_VARIABLE] = job_id
    with contextlib.suppress(OSError, RuntimeError):
        make_token(Path.home() / ".ray" / "auth_token")


def make_token(path: Path) -> None:
    """Make the token file that Ray shows to its own processes, unless there is one.

    Ray would write it in place; of several jobs that start at once one would read what another has half written.

    Raises:
        OSError: it cannot be written.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".auth_token.")  # readable by the user alone
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(secrets.token_hex(32))
        with contextlib.suppress(FileExistsError):  # another job was faster
            os.link(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
