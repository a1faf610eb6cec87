"""What is submitted to Slurm: the script of a job, the frozen call, and an environment without the session's traces."""

import os
import re
import subprocess
from dataclasses import replace

import pytest

from lm_eval.errors import ConfigurationError
from lm_eval.grid.script import carry_out
from lm_eval.grid.slurm.commands import clean_environment
from lm_eval.grid.slurm.forecast import say_gpus
from lm_eval.grid.slurm.job_script import choose_lead, job_script, patience_s
from lm_eval.grid.slurm.request import SlurmRequest
from lm_eval.grid.slurm.submission import check_code, draft, freeze, read_submission, submissions_folder
from tests.support.grids import options, small_grid


@pytest.fixture
def drafted(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["scripts/run_parallel_x.py", "--limit", "4"])
    monkeypatch.chdir(tmp_path)
    chosen = options(None, tmp_path / "results", slurm="-p gpu", slurm_jobs=3, limit="4", retry_failed=True)
    return draft(chosen, tmp_path / "results", 60.0)


def test_a_job_script_states_the_users_options_and_what_the_array_needs(drafted, tmp_path):
    script = job_script(drafted, SlurmRequest(("-p", "gpu", "--comment=it is"), 3, "module load cuda"))
    lines = script.splitlines()
    assert lines[0] == "#!/bin/bash"
    stated = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH ")]
    assert stated == [
        "-p gpu",
        "'--comment=it is'",
        "--nodes=1",
        "--job-name=run_parallel_x",
        f"--output={tmp_path}/results/logs/slurm/%A_%a.log",
        "--open-mode=append",
        "--array=0-2",
        "--signal=B:USR1@60",
        "--requeue",
    ]
    assert lines.index("module load cuda") < lines.index(f"cd {tmp_path} || exit 2")
    assert lines[-1].endswith(f"-m lm_eval.grid.slurm.job {drafted.folder}")
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_options_that_the_user_states_are_not_stated_twice(drafted):
    script = job_script(drafted, SlurmRequest(("-J", "mine", "--output=x.log", "-N1"), 1))
    assert script.count("--job-name") + script.count("--output") + script.count("--nodes") == 1


@pytest.mark.parametrize(
    ("time_s", "lead_s", "left_s"),
    [(None, 120, 75), (14400, 300, 255), (1200, 120, 75), (120, 20, 10), (60, 20, 10), (10, 5, 2.5)],
)
def test_a_job_is_told_early_enough_and_never_before_half_its_time(time_s, lead_s, left_s):
    assert choose_lead(time_s) == lead_s
    assert patience_s(choose_lead(time_s)) == left_s


def test_a_submission_holds_all_that_its_jobs_need(drafted):
    grids = [small_grid("some/model"), small_grid("another")]
    submission = freeze(drafted, grids)
    again = read_submission(submission.folder)
    assert again == submission
    assert again.grids() == grids
    assert again.since == submission.grid_file.stat().st_mtime
    made = again.options()
    assert (made.limit, made.retry_failed, made.slurm, made.slurm_jobs) == ("4", True, None, 1)
    assert made.results_dir == submission.results_dir


def test_other_code_than_that_of_the_submission_is_refused(drafted):
    check_code(drafted)
    with pytest.raises(ConfigurationError, match=r"the code of lm_eval has changed since .* submit the call again"):
        check_code(replace(drafted, digest="0" * 16))


def test_a_damaged_submission_is_refused(drafted):
    folder = freeze(drafted, [small_grid("x")]).folder
    (folder / "submission.json").write_text("{")
    with pytest.raises(ConfigurationError, match="this submission can't be read"):
        read_submission(folder)


def test_what_a_session_has_left_behind_is_not_handed_on():
    session = {
        "SLURM_JOB_ID": "7",
        "SLURM_MEM_PER_NODE": "100",
        "RAY_ADDRESS": "x:1",
        "CUDA_VISIBLE_DEVICES": "3",
        "SLURM_CONF": "/etc/x",
        "SBATCH_PARTITION": "other",
        "SBATCH_ACCOUNT": "mine",
        "SBATCH_ARRAY_INX": "1-9",
        "HOME": "/home/x",
        "TMPDIR": "/scratch/7",
    }
    kept = {"SLURM_CONF": "/etc/x", "SBATCH_ACCOUNT": "mine", "HOME": "/home/x"}
    assert clean_environment(session, ["partition", "array"]) == kept
    outside = {"CUDA_VISIBLE_DEVICES": "3", "TMPDIR": "/scratch", "PATH": "/bin"}
    assert clean_environment(outside, []) == outside


