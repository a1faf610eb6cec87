"""A grid as jobs of a real Slurm, of a user without root: told in the middle, queued again, nothing lost or doubled."""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lm_eval.results.pieces import state_folder
from tests.support.grid_runs import GRID_LIMIT, results_of
from tests.support.slurm import Slurm, running_slurm, why_not
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

ARE_OVER = """import sys
from pathlib import Path
from lm_eval.grid.slurm.overview import read_arrays
print([array.is_over for array in read_arrays(Path(sys.argv[1]))])"""
"""Says of each array of a folder whether it is over, as its user sees it, who can ask this Slurm."""


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    if reason := why_not():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="lme-") as folder, running_slurm(Path(folder)) as running:
        yield running


def test_jobs_that_are_told_in_the_middle_queue_themselves_again_and_no_others(slurm, undisturbed, data_dir, tmp_path):
    """One job is cancelled, the two others are told that their time is nearly up; one at least has done something."""
    results = tmp_path / "results"
    script = [sys.executable, undisturbed.script, "--data_dir", data_dir, "--limit", GRID_LIMIT]
    asked = ["--slurm", "--gpus=2 --time=10", "--slurm_jobs", "3", "--slurm_setup", "export OMP_NUM_THREADS=1"]
    asked += ["--cluster", "none"]  # Ray would take most of the time
    told = slurm.call(*script, "--results_dir", results, *asked, SLURM_MEM_PER_NODE="7", RAY_ADDRESS="nowhere:1").stdout
    assert "submitted to Slurm: 3 jobs, 1; this terminal may be closed" in told
    undisturbed.script.touch()
    wait_for(lambda: list(results.glob("*.json")), "a result")
    slurm.call("scancel", "1_0")
    for place in (1, 2):
        slurm.call("scancel", "--signal=USR1", "--batch", f"1_{place}", check=False)
    wait_for(lambda: not slurm.call("squeue", "--noheader").stdout, "the end of all jobs")
    assert results_of(results) == undisturbed.expected
    records = {path.stem: json.loads(path.read_text()) for path in (state_folder(results) / "slurm").glob("*/jobs/*")}
    assert (records["1_0"]["why"], records["1_0"]["restarts"]) == ("cancelled", 0)
    assert max(record["restarts"] for record in records.values()) == 1
    assert "finished" in {record["why"] for record in records.values()}
    assert not list((state_folder(results) / "leases").iterdir())
    log = "".join(path.read_text() for path in (results / "logs" / "slurm").iterdir())
    assert "its time is nearly up: nothing more is begun" in log
    assert "Traceback" not in log
    assert slurm.call(sys.executable, "-c", ARE_OVER, results).stdout == "[True]\n"
