"""What a week on shared machines brings, really done: processes killed, files broken, the disk full, two drivers.

Whatever happens, every configuration ends with one valid result, equal to the undisturbed one; nothing is computed more
often than the faults explain; no process is left.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lm_eval.results.result_file import read_results
from tests.support.clusters import (
    environment,
    ray_node,
    running_cluster,
    start,
    two_nodes,
    wait_for_worker,
    workers_below,
)
from tests.support.paths import TOP
from tests.support.tiny_models import save_tiny

pytestmark = pytest.mark.slow

GRID = '''
from lm_eval.grid.grid import Grid
from lm_eval.grid.script import launch


def run() -> Grid:
    """Many short runs."""
    return Grid(
        model="dist_sim",
        task="hellaswag_d",
        models={models},
        arch_type="decoder-only",
        num_fewshot={shots},
        encoding_scheme={schemes},
        settings={{"WORD_AGG_SCHEME": ["mean", "w1mean"], "SIMILARITY_FUNC": ["dot_product"]}},
    )


if __name__ == "__main__":
    launch(run, results_dir="unused")
'''
SCHEMES = ("concat_all_examples", "concat_each_example", "segment_each_example", "sentence_level_segmentation")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("models")
    return [str(save_tiny(family, folder / f"tiny-{family}")) for family in ("gpt2", "gpt_neox", "bloom")]


def write_grid(folder: Path, models: list[str], shots: range) -> Path:
    path = folder / "many_runs.py"
    path.write_text(GRID.format(models=models, shots=list(shots), schemes=list(SCHEMES)))
    return path


class Grid:
    """A grid script with its flags, to be run as often as a test likes."""

    def __init__(self, script: Path, data_dir: Path, results: Path, *flags: str) -> None:
        self.results = results
        self.command = [
            *(sys.executable, str(script), "--data_dir", str(data_dir), "--limit", "3"),
            *("--results_dir", str(results), *flags),
        ]

    def start(self, **changes: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self.command,
            cwd=TOP,
            env=environment(**changes),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *flags: str, timeout_s: int = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *flags], cwd=TOP, env=environment(), capture_output=True, text=True, timeout=timeout_s,
            check=False,
        )  # fmt: skip


def results_of(folder: Path) -> dict[str, list[dict]]:
    """The metrics of all valid results, by what they are of."""
    found: dict[str, list[dict]] = {}
    for path in folder.glob("*.json"):
        try:
            stored = read_results(path)[0]
        except (ValueError, OSError):
            continue
        found.setdefault(json.dumps(stored.identity, sort_keys=True), []).append(dict(stored.metrics))
    return found


def begun(*folders: Path) -> Counter[str]:
    """How often each pass was begun, by the logs of workers that lived and of those that were killed."""
    lines = {  # with the time; a line that a worker had reported before it was killed is there twice
        line
        for folder in folders
        for log in folder.rglob("*.log")
        for line in log.read_text(errors="replace").splitlines()
        if " begun: " in line
    }
    return Counter(line.partition(" begun: ")[2] for line in lines)


@pytest.fixture(scope="module")
def undisturbed(models, data_dir, tmp_path_factory) -> tuple[Path, dict[str, list[dict]]]:
    """A grid script of over 200 runs, and their results where nothing disturbs them."""
    folder = tmp_path_factory.mktemp("undisturbed")
    script = write_grid(folder, models, range(10))
    ended = Grid(script, data_dir, folder / "results").run()
    assert ended.returncode == 0, ended.stderr
    found = results_of(folder / "results")
    assert len(found) > 200
    return script, found


class Killer(threading.Thread):
    """Kills workers at random while a grid runs."""

    def __init__(self, pid: int, rnd: random.Random) -> None:
        super().__init__(daemon=True)
        self.pid, self.rnd, self.killed = pid, rnd, 0
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.wait(self.rnd.uniform(3, 8)):
            if workers := workers_below(self.pid):
                self.rnd.choice(workers).kill()
                self.killed += 1


def break_files(folder: Path, rnd: random.Random) -> int:
    """Truncate a result, fill another with garbage, and make a third read-only; return how many are lost."""
    files = sorted(folder.glob("*.json"))
    if len(files) < 3:
        return 0
    cut, garbage, locked = rnd.sample(files, 3)
    cut.write_bytes(cut.read_bytes()[: rnd.randrange(200)])
    garbage.write_bytes(rnd.randbytes(300))
    locked.chmod(0o444)
    return 2


def wait_for_results(driver: "subprocess.Popen[str]", folder: Path, number: int, timeout_s: float = 90) -> None:
    """Wait until a folder has so many results, or the grid has ended."""
    deadline = time.monotonic() + timeout_s
    while len(list(folder.glob("*.json"))) < number and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)


def test_a_grid_survives_killed_workers_killed_drivers_and_broken_files(undisturbed, data_dir, tmp_path):
    script, expected = undisturbed
    rnd = random.Random(7)
    logs, results = tmp_path / "logs", tmp_path / "results"
    logs.mkdir()
    lost = 0
    with running_cluster(6411, 4, TMPDIR=str(logs), RAY_TMPDIR="/tmp") as (address, head):
        grid = Grid(script, data_dir, results, "--cluster", address)
        killer = Killer(head, rnd)
        killer.start()
        for _ in range(5):
            with grid.start() as driver:
                wait_for_results(driver, results, len(list(results.glob("*.json"))) + 20)
                time.sleep(rnd.uniform(0, 0.5))
                driver.kill()
            lost += break_files(results, rnd)
        last = grid.run("--retry_failed")
        killer.stop.set()
        killer.join()
        while last.returncode != 0:  # a run whose workers were killed three times
            assert "its worker died" in last.stderr, last.stderr
            last = grid.run("--retry_failed")
        assert not psutil.wait_procs(workers_below(head), timeout=20)[1]
    found = results_of(results)
    assert found.keys() == expected.keys()
    assert all(metrics == expected[name] for name, metrics in found.items())  # one each, and the same
    assert list(results.glob("*.error.json")) == []
    assert list((results / ".grid" / "leases").iterdir()) == []
    assert [path for path in results.iterdir() if path.name.endswith(".tmp")] == []
    assert lost >= 4
    assert killer.killed >= 3
    num_passes = len(expected) / 2
    explained = num_passes + 2 * killer.killed + 5 * 4 + lost  # a death may split a pass in two; 4 workers a driver
    assert num_passes <= begun(logs, results / "logs").total() <= explained


def test_two_drivers_on_one_folder_share_the_work_and_compute_nothing_twice(undisturbed, data_dir, tmp_path):
    script, expected = undisturbed
    results = tmp_path / "results"
    grid = Grid(script, data_dir, results)
    with grid.start() as one, grid.start() as other:
        ends = [one.communicate(timeout=300), other.communicate(timeout=300)]
    assert (one.returncode, other.returncode) == (0, 0), ends
    assert results_of(results) == expected
    counts = begun(results / "logs")
    assert max(counts.values()) == 1
    shares = [len(begun(folder)) for folder in (results / "logs").iterdir()]
    assert len(shares) == 2
    assert min(shares) > 0


def test_what_a_killed_driver_held_is_taken_over_by_another_that_waited_for_it(undisturbed, data_dir, tmp_path):
    script, expected = undisturbed
    grid = Grid(script, data_dir, tmp_path / "results")
    with grid.start() as victim, grid.start() as heir:
        wait_for_worker(victim)
        time.sleep(4)
        victim.kill()
        _, told = heir.communicate(timeout=300)
    assert heir.returncode == 0, told
    assert results_of(tmp_path / "results") == expected


def test_a_driver_that_is_killed_leaves_no_process_behind_and_loses_nothing_finished(undisturbed, data_dir, tmp_path):
    script, _ = undisturbed
    grid = Grid(script, data_dir, tmp_path / "results")
    with grid.start() as driver:
        wait_for_worker(driver)
        wait_for_results(driver, tmp_path / "results", 10)
        children = psutil.Process(driver.pid).children(recursive=True)
        driver.kill()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
    finished = len(results_of(tmp_path / "results"))
    assert finished >= 10
    ended = grid.run()
    assert ended.returncode == 0, ended.stderr
    assert f", {finished} done" in ended.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_grid_ends_soon_with_a_summary_and_leaves_no_process(undisturbed, data_dir, tmp_path, number):
    script, _ = undisturbed
    with Grid(script, data_dir, tmp_path / "results").start() as driver:
        wait_for_worker(driver)
        children = psutil.Process(driver.pid).children(recursive=True)
        began = time.monotonic()
        driver.send_signal(number)
        out, err = driver.communicate(timeout=60)
        took_s = time.monotonic() - began
    assert driver.returncode == 130
    assert " finished, 0 failed, " in out.splitlines()[-1]
    assert "interrupted; what was finished is in the results folder" in err
    assert "Traceback" not in err
    assert took_s < 15  # 5 s where the machine is not busy
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


@pytest.fixture
def tiny_disk(tmp_path) -> Iterator[Path]:
    """A file system of 160 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no file system may be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_results_wait_while_the_disk_is_full_and_are_written_once_there_is_room(
    undisturbed, data_dir, tmp_path, tiny_disk
):
    script, expected = undisturbed
    grid = Grid(script, data_dir, tiny_disk / "results")
    with (tmp_path / "told").open("w") as told:
        driver = subprocess.Popen(grid.command, cwd=TOP, env=environment(), stdout=subprocess.DEVNULL, stderr=told)
        deadline = time.monotonic() + 120
        while "CANNOT WRITE" not in (tmp_path / "told").read_text() and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(3)
        subprocess.run(["mount", "-o", "remount,size=16m", tiny_disk], check=True)
        assert driver.wait(timeout=120) == 0, (tmp_path / "told").read_text()
    assert "No space left on device" in (tmp_path / "told").read_text()
    assert results_of(tiny_disk / "results") == expected


