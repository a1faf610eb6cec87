"""Clusters of several machines: some that share no disk, one that is lost, none that is large enough."""

import shutil
import subprocess

import psutil
import pytest

from tests.support.clusters import ray_node, running_cluster, two_nodes, workers_below
from tests.support.grid_runs import Grid, begun, results_of, wait_for_results, write_grid
from tests.support.waiting import PATIENCE_S, assert_all_end

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.cluster]


def test_machines_that_share_no_disk_need_only_the_models_and_the_data(grid_models, data_dir, tmp_path):
    """The second machine has other folders in place of the first one's, in a namespace of mounts of its own."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no namespace of mounts may be made here")
    home = tmp_path / "home"
    model, data = home / "tiny", home / "data"
    shutil.copytree(grid_models[0], model)
    shutil.copytree(data_dir, data)
    other = tmp_path / "other"
    other.mkdir()
    script = write_grid(tmp_path, [str(model)], range(4))
    elsewhere = ["unshare", "--mount", "sh", "-c", f'mount --bind "{other}" "{home}" && exec "$@"', "sh"]
    with running_cluster(6412, 0) as (address, head):
        node = ["--num-cpus=2", "--num-gpus=1", "--disable-usage-stats"]
        with ray_node(f"--address={address}", *node, prefix=elsewhere) as second:
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
            assert_all_end(workers_below(head))
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
            assert len(results_of(grid.results)) < len(expected)
            cluster.lose_second()
            _, told = driver.communicate(timeout=2 * PATIENCE_S)
        assert driver.returncode == 0, told
    assert results_of(tmp_path / "results") == expected
    workers = {path.stem for path in (tmp_path / "results" / "logs").rglob("*.log")}
    assert len(workers) >= 2  # a GPU on each machine
