"""Choosing the executor by the `--cluster` flag; Ray is started only once there is something to run."""

from collections.abc import Iterator, Sequence

from lm_eval.common.console import print_safely
from lm_eval.config.runtime import Execution
from lm_eval.scheduling.allocation import Workforce
from lm_eval.scheduling.executors.base import Executor
from lm_eval.scheduling.executors.ray.executor import RayExecutor
from lm_eval.scheduling.hardware import Machine, local_machine
from lm_eval.scheduling.queue import WorkQueue
from lm_eval.scheduling.units import Event


def choose_executor(
    cluster: str, *, log_samples: bool, stall_timeout_s: float | None = None, is_dry: bool = False
) -> Executor:
    """Return the executor of a call.

    Args:
        cluster: `none`, `local`, `auto`, or the address of a Ray cluster.
        log_samples: whether the scores of every document are stored.
        stall_timeout_s: time without a sign of life after which a worker is replaced; None takes the default.
        is_dry: whether nothing is to run: then no cluster is joined that wasn't asked for by its address.
    """
    if cluster == "none":
        from lm_eval.scheduling.executors.in_process import InProcessExecutor  # noqa: PLC0415  (as torch is to wait)

        return InProcessExecutor(execution=Execution(log_samples=log_samples))
    if cluster == "auto" and is_dry:
        return _Unjoined()
    if stall_timeout_s is None:
        return RayExecutor(cluster=cluster, log_samples=log_samples)
    return RayExecutor(cluster=cluster, log_samples=log_samples, stall_timeout_s=stall_timeout_s)


class _Unjoined:
    """Stands for a cluster that a dry run doesn't join."""

    def machines(self) -> list[Machine]:
        print_safely(
            "--cluster auto: a dry run joins no cluster, so this is the plan for this machine alone; give the "
            "cluster's address for that of the cluster"
        )
        return [local_machine()]

    def check_paths(self, paths: Sequence[str]) -> None:
        """What other machines have isn't known."""

    def run(self, queue: WorkQueue, workforce: Workforce) -> Iterator[Event]:  # noqa: ARG002
        raise AssertionError("a dry run runs nothing")

    def close(self) -> None:
        """Nothing was joined."""