def test_a_results_folder_that_is_removed_meanwhile_is_made_again(undisturbed, data_dir, tmp_path):
    script, expected = undisturbed
    grid = Grid(script, data_dir, tmp_path / "results")
    with grid.start() as driver:
        wait_for_worker(driver)
        wait_for_results(driver, tmp_path / "results", 10)
        shutil.rmtree(tmp_path / "results", ignore_errors=True)
        _, told = driver.communicate(timeout=300)
    assert driver.returncode == 0, told
    assert grid.run().returncode == 0
    assert results_of(tmp_path / "results") == expected


def test_the_first_failure_ends_a_grid_where_that_is_asked_for(models, data_dir, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(models[0], broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    script = write_grid(tmp_path, [str(broken)], range(4))
    grid = Grid(script, data_dir, tmp_path / "results")
    ended = grid.run("--fail_fast")
    assert ended.returncode == 1
    assert "0 finished, 1 failed, " in ended.stdout
    assert "the weights cannot be loaded" in ended.stderr
    assert len(list((tmp_path / "results").glob("*.error.json"))) == 1
    everything = grid.run()
    assert everything.returncode == 1
    assert everything.stdout.count("failed (") == 27
    assert len(begun(tmp_path / "results" / "logs")) <= 3  # it is loaded once for each worker, not for each run
    again = grid.run()
    assert again.returncode == 1
    assert "0 to run, 0 done, 28 failed before (--retry_failed runs them again)" in again.stdout


def test_a_worker_that_dies_over_and_over_is_given_up_and_takes_no_other_run_with_it(models, data_dir, tmp_path):
    script = write_grid(tmp_path, models[:1], range(1, 2))
    with Grid(script, data_dir, tmp_path / "results").start() as driver:
        deadline = time.monotonic() + 120
        while driver.poll() is None and time.monotonic() < deadline:
            for worker in workers_below(driver.pid):
                worker.kill()
            time.sleep(0.1)
        out, err = driver.communicate(timeout=60)
    assert driver.returncode == 1
    assert out.count("failed (") == 8
    assert err.count("died") >= 1
    (record, *_) = (tmp_path / "results").glob("*.error.json")
    failure = json.loads(record.read_text())["failure"]
    assert failure["kind"] == "death"
    assert "3 times" in failure["message"]


def test_machines_that_share_no_disk_need_only_the_models_and_the_data(models, data_dir, tmp_path):
    """The second machine has other folders in place of the first one's, in a namespace of mounts of its own."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no namespace of mounts may be made here")
    home = tmp_path / "home"
    model, data = home / "tiny", home / "data"
    shutil.copytree(models[0], model)
    shutil.copytree(data_dir, data)
    other = tmp_path / "other"
    other.mkdir()
    script = write_grid(tmp_path, [str(model)], range(4))
    elsewhere = ["unshare", "--mount", "sh", "-c", f'mount --bind "{other}" "{home}" && exec "$@"', "sh"]
    with running_cluster(6412, 0) as (address, head):
        node = ["--num-cpus=2", "--num-gpus=2", "--disable-usage-stats"]
        with ray_node(f"--address={address}", *node, prefix=elsewhere) as second:
            time.sleep(5)
            grid = Grid(script, data, home / "results", "--cluster", address)
            refused = grid.run()
            assert refused.returncode == 2
            assert "models and data in folders must be on every machine" in refused.stderr
            assert f"lacks {data}/hellaswag, {model}" in refused.stderr
            assert not (home / "results").exists()
            shutil.copytree(model, other / "tiny")
            shutil.copytree(data, other / "data")
            ended = grid.run()
            assert ended.returncode == 0, ended.stderr
            assert psutil.pid_exists(second.pid)
            assert not psutil.wait_procs(workers_below(head), timeout=20)[1]
    assert len(results_of(home / "results")) == 28
    assert sorted(path.name for path in other.iterdir()) == ["data", "tiny"]
    assert len(begun(home / "results" / "logs")) > 0


def test_a_machine_that_is_lost_is_done_without(undisturbed, data_dir, tmp_path):
    script, expected = undisturbed
    with two_nodes() as cluster:
        grid = Grid(script, data_dir, tmp_path / "results", "--cluster", cluster.address)
        with grid.start() as driver:
            wait_for_results(driver, tmp_path / "results", 10)
            assert workers_below(cluster.second)
            cluster.lose_second()
            _, told = driver.communicate(timeout=300)
        assert driver.returncode == 0, told
    assert results_of(tmp_path / "results") == expected
    workers = {path.stem for path in (tmp_path / "results" / "logs").rglob("*.log")}
    assert len(workers) >= 4  # two GPUs on each machine


def test_a_request_that_no_machine_can_meet_is_told_at_once(models, data_dir, tmp_path):
    script = write_grid(tmp_path, models[:1], range(1))
    with running_cluster(6414, 2) as (address, _):
        grid = Grid(script, data_dir, tmp_path / "results", "--cluster", address)
        refused = grid.run("-N", "3")
        assert refused.returncode == 2
        assert "--NUM_GPUS_PER_RUN 3: no machine of the cluster has so many GPUs; the largest has 2" in refused.stderr
        shown = grid.run("-N", "2", "--dry_run")
        assert "2 GPUs a run: tiny-gpt2" in shown.stdout


def test_a_running_grid_is_told_from_its_files(undisturbed, data_dir, tmp_path):
    script, _ = undisturbed
    with Grid(script, data_dir, tmp_path / "results").start() as driver:
        wait_for_worker(driver)
        with start("status.py", tmp_path / "results") as status:
            shown, _ = status.communicate(timeout=60)
        assert f"running: {os.uname().nodename}, process {driver.pid}, since " in shown
        driver.kill()
    with start("status.py", tmp_path / "results") as status:
        shown, _ = status.communicate(timeout=60)
    assert "exited without a final record (killed?): " in shown
