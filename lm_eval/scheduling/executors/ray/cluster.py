"""Joining a Ray cluster, describing its machines, and finding files that they lack."""

import hashlib
import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lm_eval.errors import ConfigurationError
from lm_eval.scheduling.executors.ray.local_start import local_options
from lm_eval.scheduling.hardware import Gpu, Machine, local_machine

_CONNECT_TIMEOUT_S = 5
_PACKAGE = Path(__file__).resolve().parents[3]
_PROBE_TIMEOUT_S = 120
"""Time for every machine to answer, which includes unpacking the code the first time."""


def connect(cluster: str) -> None:
    """Start a cluster of this machine, or join one.

    Args:
        cluster: `local`, `auto`, or an address.

    Raises:
        ConfigurationError: no cluster can be joined there.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if cluster == "local":
        _let_workers_import_this()
        options |= local_options(local_machine())
    else:  # the machines of a running cluster need not have this code
        check_address(cluster)
        options["runtime_env"] = {"py_modules": [str(_PACKAGE)]}
    on_termination = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=cluster, **options)
        signal.signal(signal.SIGTERM, on_termination)  # ray installs its own handler
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigurationError(
            f"--cluster {cluster}: no Ray cluster can be joined there ({str(error).strip()}); "
            "start one with `ray start --head`, give its address, or use local"
        ) from error


def _let_workers_import_this() -> None:
    """Put this package on `PYTHONPATH`, so that Ray's workers import the same code as this process.

    A checkout need not be installed: its scripts add it to `sys.path`, which Ray's workers don't do.
    """
    checkout, path = str(_PACKAGE.parent), os.environ.get("PYTHONPATH")
    further = path.split(os.pathsep) if path else []
    if "site-packages" not in _PACKAGE.parts and checkout not in further:
        os.environ["PYTHONPATH"] = os.pathsep.join([checkout, *further])


def check_address(cluster: str) -> None:
    """Refuse an address where nothing listens: ray would keep trying to connect.

    Raises:
        ConfigurationError: not an address, or nothing listens there.
    """
    if cluster in ("local", "auto"):
        return
    host, _, port = cluster.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigurationError(
            f"--cluster {cluster}: give local, none, auto, or the HOST:PORT of a running Ray cluster"
        )
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise ConfigurationError(f"--cluster {cluster}: no Ray cluster can be joined there ({error})") from error


def probe_machines() -> tuple[list[str], list[Machine]]:
    """Return the ids and the descriptions of the machines that have CPUs for workers.

    Raises:
        ConfigurationError: a machine does not answer, or lacks a package.
    """
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
    ids = [node["NodeID"] for node in nodes]
    machines = []
    for node, machine in zip(nodes, _run_on_each(ids, _describe_machine), strict=True):
        num_gpus = int(node["Resources"].get("GPU", 0))
        declared = [Gpu(name="declared", memory_gib=None, capability=None)] * max(0, num_gpus - len(machine.gpus))
        cpus = int(node["Resources"].get("CPU", 1))
        machines.append(replace(machine, num_cpus=cpus, gpus=(*machine.gpus[:num_gpus], *declared)))
    return ids, machines


def _describe_machine() -> Machine:
    import torch  # noqa: F401, PLC0415  (a machine that lacks it fails here)
    import transformers  # noqa: F401, PLC0415

    os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # ray hides the GPUs from a task that asks for none
    return local_machine()


def find_missing(nodes: Sequence[str], paths: Sequence[str]) -> dict[str, list[str]]:
    """Return, by host, the paths that are missing there or have other content than here.

    Args:
        nodes: ids of the machines.
        paths: folders and files.
    """
    here = _list_contents(paths)[1]
    missing: dict[str, list[str]] = {}
    for host, there in _run_on_each(nodes, _list_contents, list(paths)):
        lacking = [path for path, mine, other in zip(paths, here, there, strict=True) if mine != other]
        if lacking:
            missing[host] = lacking
    return missing


def _list_contents(paths: Sequence[str]) -> tuple[str, list[dict[str, str] | None]]:
    """Return this host's name, and for each path the digests of its files, or None where it doesn't exist."""
    return socket.gethostname(), [_contents(Path(path)) for path in paths]


def _contents(path: Path) -> dict[str, str] | None:
    if not path.exists():
        return None
    files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.is_file())
    return {file.name: _digest_ends(file) for file in files}


_END_BYTES = 1 << 20


def _digest_ends(file: Path) -> str:
    """Return the digest of a file's size, beginning and end: reading large weights whole would take minutes."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(_END_BYTES)
        stream.seek(max(0, size - _END_BYTES))
        return hashlib.sha256(f"{size} ".encode() + start + stream.read()).hexdigest()


def _run_on_each(nodes: Sequence[str], function: Any, *arguments: Any) -> list[Any]:  # noqa: ANN401
    """Return what a function returns on each machine.

    Raises:
        ConfigurationError: a machine doesn't answer, or the function fails there.
    """
    remote = ray.remote(function)
    pending = [
        remote.options(
            num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
        ).remote(*arguments)
        for node in nodes
    ]
    hosts = {node["NodeID"]: node["NodeManagerHostname"] for node in ray.nodes()}
    answers = []
    for node, reference in zip(nodes, pending, strict=True):
        try:
            answers.append(ray.get(reference, timeout=_PROBE_TIMEOUT_S))
        except Exception as error:
            message = str(error).strip().rpartition("\n")[2]
            raise ConfigurationError(
                f"the machine {hosts.get(node, node)} of the cluster cannot take part "
                f"({type(error).__name__}: {message}); it needs the same environment, see env_files"
            ) from error
    return answers
