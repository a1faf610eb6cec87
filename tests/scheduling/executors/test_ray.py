"""Joining a cluster, asking its machines, and losing all of them."""

import importlib.util
import json
import os
import pwd
import socket
import subprocess
import sys
import threading

import pytest

from lm_eval.errors import ConfigurationError
from lm_eval.scheduling.executors.ray import addresses, cluster
from lm_eval.scheduling.executors.ray.addresses import check_address, owner_of
from lm_eval.scheduling.executors.ray.cluster import find_missing
from lm_eval.scheduling.executors.ray.token import keep_token_private
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


def test_what_listens_and_never_answers_or_answers_otherwise_is_told(monkeypatch):
    monkeypatch.setattr(addresses, "_ANSWER_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ConfigurationError, match=f"{address}: .*what listens there has not answered for 0 s"):
            check_address(address)

        def answer() -> None:
            with silent.accept()[0] as connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n")

        silent.accept()[0].close()
        answering = threading.Thread(target=answer)
        answering.start()
        with pytest.raises(ConfigurationError, match="what listens there does not answer as Ray does"):
            check_address(address)
        answering.join()


def test_whose_a_port_of_this_machine_is_can_be_told():
    with socket.create_server(("127.0.0.1", 0)) as mine:
        assert owner_of(f"127.0.0.1:{mine.getsockname()[1]}") == pwd.getpwuid(os.getuid()).pw_name
    assert owner_of("192.0.2.1:6379") is None


def test_a_token_is_made_once_and_is_its_owners_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    keep_token_private()
    file = tmp_path / ".ray" / "auth_token"
    token = file.read_text()
    assert len(token) == 64
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)  # as Ray makes it
    keep_token_private()
    assert (file.read_text(), file.stat().st_mode & 0o777) == (token, 0o600)
    assert list(file.parent.iterdir()) == [file]


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
import json
import ray
from lm_eval.scheduling.executors.ray import cluster
from lm_eval.errors import ConfigurationError

cluster.connect("local")

def lacking():
    raise ImportError("No module named 'torch'")

try:
    cluster._run_on_each(cluster.list_nodes(), lacking)
except ConfigurationError as error:
    print(json.dumps(str(error)))
ray.shutdown()
"""


@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_a_machine_describes_itself_only_where_the_packages_are(package, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert cluster._describe_machine().num_cpus >= 1
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == package else find(name))
    with pytest.raises(ModuleNotFoundError, match=f"No module named '{package}'"):
        cluster._describe_machine()


@pytest.mark.slow
@pytest.mark.ray
def test_a_machine_that_lacks_a_package_is_named():
    ended = subprocess.run(
        [sys.executable, "-c", REAL], capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        cwd=TOP,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    assert "of the cluster cannot take part (" in told
    assert "No module named 'torch'" in told
    assert told.endswith("it needs the same environment, see env_files")
