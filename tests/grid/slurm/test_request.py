"""What users ask of Slurm: options of sbatch, understood or refused, and flags that don't go with them."""

import pytest

from lm_eval.errors import ConfigurationError
from lm_eval.grid.options import read_options
from lm_eval.grid.slurm.request import SlurmRequest, parse_time


def request(*argv: str) -> SlurmRequest:
    return SlurmRequest.of(read_options(argv, name="run_parallel_x.py", description="Score."))


def test_options_that_begin_with_a_dash_are_the_value_of_their_flag():
    made = request(
        "--slurm", "--partition=gpu -G 4", "--slurm_jobs", "8", "--slurm_setup", "module load cuda\nulimit -n 99"
    )
    assert made.words == ("--partition=gpu", "-G", "4")
    assert made.num_jobs == 8
    assert made.setup == "module load cuda\nulimit -n 99"
    with pytest.raises(ConfigurationError, match="--slurm needs a value"):
        request("--slurm", "--dry_run")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--slurm", "-p gpu", "-s"], "a node of a cluster is not yours to shut down"),
        (["--slurm", "-p gpu", "-c", "auto"], "each job computes on its own node; give local or none"),
        (["--slurm", "-p gpu", "--write_grid", "x.yaml"], "--slurm and --write_grid: that only writes a file"),
        (["--slurm_jobs", "2"], "--slurm_jobs does nothing without --slurm"),
        (["--slurm_setup", "true"], "--slurm_setup does nothing without --slurm"),
        (["--slurm", "-p gpu", "--slurm_jobs", "0"], "--slurm_jobs must be a whole number of at least 1"),
        (["--slurm", "gpu"], "--slurm must be options of sbatch, such as .*, got 'gpu'"),
        (["--slurm", "--comment='it"], "a quote is not closed"),
        (["--slurm", "-p gpu rtx"], "'rtx' belongs to no option"),
        (["--slurm", "--array=1-3"], "--array is not for you to give: the number of jobs is given by --slurm_jobs"),
        (["--slurm", "-p gpu -a 3"], "--array is not for you to give"),
        (["--slurm", "--arr=3"], "--array is not for you to give"),
        (["--slurm", "--signal=USR2"], "--signal is not for you to give: each job is told before its time is up"),
        (["--slurm", "-p gpu --requeue"], "--requeue is not for you to give: each job queues itself again"),
        (["--slurm", "--no-requeue"], "--no-requeue is not for you to give"),
        (["--slurm", "-W"], "--wait is not for you to give"),
        (["--slurm", "-N2"], "--nodes=2: a job works on one node; --slurm_jobs gives the number"),
        (["--slurm", "--nodes=1-4"], "--nodes=1-4: a job works on one node"),
        (["--slurm", "-t never"], "--time=never: give minutes, H:M:S, D-H or D-H:M:S"),
    ],
)
def test_what_an_array_of_jobs_cannot_have_is_refused(argv, message):
    with pytest.raises(ConfigurationError, match=message):
        request(*argv)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400),
        ("90:30", 5430),
        ("4:00:00", 14400),
        ("1-2", 93600),
        ("1-2:30", 95400),
        ("1-2:30:15", 95415),
        ("UNLIMITED", None),
        ("0", None),
    ],
)
def test_times_are_read_as_sbatch_reads_them(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("-p gpu", None),
        ("--gpus=4", 4),
        ("-G a100:2", 2),
        ("-G2", 2),
        ("--gpus-per-node=h100:8", 8),
        ("--gres=gpu", 1),
        ("--gres=craynetwork:4,gpu:a100:3", 3),
        ("--gres=shard:4", None),
    ],
)
def test_the_gpus_of_a_job_are_understood(text, gpus):
    assert request("--slurm", text).num_gpus == gpus


def test_cores_memory_and_time_of_a_job_are_understood():
    made = request("--slurm", "--cpus-per-task=8 -n 2 --mem=60G --time=30")
    assert (made.num_cpus, made.memory_gib, made.time_s) == (16, 60.0, 1800.0)
    bare = request("--slurm", "--mem=0 --exclusive")
    assert (bare.num_cpus, bare.memory_gib, bare.time_s) == (None, None, None)
