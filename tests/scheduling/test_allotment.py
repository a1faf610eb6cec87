"""What Slurm has given to a job of ours: believed in such a job alone, and in no session that was inherited."""

import math

import pytest

from lm_eval.scheduling.allotment import allotted_bytes, allotted_cpus

OURS = {"LM_EVAL_SLURM_JOB": "7", "SLURM_JOB_ID": "7"}
MIB = 1 << 20


@pytest.mark.parametrize(
    ("variables", "cpus", "memory"),
    [
        ({}, math.inf, 8000.0),
        ({"SLURM_CPUS_ON_NODE": "2"}, 2, 2000.0),
        ({"SLURM_CPUS_ON_NODE": "2", "SLURM_MEM_PER_NODE": "3000"}, 2, 3000.0),
        ({"SLURM_CPUS_ON_NODE": "4", "SLURM_MEM_PER_CPU": "500"}, 4, 2000.0),
        ({"SLURM_CPUS_ON_NODE": "4", "SLURM_MEM_PER_NODE": "0"}, 4, 4000.0),
        ({"SLURM_CPUS_ON_NODE": "many"}, math.inf, 8000.0),
    ],
)
def test_cores_and_memory_are_those_of_the_job(variables, cpus, memory):
    assert allotted_cpus({**OURS, **variables}) == cpus
    assert allotted_bytes(8000 * MIB, 8, {**OURS, **variables}) == memory * MIB


@pytest.mark.parametrize("whose", [{}, {"SLURM_JOB_ID": "7"}, {"SLURM_JOB_ID": "8", "LM_EVAL_SLURM_JOB": "7"}])
def test_a_session_that_was_inherited_limits_nothing(whose):
    session = {**whose, "SLURM_CPUS_ON_NODE": "2", "SLURM_MEM_PER_NODE": "3000"}
    assert allotted_cpus(session) == math.inf
    assert allotted_bytes(8000 * MIB, 8, session) == math.inf
