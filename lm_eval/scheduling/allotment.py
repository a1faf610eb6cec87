"""The CPU cores and memory that Slurm has given to this process's job.

Some sites fence each job with a control group; others leave it to the job to keep within what it was given, and there
several jobs would each take the whole node.
"""

import math
import os
from collections.abc import Mapping

JOB_VARIABLE = "LM_EVAL_SLURM_JOB"
"""Set by our own jobs to their id: variables of Slurm that were inherited from another session aren't believed."""
_MIB = 1 << 20


def allotted_cpus(environment: Mapping[str, str] = os.environ) -> float:
    """Return the CPU cores of the job; infinite where this is none."""
    return _number(environment, "SLURM_CPUS_ON_NODE") or math.inf


def allotted_bytes(physical: int, num_cores: int, environment: Mapping[str, str] = os.environ) -> float:
    """Return the memory of the job; where Slurm hands out cores alone, the part that goes with its cores.

    Args:
        physical: the machine's memory.
        num_cores: the machine's CPU cores.
        environment: the variables of this process.
    """
    if not _is_ours(environment):
        return math.inf
    cpus = allotted_cpus(environment)
    if node := _number(environment, "SLURM_MEM_PER_NODE"):
        return node * _MIB
    if (core := _number(environment, "SLURM_MEM_PER_CPU")) and cpus < math.inf:
        return core * cpus * _MIB
    return physical * min(1.0, cpus / max(1, num_cores))


def _is_ours(environment: Mapping[str, str]) -> bool:
    job = environment.get(JOB_VARIABLE)
    return bool(job) and job == environment.get("SLURM_JOB_ID")


def _number(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "") if _is_ours(environment) else ""
    return int(text) if text.isdecimal() and int(text) > 0 else None
