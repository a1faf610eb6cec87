"""Joining a Ray cluster, describing its machines, and finding files that they lack."""

import hashlib
import importlib.util
import os
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lm_eval.errors import ConfigurationError
from lm_eval.scheduling.executors.ray.addresses import check_address, owner_of
from lm_eval.scheduling.executors.ray.local_start import local_options
from lm_eval.scheduling.executors.ray.token import keep_token_private
from lm_eval.scheduling.hardware import Gpu, Machine, local_machine

_PACKAGE = Path(__file__).resolve().parents[3]
_PROBE_TIMEOUT_S = 120
"""Time for every machine to answer, which includes unpacking the code the first time."""


def connect(cluster: str) -> str:
    """Start a cluster of this machine, or join one.

    Args:
        cluster: `local`, `auto`, or an address.

    Returns:
        What it is, in words.

    Raises:
        ConfigurationError: no cluster can be joined there.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    address = cluster
    if cluster == "local":
        keep_token_private()
        options |= local_options(local_machine())
    else:  # the machines of a running cluster need not have this code
        if cluster == "auto":  # with which Ray shows the user's token, as it doesn't to an address
            address = find_running() or cluster
        check_address(address)
        options["runtime_env"] = {"py_modules": [str(_PACKAGE)]}
    try:
        ray.init(address=cluster, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        if cluster == "local":  # nothing is wrong with the call
            raise
        raise ConfigurationError(
            f"--cluster {cluster}: no Ray cluster can be joined there ({str(error).strip()}); "
            "start one with `ray start --head`, give its address, or use local"
        ) from error
    owner = owner_of(address)
    return f"the Ray cluster at {address}" + (f" (of {owner})" if owner else "")


def find_running() -> str | None:
    """Return the address of the cluster that `auto` joins, as Ray finds it; None where it finds none."""
    from ray._private.services import canonicalize_bootstrap_address_or_die  # noqa: PLC0415  (Ray tells nobody else)

    try:
        return str(canonicalize_bootstrap_address_or_die("auto"))
    except Exception:  # of whatever kind: then `ray.init` says what is wrong
        return None


def list_nodes() -> list[str]:
    """Return the ids of the machines that are up."""
    return [node["NodeID"] for node in ray.nodes() if node["Alive"]]


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
    for package in ("torch", "transformers"):  # not imported: that takes seconds, and each worker does it again
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named '{package}'")
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
