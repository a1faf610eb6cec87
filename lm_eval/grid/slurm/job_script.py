"""The job script of a submission, and how long before its time limit a job is told."""

import shlex
import sys
from pathlib import Path

from lm_eval.grid.slurm.request import SlurmRequest
from lm_eval.grid.slurm.submission import Submission

_TOP = Path(__file__).resolve().parents[3]
_LONGEST_LEAD_S, _SHORTEST_LEAD_S, _USUAL_LEAD_S = 300.0, 20.0, 120.0
RESERVE_S = 45.0
"""Of this time, so much or a half is kept for the end: results are written, Ray ends, the job is queued again."""


def choose_lead(time_s: float | None) -> float:
    """Return how many seconds before its time limit a job is told: enough for most pieces that are under way.

    Args:
        time_s: the time limit; None where it isn't known.
    """
    if time_s is None:
        return _USUAL_LEAD_S
    return min(_LONGEST_LEAD_S, max(_SHORTEST_LEAD_S, time_s / 10), max(1.0, time_s / 2))


def patience_s(lead_s: float) -> float:
    """Return how long a job that was told goes on with what it has begun."""
    return lead_s - min(RESERVE_S, lead_s / 2)


def job_script(submission: Submission, request: SlurmRequest) -> str:
    """Return the script of each job."""
    return "\n".join([
        "#!/bin/bash",
        *(f"#SBATCH {line}" for line in [*request.lines, *_own_lines(submission, request)]),
        "",
        f"# {_say_part(submission.num_jobs)} of this call:",
        *(f"#   {line}" for line in submission.command_line.splitlines()),
        "trap '' USR1  # until the driver listens",
        *request.setup.splitlines(),
        f"cd {shlex.quote(submission.cwd)} || exit 2",
        f"export PYTHONPATH={shlex.quote(str(_TOP))}${{PYTHONPATH:+:$PYTHONPATH}}",
        f"exec {shlex.quote(sys.executable)} -m lm_eval.grid.slurm.job {shlex.quote(str(submission.folder))}",
        "",
    ])  # fmt: skip


def _say_part(num_jobs: int) -> str:
    return "The work" if num_jobs == 1 else f"One of {num_jobs} jobs that share the work"


def _own_lines(submission: Submission, request: SlurmRequest) -> list[str]:
    """Return the options that the array needs, and those that the user has left to it."""
    name = Path(submission.argv[0]).stem or "lm_eval"
    usual = {
        "nodes": "1",
        "job-name": name,
        "output": str(submission.logs / "%A_%a.log"),
        "open-mode": "append",
    }
    lines = [f"--{option}={value}" for option, value in usual.items() if option not in request.stated]
    lines += [f"--array=0-{submission.num_jobs - 1}", f"--signal=B:USR1@{round(submission.lead_s)}", "--requeue"]
    return [shlex.quote(line) for line in lines]
