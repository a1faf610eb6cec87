"""Joining a cluster, asking its machines, and losing all of them."""

import json
import socket
import subprocess
import sys

import pytest

from lm_eval.errors import ConfigurationError
from lm_eval.scheduling.executors.ray.cluster import check_address, find_missing
from tests.support.paths import TOP
from tests.support.waiting import PATIENCE_S


@pytest.mark.parametrize("address", ["nonsense", "host:", ":6379", "host:port", "host"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ConfigurationError, match="give local, none, auto, or the HOST:PORT of a running Ray cluster"):
        check_address(address)


def test_local_and_auto_are_no_addresses_at_which_anything_is_tried(monkeypatch):
    tried: list[object] = []

    def refuse(address, timeout):
        tried.append(address)
        raise ConnectionRefusedError("nobody listens")

    monkeypatch.setattr(socket, "create_connection", refuse)
    check_address("local")
    check_address("auto")
    assert tried == []
    with pytest.raises(ConfigurationError, match=r"--cluster here:6379: no Ray cluster can be joined there \(nobody"):
        check_address("here:6379")
    assert tried == [("here", 6379)]


def test_paths_are_the_same_where_size_and_ends_of_all_files_are(monkeypatch, tmp_path):
    from lm_eval.scheduling.executors.ray import cluster  # noqa: PLC0415

    for name in ("here", "same", "other", "shorter"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_bytes(b"x" * 3_000_000 + name.encode()[:1] * (2 if name == "other" else 1))
    (tmp_path / "same" / "weights").write_bytes((tmp_path / "here" / "weights").read_bytes())
    (tmp_path / "shorter" / "weights").write_bytes(b"x")
    there = {name: (name, [cluster._contents(tmp_path / name)]) for name in ("same", "other", "shorter", "none")}
    monkeypatch.setattr(cluster, "_run_on_each", lambda nodes, *_: [there[node] for node in nodes])
    path = str(tmp_path / "here")
    missing = find_missing(["same", "other", "shorter", "none"], [path])
    assert missing == {"other": [path], "shorter": [path], "none": [path]}


REAL = """
import json, sys, time
import ray
from lm_eval.scheduling import assignment
from lm_eval.scheduling.executors.ray import cluster, pool
from lm_eval.config.run_config import RunConfig
from lm_eval.errors import ConfigurationError
from lm_eval.config.runtime import Execution
from lm_eval.scheduling.hardware import local_machine
from lm_eval.scheduling.units import make_units
from tests.support.runs import fake_runs
from lm_eval.scheduling.queue import WorkQueue
from lm_eval.config.settings import VectorSettings
from lm_eval.scheduling.units import Outcome
from lm_eval.scheduling.allocation import Workforce

cluster.connect("local")
ids = [node["NodeID"] for node in ray.nodes()]
told = {}

def lacking():
    raise ImportError("No module named 'torch'")

try:
    cluster._run_on_each(ids, lacking)
except ConfigurationError as error:
    told["lacking"] = str(error)

config = RunConfig(model="dist_gen", pretrained="x", task="hellaswag_dg", encoding_scheme="cross_encoding")
queue = WorkQueue(units=make_units(fake_runs([config])))
workforce = Workforce(machines=[local_machine()], num_workers=1, threads=1)
assignment.GIVE_UP_S = 0.5
events = list(pool.WorkerPool(queue, workforce, ["0" * 56], Execution()).run())
told["lost"] = [event.failure.message for event in events if isinstance(event, Outcome)]
ray.shutdown()
print(json.dumps(told))
"""


@pytest.mark.slow
@pytest.mark.ray
def test_a_machine_that_lacks_a_package_is_named_and_runs_without_one_are_given_up():
    ended = subprocess.run(
        [sys.executable, "-c", REAL], capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        cwd=TOP,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    assert "of the cluster cannot take part (" in told["lacking"]
    assert "No module named 'torch'" in told["lacking"]
    assert told["lacking"].endswith("it needs the same environment, see env_files")
    assert told["lost"] == ["no machine that could run it has been in the cluster for 0 s"]
