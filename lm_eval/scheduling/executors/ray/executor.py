"""The executor that runs in parallel on Ray. Only the driver writes files, so the machines need not share a disk."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lm_eval.common.console import print_safely
from lm_eval.config.runtime import Execution
from lm_eval.errors import ConfigurationError
from lm_eval.scheduling.allocation import Workforce
from lm_eval.scheduling.executors.base import ExecutorLostError
from lm_eval.scheduling.executors.ray.addresses import check_address
from lm_eval.scheduling.executors.ray.link import RayLink
from lm_eval.scheduling.executors.ray.local_start import temporary_folder
from lm_eval.scheduling.executors.ray.messages import RayLostError
from lm_eval.scheduling.executors.ray.pool import WorkerPool
from lm_eval.scheduling.executors.ray.watch import STALL_TIMEOUT_S, Watch
from lm_eval.scheduling.executors.room import check_room
from lm_eval.scheduling.hardware import Machine, local_machine
from lm_eval.scheduling.queue import WorkQueue
from lm_eval.scheduling.units import Event

LOCAL_S, JOINED_S = 60.0, 120.0
"""Silence after which Ray on this machine is started again, and after which a cluster that was joined is given up."""
MAX_RESTARTS = 3
"""How often Ray on this machine is started again."""


@dataclass(kw_only=True)
class RayExecutor:
    """Computes work units on a Ray cluster."""

    cluster: str = "local"
    """`local` starts a cluster of this machine, `auto` joins the one that runs here, an address joins another."""
    batch_size: int | None = None
    """Rows a batch; None leaves it to a budget of tokens."""
    log_samples: bool = False
    """Whether the scores of every document are stored."""
    stall_timeout_s: float = STALL_TIMEOUT_S
    """Time without a sign of life after which a worker is replaced."""
    _nodes: list[str] = field(default_factory=list, init=False)
    _link: RayLink | None = field(default=None, init=False)
    _num_restarts: int = field(default=0, init=False)
    _has_begun: bool = field(default=False, init=False)
    """Whether Ray has run: what is missing then is no wrong call."""

    def machines(self) -> list[Machine]:
        """Return the machines of the cluster.

        Raises:
            ConfigurationError: no cluster can be joined.
        """
        if self.cluster == "local":  # ray starts once there is something to run
            return [local_machine()]
        check_address(self.cluster)
        machines: list[Machine]
        self._nodes, machines = self._ask("probe_machines")
        return machines

    def check_paths(self, paths: Sequence[str]) -> None:
        """Check that every machine of the cluster has the folders of models and data.

        Raises:
            ConfigurationError: a machine lacks some of them.
        """
        if self.cluster != "local" and paths:
            missing = self._ask("find_missing", self._nodes, list(paths))
            if missing:
                message = "; ".join(f"{host} lacks {', '.join(lacking)}" for host, lacking in missing.items())
                raise ConfigurationError(
                    f"--cluster {self.cluster}: models and data in folders must be on every machine, with the same "
                    f"content at the same place: {message}; copy them there, or use names of the hub"
                )

    def _ask(self, function: str, *arguments: object) -> Any:  # noqa: ANN401
        """Return what a cluster that is joined answers before anything runs.

        Raises:
            ConfigurationError: it can't be joined, or doesn't answer.
        """
        try:
            return self._linked().ask(function, *arguments)
        except RayLostError as error:
            raise ConfigurationError(f"--cluster {self.cluster}: {error}") from error

    def _linked(self) -> RayLink:
        """Return the link to Ray, connected."""
        if self._link is None:
            if self.cluster == "local":
                check_room(temporary_folder().parent)
            patience_s = min(LOCAL_S, self.stall_timeout_s) if self.cluster == "local" else JOINED_S
            self._link = RayLink(self.cluster, patience_s)
            self._link.connect()
            if self.cluster == "auto":
                print_safely(f"--cluster auto: joined {self._link.joined}")
            if self.cluster == "local":
                self._nodes = self._link.ask("list_nodes")
        return self._link

    def close(self) -> None:
        """Leave the cluster, and stop it if it was started here."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def run(self, queue: WorkQueue, workforce: Workforce) -> Iterator[Event]:
        """Compute all work units; yield the outcome of every configuration, and events of the workers.

        Raises:
            ExecutorLostError: Ray was lost for good; what was not computed waits in the queue.
        """
        if not queue:
            return
        watch = Watch(self.stall_timeout_s)
        try:
            while True:
                try:
                    yield from self._run_once(queue, workforce, watch)
                    return
                except RayLostError as error:
                    self.close()
                    self._restart(error)
                except ConfigurationError as error:
                    if not self._has_begun:
                        raise
                    raise ExecutorLostError(f"Ray can't be started again: {error}") from error
        finally:
            self.close()

    def _run_once(self, queue: WorkQueue, workforce: Workforce, watch: Watch) -> Iterator[Event]:
        link = self._linked()
        self._has_begun = True
        yield from WorkerPool(queue, workforce, link, self._nodes, self._execution(), watch).run()

    def _restart(self, error: RayLostError) -> None:
        """Say that Ray is started again.

        Raises:
            ExecutorLostError: it isn't.
        """
        if self.cluster != "local":
            raise ExecutorLostError(f"{error}; call again once the cluster runs") from error
        if self._num_restarts == MAX_RESTARTS:
            raise ExecutorLostError(f"{error}, after {MAX_RESTARTS} new starts; call again for the rest") from error
        self._num_restarts += 1
        print_safely(f"{error}; Ray is started again ({self._num_restarts} of {MAX_RESTARTS} times)")

    def _execution(self) -> Execution:
        return Execution(batch_size=self.batch_size, log_samples=self.log_samples)
