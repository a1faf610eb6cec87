"""Slurm's own commands: submitting, asking for the state of jobs, queueing a job again."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lm_eval.errors import ConfigurationError

_ANSWER_S = 60.0
"""How long a busy controller is waited for."""
_KEPT = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_TIME_FORMAT")
"""Variables that say where Slurm is, not what a session was given."""
_OF_SESSIONS = ("SLURM_", "SLURMD_", "SRUN_", "SALLOC_", "RAY_", "PMI", "PMIX_", "OMPI_")
"""Beginnings of variables that a session of Slurm or Ray leaves in its environment."""
_OF_ALLOCATIONS = ("CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK", "TMPDIR")
"""Variables that Slurm sets for what a job was given."""
_VARIABLES = {"ARRAY_INX": "array", "TIMELIMIT": "time", "JOB_NAME": "job-name", "MEM_PER_NODE": "mem"}
"""What follows SBATCH_ in the names of some variables, and the option that each is in place of."""


def clean_environment(environment: Mapping[str, str], stated: Collection[str]) -> dict[str, str]:
    """Return an environment for `sbatch`, without what a session of Slurm or Ray has left in it.

    Args:
        environment: the environment of this process.
        stated: the options that the job script states: a variable of `sbatch` would go before them.
    """
    in_allocation = "SLURM_JOB_ID" in environment

    def is_kept(name: str) -> bool:
        if name.startswith("SBATCH_"):
            option = name.removeprefix("SBATCH_")
            return _VARIABLES.get(option, option.lower().replace("_", "-")) not in stated
        if name in _OF_ALLOCATIONS:
            return not in_allocation
        return name in _KEPT or not name.startswith(_OF_SESSIONS)

    return {name: value for name, value in environment.items() if is_kept(name)}


def check_slurm() -> None:
    """See that jobs can be submitted here.

    Raises:
        ConfigurationError: they can't.
    """
    if shutil.which("sbatch") is None:
        raise ConfigurationError(
            "--slurm: there is no sbatch here; call it on a machine where jobs are submitted, or leave --slurm out"
        )


_OWN = ("array", "signal", "requeue", "no-requeue", "wait", "open-mode", "output", "nodes", "job-name")
"""Options that job scripts state, or that would change what a submission is."""


def submit(script: Path, stated: Collection[str]) -> tuple[str, str | None]:
    """Submit a job script; return the job's id, and its cluster where there are several.

    Args:
        script: the file.
        stated: the options that it states.

    Raises:
        ConfigurationError: Slurm refuses it.
    """
    options = {*stated, *_OWN}
    ended = _call(["sbatch", "--parsable", str(script)], clean_environment(os.environ, options))
    if ended is None or ended.returncode != 0:
        said = "no answer" if ended is None else " ".join((ended.stderr or ended.stdout).split())
        raise ConfigurationError(f"--slurm: sbatch refused the job ({said.removeprefix('sbatch: error: ')})")
    job_id, _, cluster = ended.stdout.strip().splitlines()[-1].partition(";")
    return job_id, cluster or None


@dataclass(frozen=True)
class QueuedJob:
    """A job that Slurm knows, as `squeue` shows it."""

    job: str
    """The array and the place in it."""
    state: str
    reason: str
    """Why it waits, or the nodes that it runs on."""


def queued_jobs(job_id: str, cluster: str | None = None) -> list[QueuedJob] | None:
    """Return the jobs of an array that wait or run; None where Slurm can't be asked.

    Args:
        job_id: the array.
        cluster: the cluster that has it; None where there is one.
    """
    command = ["squeue", "--noheader", "--array", f"--jobs={job_id}", "--format=%i|%T|%R"]
    command += [f"--clusters={cluster}"] if cluster else []
    ended = _call(command, clean_environment(os.environ, ()))
    if ended is None:
        return None
    if ended.returncode != 0:  # it is so long over that Slurm has forgotten it, or Slurm doesn't answer
        return [] if "Invalid job id" in ended.stderr else None
    rows = [line.strip().split("|", 2) for line in ended.stdout.splitlines() if line.count("|") >= 2]
    return [QueuedJob(job, state, reason.strip("()")) for job, state, reason in rows]


def queue_again(job: str) -> str:
    """Queue a job again, which ends it; return what Slurm said against it, or "".

    Args:
        job: the array and the place in it. The id of the last place is that of the whole array.
    """
    ended = _call(["scontrol", "requeue", job], dict(os.environ))
    if ended is None:
        return "Slurm does not answer"
    said = " ".join((ended.stderr or ended.stdout).split())
    is_queued = ended.returncode == 0 or "pending" in said  # where Slurm has done it itself, for a preferred job
    return "" if is_queued else said or "no reason given"


def is_preempted(job: str) -> bool:
    """Whether a job ends because another is preferred.

    Args:
        job: the array and the place in it.
    """
    ended = _call(["scontrol", "--oneliner", "show", "job", job], dict(os.environ))
    fields = [] if ended is None else ended.stdout.split()
    return any(field.startswith("PreemptTime=") and field != "PreemptTime=None" for field in fields)


def _call(command: Sequence[str], environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str] | None":
    """Call a command of Slurm; return None where it isn't there or doesn't answer."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(  # noqa: S603
            command, env=dict(environment), capture_output=True, text=True, timeout=_ANSWER_S, check=False
        )
    return None
