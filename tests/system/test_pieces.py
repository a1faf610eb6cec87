"""Long passes in pieces: what killed drivers lose, and that more workers are faster, in the benchmarks' short form."""

import json
import subprocess
import sys
from collections import Counter

import pytest

from benchmarks import pieces, pieces_study
from benchmarks.simulated import even_blocks
from lm_eval.scheduling.hardware import Gpu, Machine
from lm_eval.scheduling.units import WorkUnit
from tests.support.long_passes import long_pass
from tests.support.paths import TOP
from tests.support.waiting import PATIENCE_S

DOCUMENTS = 300


@pytest.mark.slow
def test_a_killed_driver_repeats_no_more_than_the_pieces_under_way(tmp_path):
    lost = pieces.kill_often(tmp_path, DOCUMENTS, seconds=6.0, kills=3, seed=1)
    assert (lost["documents"], lost["killed"], lost["pieces left"]) == (DOCUMENTS, 3, 0)
    assert lost["scores the same"] is True
    assert lost["computed again"] <= lost["pieces under way, documents at most"]


@pytest.mark.slow
def test_drivers_on_one_folder_share_a_pass_and_compute_nothing_twice(tmp_path):
    long_pass(tmp_path, DOCUMENTS)  # or each driver would write its data
    flags = [f"--scratch={tmp_path}", f"--documents={DOCUMENTS}", "--seconds=12", "--work"]
    command = [sys.executable, "-m", "benchmarks.pieces", *flags]
    drivers = [subprocess.Popen(command, cwd=TOP) for _ in range(2)]
    assert [driver.wait(timeout=PATIENCE_S) for driver in drivers] == [0, 0]
    began = [line.split() for line in (tmp_path / "began.txt").read_text().splitlines()]
    times = Counter(place for start, end, *_ in began for place in range(int(start), int(end)))
    assert (len(times), set(times.values())) == (DOCUMENTS, {1})
    results = [json.loads(path.read_text()) for path in (tmp_path / "results").glob("*.json")]
    assert len(results) == 2  # of two configurations
    workers = {process + worker for _, _, process, worker, _ in began}
    assert {result["run"]["hellaswag_d"]["num_workers"] for result in results} == {len(workers)}
    assert not (tmp_path / "results" / ".grid" / "pieces").exists()


@pytest.mark.slow
def test_one_pass_alone_is_the_faster_the_more_workers_there_are(tmp_path):
    took = pieces.time_workers(tmp_path, DOCUMENTS, seconds=16.0)  # asleep: what a busy machine adds is a small part
    assert took[1] / took[2] > 1.5
    assert took[1] / took[4] > 2.5  # 3.5 where nothing else runs; a pass of minutes comes within 10 % of 4


def seconds_of(num_gpus: int) -> float:
    """The seconds of one long pass on so many GPUs, loading left out, by a made-up clock."""
    (unit, *_) = pieces_study.units_of(pieces_study.study()[-24:], in_pieces=False)
    blocks = even_blocks(pieces_study.DOCUMENTS, 100)
    gpu = Gpu(name="any", memory_gib=80.0, capability=(9, 0))
    machine = Machine(host="node", num_cpus=64, memory_gib=512.0, gpus=(gpu,) * num_gpus)
    cut = WorkUnit(runs=unit.runs, blocks=blocks, num_documents=unit.num_documents)
    return pieces_study.Simulation([cut], machine).run() - pieces_study.LOAD_S


def test_the_time_of_one_pass_falls_with_the_number_of_workers():
    alone = seconds_of(1)
    for number in (2, 4):
        assert alone / number <= seconds_of(number) < 1.1 * alone / number


@pytest.mark.slow
def test_a_study_of_one_model_keeps_all_gpus_busy_where_its_passes_are_shared():
    runs = pieces_study.study()
    whole, cut = (pieces_study.simulate(runs, 8, in_pieces=in_pieces) for in_pieces in (False, True))
    assert cut["hours"] < 0.8 * whole["hours"]
    assert cut["computing"] > 0.9
