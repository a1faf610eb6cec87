"""The executor that runs in parallel on Ray. Only the driver writes files, so the machines need not share a disk."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import ray

from lm_eval.config.runtime import Execution
from lm_eval.errors import ConfigurationError
from lm_eval.scheduling.allocation import Workforce
from lm_eval.scheduling.executors.ray.cleanup import children_ended, children_guarded
from lm_eval.scheduling.executors.ray.cluster import connect, find_missing, probe_machines
from lm_eval.scheduling.executors.ray.pool import WorkerPool
from lm_eval.scheduling.hardware import Machine, local_machine
from lm_eval.scheduling.queue import WorkQueue
from lm_eval.scheduling.units import Event


@dataclass(kw_only=True)
class RayExecutor:
    """Computes work units on a Ray cluster."""

    cluster: str = "local"
    """`local` starts a cluster of this machine, `auto` joins the one that runs here, an address joins another."""
    batch_size: int | None = None
    """Rows a batch; None leaves it to a budget of tokens."""
    log_samples: bool = False
    """Whether the scores of every document are stored."""
    _nodes: list[str] = field(default_factory=list, init=False)

    def machines(self) -> list[Machine]:
        """Return the machines of the cluster.

        Raises:
            ConfigurationError: no cluster can be joined.
        """
        if self.cluster == "local":  # ray starts once there is something to run
            return [local_machine()]
        self._connect()
        self._nodes, machines = probe_machines()
        return machines

    def check_paths(self, paths: Sequence[str]) -> None:
        """Check that every machine of the cluster has the folders of models and data.

        Raises:
            ConfigurationError: a machine lacks some of them.
        """
        if self.cluster != "local" and paths:
            missing = find_missing(self._nodes, paths)
            if missing:
                message = "; ".join(f"{host} lacks {', '.join(lacking)}" for host, lacking in missing.items())
                raise ConfigurationError(
                    f"--cluster {self.cluster}: models and data in folders must be on every machine, with the same "
                    f"content at the same place: {message}; copy them there, or use names of the hub"
                )

    def _execution(self) -> Execution:
        return Execution(batch_size=self.batch_size, log_samples=self.log_samples)

    def _connect(self) -> None:
        if not ray.is_initialized():
            connect(self.cluster)

    def close(self) -> None:
        """Leave the cluster, and stop it if it was started here."""
        if self.cluster == "local":
            with children_ended():
                ray.shutdown()
        else:
            ray.shutdown()

    def run(self, queue: WorkQueue, workforce: Workforce) -> Iterator[Event]:
        """Compute all work units; yield the outcome of every configuration, and events of the workers."""
        try:
            self._connect()
            if not self._nodes:
                self._nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
            with children_guarded() if self.cluster == "local" else contextlib.nullcontext():
                yield from WorkerPool(queue, workforce, self._nodes, self._execution()).run()
        finally:
            self.close()
