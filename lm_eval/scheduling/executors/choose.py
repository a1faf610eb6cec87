"""Choosing the executor by the `--cluster` flag; Ray is imported only once there is something to run."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from lm_eval.config.runtime import Execution
from lm_eval.scheduling.allocation import Workforce
from lm_eval.scheduling.executors.base import Executor
from lm_eval.scheduling.executors.room import check_room
from lm_eval.scheduling.hardware import Machine, local_machine
from lm_eval.scheduling.queue import WorkQueue
from lm_eval.scheduling.units import Event


def choose_executor(cluster: str, *, log_samples: bool) -> Executor:
    """Return the executor of a call.

    Args:
        cluster: `none`, `local`, `auto`, or the address of a Ray cluster.
        log_samples: whether the scores of every document are stored.
    """
    if cluster == "none":
        from lm_eval.scheduling.executors.in_process import InProcessExecutor  # noqa: PLC0415  (as torch is to wait)

        return InProcessExecutor(execution=Execution(log_samples=log_samples))
    if cluster not in ("local", "auto"):
        _use_token()
    if cluster == "local":
        return _LocalRay(log_samples)
    from lm_eval.scheduling.executors.ray.executor import RayExecutor  # noqa: PLC0415  (seconds to import)

    return RayExecutor(cluster=cluster, log_samples=log_samples)


class _LocalRay:
    """Ray on this machine, imported and started once there is something to run."""

    def __init__(self, log_samples: bool) -> None:
        self._log_samples = log_samples

    def machines(self) -> list[Machine]:
        return [local_machine()]

    def check_paths(self, paths: Sequence[str]) -> None:
        """Workers on this machine see the same files as this process."""

    def run(self, queue: WorkQueue, workforce: Workforce) -> Iterator[Event]:
        check_room()
        from lm_eval.scheduling.executors.ray.executor import RayExecutor  # noqa: PLC0415

        yield from RayExecutor(cluster="local", log_samples=self._log_samples).run(queue, workforce)

    def close(self) -> None:
        """`run` has closed it."""


def _use_token() -> None:
    """Let ray show the user's token to a cluster joined by its address; it reads this setting when it is imported."""
    if (Path.home() / ".ray" / "auth_token").is_file() or {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        os.environ.setdefault("RAY_AUTH_MODE", "token")
