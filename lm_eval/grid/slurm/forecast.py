"""What is known of jobs before they are submitted: what the largest model needs, how many hours they should take."""

import math
from collections.abc import Iterator

from lm_eval.common.text import count_of, describe_seconds, short_name
from lm_eval.grid.estimate import Estimate
from lm_eval.grid.slurm.request import SlurmRequest
from lm_eval.scheduling.memory_need import memory_gib
from lm_eval.scheduling.placement import gpus_that_hold

_COMMON_GIB = (80, 40, 24, 16)
"""Memory of common GPUs."""
_MOST_GPUS = 8
"""As many as a node has at the most."""
_CPU_DTYPE = "float32"


def forecast(request: SlurmRequest, estimate: Estimate, *, has_limit: bool) -> Iterator[str]:
    """Yield what each job has, what the largest model needs, and how long all of it should take, line by line.

    Args:
        request: the jobs.
        estimate: their work.
        has_limit: whether only some documents are scored.
    """
    jobs = "the job" if request.num_jobs == 1 else f"each of {request.num_jobs:,} jobs"
    yield f"{jobs} has {_describe_job(request)}"
    yield from _largest_model(request, estimate)
    yield from _hours(request, estimate, has_limit=has_limit)


def _describe_job(request: SlurmRequest) -> str:
    what = "no GPU" if request.num_gpus is None else count_of(request.num_gpus, "GPU")
    cores = "" if request.num_cpus is None else f", {count_of(request.num_cpus, 'CPU core')}"
    limit = "the partition's time limit" if request.time_s is None else f"{describe_seconds(request.time_s)} at a time"
    return f"{what}{cores}, {limit}"


def _largest_model(request: SlurmRequest, estimate: Estimate) -> Iterator[str]:
    needs = estimate.workforce.needs_gib
    if not needs:
        yield "how much memory the models need is not known: their configs leave their sizes open"
        return
    key = max(needs, key=lambda one: needs[one])
    name, dtype, size = short_name(key[0]), key[2] or _CPU_DTYPE, round(estimate.workforce.sizes[key])
    if not request.num_gpus:
        yield f"the largest model, {name}, needs about {needs[key]:.1f} GiB of host memory in {dtype}"
        on_gpu = memory_gib(size, "bfloat16", on_gpu=True)
        yield f"on GPUs, which --slurm doesn't ask for, it would need about {on_gpu:.1f} GiB in bfloat16"
        return
    yield f"the largest model, {name}, needs about {needs[key]:.1f} GiB in {dtype}: {say_gpus(needs[key])}"


def say_gpus(needs_gib: float) -> str:
    """Return which common GPUs hold a model: of each number the smallest, the fewest first.

    Args:
        needs_gib: what the model needs.
    """
    smallest = {gpus_that_hold(needs_gib, gib): gib for gib in _COMMON_GIB}
    ways = [(number, gib) for number, gib in smallest.items() if number <= _MOST_GPUS]
    if not ways:
        return f"GPUs of more than {_COMMON_GIB[0]} GiB"
    (number, gib), *others = ways
    return f"{count_of(number, 'GPU')} of {gib} GiB or more" + "".join(f", or {n} of {gib} GiB" for n, gib in others)


def _hours(request: SlurmRequest, estimate: Estimate, *, has_limit: bool) -> Iterator[str]:
    seconds = estimate.remaining.planned_s()
    if seconds is None:
        remedy = "" if has_limit else "; a call with --limit 20 gives some"
        yield f"time: not known, as there are no past results of such runs{remedy}"
        return
    workers = estimate.workforce.num_workers
    hours = seconds * (request.num_gpus * request.num_jobs if request.num_gpus else workers) / 3600
    what = "GPU hours" if request.num_gpus else "hours of a worker"
    at_once = "" if request.num_jobs == 1 else " if all jobs run at once"
    yield f"time: about {describe_seconds(seconds)}{at_once}, {hours:.2g} {what} in all"
    if request.time_s is not None and seconds > request.time_s:
        times = math.ceil(seconds / request.time_s) - 1
        which = "it" if request.num_jobs == 1 else "each"
        yield f"that is more than a job's time limit: {which} is queued again about {count_of(times, 'time')}"
