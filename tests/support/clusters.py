"""Real processes for tests: scripts as a user calls them, Ray clusters, the workers below them."""

import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from lm_eval.scheduling.executors.ray.token import keep_token_private
from tests.support.paths import TOP
from tests.support.waiting import PATIENCE_S, wait_for


def environment(**changes: str) -> dict[str, str]:
    """The environment of a user who has activated this one."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, **changes}


_numbers = itertools.count()


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """Give what is started within one core: a grid has a worker for each, and their starts take most time.

    Where several processes run the tests, it is the core of this one; else the cores take turns.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    process = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    number = int(process) if process else next(_numbers)
    os.sched_setaffinity(0, {sorted(cores)[number % len(cores)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def call(
    script: str | Path, *arguments: str | Path | int, prefix: Sequence[str] = (), timeout_s: float = PATIENCE_S
) -> subprocess.CompletedProcess[str]:
    """Call a script from the top folder as it stands, with this environment activated."""
    with one_core():
        return subprocess.run(
            [*prefix, str(Path("scripts") / script), *map(str, arguments)],
            cwd=TOP,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )


def start(script: str | Path, *arguments: str | Path, **changes: str) -> "subprocess.Popen[str]":
    """Start a script that goes on while the test does."""
    with one_core():
        return subprocess.Popen(
            [str(TOP / "scripts" / script), *map(str, arguments)],
            cwd=TOP,
            env=environment(**changes),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def is_worker(process: psutil.Process) -> bool:
    """Whether a process is a Ray actor of ours."""
    try:
        return "ray::RayWorker" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def is_below(process: psutil.Process, pid: int) -> bool:
    """Whether a process descends from another."""
    try:
        return any(parent.pid == pid for parent in process.parents())
    except psutil.NoSuchProcess:
        return False


def workers_below(pid: int) -> list[psutil.Process]:
    """The Ray actors of ours that descend from a process."""
    return [process for process in psutil.process_iter() if is_worker(process) and is_below(process, pid)]


def wait_for_worker(grid: "subprocess.Popen[str]", timeout_s: float = PATIENCE_S) -> psutil.Process:
    """Return a Ray actor that a running script has started."""
    deadline = time.monotonic() + timeout_s
    while grid.poll() is None and time.monotonic() < deadline:
        for process in workers_below(grid.pid):
            return process
        time.sleep(0.2)
    raise AssertionError("the script started no worker")


@contextlib.contextmanager
def running_cluster(port: int, num_gpus: int, **changes: str) -> Iterator[tuple[str, int]]:
    """A running cluster with declared GPUs: its address and the process that holds it."""
    host = "127.0.0.1"
    declared = ["--num-cpus=2", f"--num-gpus={num_gpus}", "--include-dashboard=false", "--disable-usage-stats"]
    with ray_node("--head", f"--port={port}", *declared, **changes) as head:
        yield f"{host}:{port}", head.pid


@contextlib.contextmanager
def ray_node(*arguments: str, prefix: Sequence[str] = (), **changes: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A node of a Ray cluster that has joined it, with all its processes, until the end."""
    command = [*prefix, sys.executable, "-u", "-m", "ray.scripts.scripts", "start", "--block", *arguments]
    keep_token_private()  # a first grid makes it too, and on a new machine none may have been run before
    with tempfile.TemporaryFile("w+") as log:
        node = subprocess.Popen(
            command,
            env=environment(RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0", RAY_AUTH_MODE="token", **changes),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for(lambda: "Ray runtime started" in _read(log) or node.poll() is not None, "a node of Ray")
            assert node.poll() is None, _read(log)
            yield node
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                for process in [*psutil.Process(node.pid).children(recursive=True), psutil.Process(node.pid)]:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
            node.wait(timeout=PATIENCE_S)
            Path("/tmp/ray/ray_current_cluster").unlink(missing_ok=True)  # or `auto` goes on looking for the one killed


def _read(log: IO[str]) -> str:
    """All that a process has written into a file that it shares with this one."""
    return os.pread(log.fileno(), 1 << 20, 0).decode(errors="replace")


_TWO_NODES = """
import sys
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 1})
second = cluster.add_node(num_cpus=2, num_gpus=1)
raylet = second.all_processes["raylet"][0].process.pid
print(cluster.address, raylet, flush=True)
for line in sys.stdin:
    cluster.remove_node(second, allow_graceful=False)
cluster.shutdown()
"""


@dataclass
class TwoNodes:
    """A cluster of two machines that are both this one."""

    process: "subprocess.Popen[str]"
    address: str
    second: int
    """Process of the second machine's raylet."""

    def lose_second(self) -> None:
        """Take the second machine away, without a warning."""
        assert self.process.stdin is not None
        self.process.stdin.write("lose it\n")
        self.process.stdin.flush()


@contextlib.contextmanager
def two_nodes() -> Iterator[TwoNodes]:
    """A cluster of two nodes with a declared GPU each, in a process of its own."""
    keep_token_private()
    with subprocess.Popen(
        [sys.executable, "-c", _TWO_NODES],
        env=environment(RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0", RAY_AUTH_MODE="token"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        address, raylet = process.stdout.readline().split()
        children = psutil.Process(process.pid).children(recursive=True)
        try:
            yield TwoNodes(process, address, int(raylet))
        finally:
            process.communicate(timeout=PATIENCE_S)
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
