"""What a job finds on its node and settles for its processes: which GPUs are its own, and which job it is."""

import os

from lm_eval.scheduling.allotment import JOB_VARIABLE


def settle_in() -> None:
    """Settle what the job's processes inherit."""
    gpus = os.environ.get("SLURM_JOB_GPUS")
    if gpus and "CUDA_VISIBLE_DEVICES" not in os.environ:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus
    if job_id := os.environ.get("SLURM_JOB_ID"):
        os.environ[JOB_VARIABLE] = job_id
