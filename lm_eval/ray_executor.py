"""Runs in parallel on a Ray cluster: a worker for every few GPUs, or for a few CPU cores where there is no GPU.

The driver hands out one unit at a time and waits for whichever worker is ready first. A worker keeps its model; it is
replaced when no unit of its model is left, since only the end of a process frees all of a GPU's memory.
"""

import os
import signal
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from lm_eval.config import RunConfig
from lm_eval.errors import ConfigurationError
from lm_eval.execution import Execution
from lm_eval.scheduler import ModelKey, Outcome, Unit, Worker, model_key

_MAX_THREADS = 4
"""CPU cores a worker takes, without a GPU and with work for all workers: small models gain little from more."""
_MAX_DEATHS = 2
"""Workers that may die over a run before it is given up."""
_CONNECT_TIMEOUT_S = 5
_MANY_WORKERS = 8
"""CPU workers from which on each takes more cores instead of there being more of them."""


@dataclass(frozen=True, kw_only=True)
class RayExecutor:
    """Runs units of work on a Ray cluster."""

    cluster: str = "local"
    """`local` starts a cluster of this machine, `auto` joins the one that runs here, an address joins another."""
    num_gpus: int = 1
    """GPUs of a run; above 1 the model is spread over them. Without meaning where there is no GPU."""
    batch_size: int | None = None
    """Rows a batch; None leaves it to a budget of tokens."""

    def run(self, units: Sequence[Unit]) -> Iterator[Outcome]:
        """Yield the outcome of every configuration.

        Raises:
            ConfigurationError: no cluster at the address, or no machine of it has enough GPUs.
        """
        try:
            self._connect()
            start_worker, num_workers = self._plan_workers(len(units))
            yield from _dispatch(units, start_worker, num_workers)
        finally:
            ray.shutdown()

    def _connect(self) -> None:
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if self.cluster == "local":
            options["include_dashboard"] = False
        else:  # the machines of a running cluster need not have this code
            _check_address(self.cluster)
            options["runtime_env"] = {"py_modules": [str(Path(__file__).resolve().parent)]}
        on_termination = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(address=self.cluster, **options)
            signal.signal(signal.SIGTERM, on_termination)  # ray puts a handler of its own there
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ConfigurationError(
                f"--cluster {self.cluster}: no Ray cluster can be joined there ({str(error).strip()}); "
                "start one with `ray start --head`, give its address, or use local"
            ) from error

    def _plan_workers(self, num_units: int) -> tuple[Callable[[], Any], int]:
        """Return a function that starts a worker, and how many there are to be."""
        gpus = [int(node["Resources"].get("GPU", 0)) for node in ray.nodes() if node["Alive"]]
        if any(gpus):
            if self.num_gpus > max(gpus):
                raise ConfigurationError(
                    f"--NUM_GPUS_PER_RUN {self.num_gpus}: no machine of the cluster has so many GPUs; "
                    f"the largest has {max(gpus)}"
                )
            # an actor with GPUs would otherwise also hold a CPU for life, and there may be more GPUs than CPUs
            resources = {"num_gpus": self.num_gpus, "num_cpus": 0}
            execution = Execution(batch_size=self.batch_size, spread=self.num_gpus > 1)
            room = sum(count // self.num_gpus for count in gpus)
            return _starter(resources, execution, None), min(room, num_units)
        cpus = [int(node["Resources"].get("CPU", 1)) for node in ray.nodes() if node["Alive"]]
        num_workers, threads = share_cpus(cpus, num_units)
        execution = Execution(batch_size=self.batch_size, device="cpu")
        return _starter({"num_cpus": threads}, execution, threads), num_workers


def share_cpus(cpus: Sequence[int], num_units: int) -> tuple[int, int]:
    """Return how many workers share CPU cores, and the threads of each: few units of work get more threads.

    Args:
        cpus: the cores of each machine.
        num_units: units of work to be done.
    """
    usual = max(1, min(_MAX_THREADS, sum(cpus) // _MANY_WORKERS))
    num_workers = max(1, min(num_units, sum(count // usual for count in cpus)))
    fitting = (t for t in range(1, max(cpus) + 1) if sum(count // t for count in cpus) >= num_workers)
    return num_workers, max(fitting, default=1)


def _check_address(address: str) -> None:
    """Refuse an address where nothing listens, which ray would go on trying."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigurationError(f"--cluster {address}: give local, auto, or the HOST:PORT of a running Ray cluster")
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise ConfigurationError(f"--cluster {address}: no Ray cluster can be joined there ({error})") from error


def _starter(resources: dict[str, Any], execution: Execution, num_threads: int | None) -> Callable[[], Any]:
    actor = ray.remote(Worker).options(max_restarts=0, **resources)

    def start() -> Any:  # noqa: ANN401
        return actor.remote(execution, num_threads)

    return start


@dataclass
class _Slot:
    """Room for one worker."""

    worker: Any = None
    key: ModelKey | None = None

    def hold(self, key: ModelKey, start_worker: Callable[[], Any]) -> None:
        """Make sure that the worker is one for this model."""
        if self.key != key:
            self.release()
            self.worker, self.key = start_worker(), key

    def release(self) -> None:
        """End the worker's process."""
        if self.worker is not None:
            ray.kill(self.worker)
        self.worker = self.key = None


def _dispatch(units: Sequence[Unit], start_worker: Callable[[], Any], num_workers: int) -> Iterator[Outcome]:
    pending: dict[ModelKey, deque[Unit]] = {}
    for unit in units:
        pending.setdefault(model_key(unit[0]), deque()).append(unit)
    idle = [_Slot() for _ in range(num_workers)]
    busy: dict[Any, tuple[_Slot, Unit]] = {}
    deaths: Counter[RunConfig] = Counter()
    while pending or busy:
        while idle and pending:
            slot = idle.pop()
            key = _choose_model(slot, pending, [other.key for other, _ in busy.values()])
            unit = pending[key].popleft()
            if not pending[key]:
                del pending[key]
            slot.hold(key, start_worker)
            busy[slot.worker.run.remote(unit)] = slot, unit
        (ready,), _ = ray.wait(list(busy), num_returns=1)
        slot, unit = busy.pop(ready)
        try:
            yield from ray.get(ready)
        except RayError as error:
            slot.release()
            for config in unit:
                deaths[config] += 1
                if deaths[config] < _MAX_DEATHS:  # each on its own, so that the one to blame takes no other with it
                    pending.setdefault(model_key(config), deque()).append([config])
                else:
                    yield Outcome(config=config, error=f"its worker died {_MAX_DEATHS} times: {str(error).strip()}")
        idle.append(slot)


def _choose_model(slot: _Slot, pending: dict[ModelKey, deque[Unit]], in_use: list[ModelKey | None]) -> ModelKey:
    """Choose the model that the slot has loaded, else the one with the most units waiting for each worker."""
    if slot.key is not None and slot.key in pending:
        return slot.key
    return max(pending, key=lambda key: len(pending[key]) / (1 + in_use.count(key)))
