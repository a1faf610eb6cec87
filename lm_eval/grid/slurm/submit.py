"""Submitting a grid to Slurm: it is checked and planned as any call, frozen, and handed over as an array of jobs."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lm_eval.common.atomic import check_writable
from lm_eval.common.console import fit, line_width
from lm_eval.config.run_config import describe
from lm_eval.errors import ConfigurationError
from lm_eval.grid.availability import missing_without_network
from lm_eval.grid.console import print_plan
from lm_eval.grid.dry_run import describe_dry_run
from lm_eval.grid.grid import Grid
from lm_eval.grid.job import Job, prepare
from lm_eval.grid.options import Options
from lm_eval.grid.plan import describe_plan
from lm_eval.grid.preflight import settle
from lm_eval.grid.slurm import commands
from lm_eval.grid.slurm.common_dtype import forget_capabilities, known_capabilities
from lm_eval.grid.slurm.forecast import forecast
from lm_eval.grid.slurm.job_script import choose_lead, job_script
from lm_eval.grid.slurm.overview import read_arrays
from lm_eval.grid.slurm.request import SlurmRequest
from lm_eval.grid.slurm.submission import Submission, draft, freeze, submissions_folder
from lm_eval.scheduling.allocation import Workforce
from lm_eval.scheduling.hardware import Gpu, Machine
from lm_eval.scheduling.queue import WorkQueue
from lm_eval.scheduling.units import Event

_AMPLE_GIB = 1e6
"""Memory of a job where it isn't stated: no model is refused for it."""
_GPU = Gpu(name="of a job", memory_gib=None, capability=(8, 0))
"""What the GPUs of jobs are taken for, at the submission: of the Ampere generation or later, of unknown memory."""


@dataclass(frozen=True)
class _Jobs:
    """The machines that jobs will have, as far as their options say; computes nothing."""

    request: SlurmRequest

    def machines(self) -> list[Machine]:
        request = self.request
        gpus = (_GPU,) * (request.num_gpus or 0)
        return [
            Machine(
                host=f"job {number}",
                num_cpus=request.num_cpus or 1,
                memory_gib=request.memory_gib or _AMPLE_GIB,
                gpus=gpus,
            )
            for number in range(request.num_jobs)
        ]

    def check_paths(self, paths: Sequence[str]) -> None:
        """Each job looks itself."""

    def run(self, queue: WorkQueue, workforce: Workforce) -> Iterator[Event]:
        raise NotImplementedError

    def close(self) -> None:
        """There is nothing to release."""


def submit_grids(grids: Sequence[Grid], options: Options, results_dir: Path) -> int:
    """Submit grids as an array of jobs, or show what would be submitted; return the exit status.

    Args:
        grids: the grids to run.
        options: the flags.
        results_dir: the folder for result files.

    Raises:
        ConfigurationError: something is wrong with the call, or Slurm refuses it; nothing was submitted.
    """
    request = SlurmRequest.of(options)
    if not options.dry_run:
        commands.check_slurm()
    goes_on = not all(array.is_over for array in read_arrays(results_dir))
    known = known_capabilities(submissions_folder(results_dir)) if goes_on else None
    job = prepare(grids, replace(options, capabilities=known), results_dir, _Jobs(request))
    print_plan(job.plan, job.folder, job.estimate, job.checked.notes)
    for line in _remarks(job):
        print(fit(line, sys.stderr), file=sys.stderr)
    if options.dry_run:
        shown = describe_plan(job.plan, describe) if options.list else describe_dry_run(job.plan, line_width())
        print("\n".join([*shown, *_describe_jobs(options, job, request)]))
    elif job.estimate is not None:
        _submit(grids, options, job, request)
    else:
        print("nothing is to run, so nothing was submitted")
    return 0


def _remarks(job: Job) -> list[str]:
    """Return what nodes without a network would lack."""
    if not (missing := missing_without_network(job.plan.to_run)):
        return []
    return [
        "a node without a network could not run this, as the hub's cache lacks:",
        *(f"  {line}" for line in missing),
        "scripts/prefetch.py fetches it",
    ]


def _describe_jobs(options: Options, job: Job, request: SlurmRequest) -> list[str]:
    """Return what a dry run says of the jobs: what they need, and their script."""
    if job.estimate is None:
        return ["nothing is to run, so nothing would be submitted"]
    submission = draft(options, job.folder.path, choose_lead(request.time_s))
    script = job_script(submission, request).splitlines()
    known = forecast(request, job.estimate, has_limit=options.limit is not None)
    return [*known, "the job script:", *(f"  {line}".rstrip() for line in script)]


def _submit(grids: Sequence[Grid], options: Options, job: Job, request: SlurmRequest) -> None:
    results = job.folder.path
    check_writable(results)
    if all(array.is_over for array in read_arrays(results)):
        forget_capabilities(submissions_folder(results))
    _, pairs = settle(grids, options)
    drafted = draft(options, results, choose_lead(request.time_s))
    submission = freeze(drafted, [grid for grid, _ in pairs])
    try:
        submission.script.write_text(job_script(submission, request), encoding="utf-8")
        job_id, cluster = commands.submit(submission.script, request.stated)
    except (ConfigurationError, OSError):
        shutil.rmtree(submission.folder, ignore_errors=True)
        raise
    submission.submitted_as(job_id, cluster).write()
    print("\n".join(_describe(submission, job_id, results)), flush=True)


def _describe(submission: Submission, job_id: str, results: Path) -> list[str]:
    number = submission.num_jobs
    return [
        f"submitted to Slurm: {number} job{'' if number == 1 else 's'}, {job_id}; this terminal may be closed",
        f"  scripts/status.py {results}   shows what waits, runs and is done",
        f"  scancel {job_id}   ends them; what was finished stays",
        f"  {submission.logs}/{job_id}_*.log   holds what they print",
    ]