def write_program(path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def sbatch(tmp_path, monkeypatch):
    """A folder for a program named `sbatch`, which comes before all others."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return folder / "sbatch"


def test_a_submission_that_slurm_refuses_leaves_nothing_behind(gpt2, data_dir, tmp_path, sbatch):
    write_program(sbatch, "echo 'sbatch: error: invalid partition specified: gpu' >&2; exit 1")
    chosen = options(data_dir, tmp_path / "results", slurm="-p gpu")
    with pytest.raises(ConfigurationError, match=r"sbatch refused the job \(invalid partition specified: gpu\)"):
        carry_out([small_grid(gpt2)], chosen, "unused")
    assert list(submissions_folder(tmp_path / "results").iterdir()) == []


def test_without_sbatch_nothing_is_submitted(gpt2, data_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="there is no sbatch here"):
        carry_out([small_grid(gpt2)], options(data_dir, tmp_path / "results", slurm="-p gpu"), "unused")
    assert not (tmp_path / "results").exists()


def test_the_script_of_a_single_job_shows_the_call_that_is_to_be_made(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["x.py", "--limit", "4", "--list", "--dry_run"])
    chosen = options(None, tmp_path, slurm="-p gpu", slurm_jobs=1, dry_run=True)
    lines = job_script(draft(chosen, tmp_path, 60.0), SlurmRequest(("-p", "gpu"), 1)).splitlines()
    comment = lines.index("# The work of this call:")
    assert re.fullmatch(r"#   python[\d.]* x\.py --limit 4", lines[comment + 1])


@pytest.mark.parametrize(
    ("needs_gib", "said"),
    [
        (2.0, "1 GPU of 16 GiB or more"),
        (30.0, "1 GPU of 40 GiB or more, or 2 of 24 GiB, or 3 of 16 GiB"),
        (800.0, "GPUs of more than 80 GiB"),
    ],
)
def test_the_gpus_that_hold_a_model_are_told_as_ways_to_choose_from(needs_gib, said):
    assert say_gpus(needs_gib) == said


def test_a_dry_run_shows_script_and_forecast_and_writes_nothing(gpt2, data_dir, tmp_path, capsys):
    chosen = options(data_dir, tmp_path / "results", slurm="--gpus=2 --time=90", slurm_jobs=2, dry_run=True)
    assert carry_out([small_grid(gpt2)], chosen, "unused") == 0
    shown = capsys.readouterr().out
    assert "3 to run, 0 done" in shown
    assert "each of 2 jobs has 2 GPUs, 1 h 30 min at a time" in shown
    assert "the largest model, tiny-gpt2, needs about" in shown
    assert "time: not known" in shown
    assert "  #SBATCH --array=0-1\n" in shown
    assert not (tmp_path / "results").exists()


def test_a_dry_run_tells_the_time_where_past_results_do(gpt2, data_dir, tmp_path, capsys):
    carry_out([small_grid(gpt2)], options(data_dir, tmp_path / "results", limit="2", cluster="none"), "unused")
    chosen = options(data_dir, tmp_path / "results", slurm="-c 2 --time=90", slurm_jobs=2, dry_run=True)
    assert carry_out([small_grid(gpt2)], chosen, "unused") == 0
    shown = capsys.readouterr().out
    assert "each of 2 jobs has no GPU, 2 CPU cores, 1 h 30 min at a time" in shown
    assert re.search(r"time: about \d+ s if all jobs run at once, [\de.-]+ hours of a worker in all", shown)


def test_a_submission_ends_at_once_and_says_how_to_go_on(gpt2, data_dir, tmp_path, sbatch, capsys):
    write_program(sbatch, f'cp "$2" {tmp_path}/given; env >{tmp_path}/environment; echo 4711')
    chosen = options(data_dir, tmp_path / "results", slurm="-p gpu", slurm_jobs=2)
    assert carry_out([small_grid(gpt2)], chosen, "unused") == 0
    told = capsys.readouterr().out
    assert "submitted to Slurm: 2 jobs, 4711; this terminal may be closed" in told
    (folder,) = submissions_folder(tmp_path / "results").iterdir()
    assert read_submission(folder).job_id == "4711"
    assert (tmp_path / "given").read_text() == (folder / "job.sh").read_text()
