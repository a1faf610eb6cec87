"""The process that holds Ray for a driver, so that nothing that becomes of Ray becomes of the driver.

Ray ends the process that uses it when its head is lost, and its calls wait for ever when a part of it stands still. So
this one uses it, on commands that come over a pipe; the driver looks whether it answers, and ends it otherwise.
"""

import contextlib
import json
import os
import platform
import signal
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import psutil
import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lm_eval.common.text import first_line
from lm_eval.errors import ConfigurationError
from lm_eval.scheduling.executors.ray import cluster
from lm_eval.scheduling.executors.ray.actor import RayWorker
from lm_eval.scheduling.executors.ray.messages import (
    Answer,
    Ask,
    Close,
    Command,
    Died,
    EndWorker,
    Message,
    Ready,
    Reported,
    RunUnit,
    StartWorker,
    Tick,
)
from lm_eval.scheduling.executors.ray.worker_files import WorkerFiles
from lm_eval.scheduling.executors.signs import Sign
from lm_eval.scheduling.processes import kill_all, process_started

_TICK_S = 1.0
_REMOTE_S = 10.0
"""Time between two looks at the signs of workers on other machines."""
_ANSWER_S = 5.0
"""Time limit for reading the log of a dead worker."""


@dataclass(eq=False)
class _Worker:
    actor: Any
    node: str
    files: WorkerFiles
    place: Any
    """Future of its files, with their folder on its machine."""
    is_local: bool
    """Whether Ray runs on this machine alone."""
    has_begun: bool = False
    log_end: int = 0
    """Bytes of its log that were read."""


class Host:
    """Does what a driver commands, and tells it what comes of it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._token = uuid.uuid4().hex[:8]
        self._workers: dict[str, _Worker] = {}
        self._here: set[str] = set()
        """The ids of this machine."""
        self._remote: dict[str, Any] = {}
        """The looks at the workers of other machines that are under way, by the machine's id."""
        self._far_signs: dict[str, Sign] = {}
        self._ending: list[threading.Thread] = []
        self._looked = -_REMOTE_S

    def serve(self) -> None:
        """Carry out commands until the driver closes the pipe, or is gone."""
        self._tell(Ready())
        while True:
            try:
                command: Command = self._connection.recv()
            except (EOFError, OSError):
                return
            if isinstance(command, Ask):
                self._answer(command)
            elif isinstance(command, StartWorker):
                self._start(command)
            elif isinstance(command, RunUnit):
                worker = self._workers[command.worker]
                future = worker.actor.run.remote(command.configs, command.blocks)
                threading.Thread(target=self._wait, args=(command.worker, worker, future), daemon=True).start()
            elif isinstance(command, EndWorker):
                known = self._workers
                worker = known[command.worker] if command.keeps_log else known.pop(command.worker)
                ending = threading.Thread(target=self._end, args=(command, worker), daemon=True)
                self._ending.append(ending)
                ending.start()
            elif isinstance(command, Close):
                self._leave()
                return

    def _leave(self) -> None:
        deadline = time.monotonic() + _ANSWER_S
        for ending in self._ending:
            ending.join(max(0.0, deadline - time.monotonic()))
        ray.shutdown()

    def _tell(self, message: Message) -> None:
        with self._lock, contextlib.suppress(OSError):  # the driver is gone; `serve` notices it
            self._connection.send(message)

    def _answer(self, ask: Ask) -> None:
        try:
            answer = Answer(value=getattr(cluster, ask.function)(*ask.arguments))
        except Exception as error:  # the driver raises it
            answer = Answer(error=error if isinstance(error, ConfigurationError) else _plain(error))
        self._tell(answer)
        _stay()  # Ray installs a handler of its own
        if ask.function == "connect" and answer.error is None:
            threading.Thread(target=self._tick, name="ticks", daemon=True).start()

    def _start(self, command: StartWorker) -> None:
        files = WorkerFiles(command.folder, f"{self._token}-{command.worker}")
        options = {"max_restarts": 0, "scheduling_strategy": _on(command.node), **command.resources}
        actor: Any = ray.remote(RayWorker).options(**options).remote(command.execution, command.threads, files)
        self._workers[command.worker] = _Worker(
            actor, command.node, files, actor.files.remote(), is_local=command.folder is not None
        )

    def _is_here(self, worker: _Worker) -> bool:
        """Whether a worker's files lie on this machine."""
        return worker.is_local or worker.node in self._here

    def _wait(self, name: str, worker: _Worker, future: Any) -> None:  # noqa: ANN401
        try:
            report = ray.get(future)
        except Exception as error:  # of Ray, or one that cannot be carried to here
            host, log = self._read_log(worker)
            while self._is_here(worker) and not worker.files.end(removes=False):
                pass  # as long as its process is there, its GPU isn't free, whatever Ray says
            cause = first_line(error) or type(error).__name__
            self._tell_machines()
            self._tell(Died(worker=name, cause=cause, host=host, log=log))
        else:
            worker.log_end = report.log_end
            self._tell(Reported(worker=name, report=report))

    def _read_log(self, worker: _Worker) -> tuple[str | None, str]:
        """Return a dead worker's host and the end of its log; None and "" if its machine doesn't answer."""
        with contextlib.suppress(RayError):
            _find(worker)
            if self._is_here(worker):
                return platform.node(), worker.files.read_tail(worker.log_end)
            read = ray.remote(_read_far).options(num_cpus=0, scheduling_strategy=_on(worker.node))
            return ray.get(read.remote(worker.files, worker.log_end), timeout=_ANSWER_S)
        return None, ""

    def _end(self, command: EndWorker, worker: _Worker) -> None:
        """End a worker: Ray asks it to end itself, which one that stands still doesn't; its machine kills it."""
        _find(worker)
        if self._is_here(worker):
            worker.files.end(removes=not command.keeps_log)
        with contextlib.suppress(RayError, ValueError):
            ray.kill(worker.actor)
        if self._is_here(worker):
            return
        end = ray.remote(_end_far).options(num_cpus=0, max_retries=0, scheduling_strategy=_on(worker.node))
        with contextlib.suppress(RayError):
            ray.get(end.remote(worker.files, not command.keeps_log), timeout=_REMOTE_S)

    def _tick(self) -> None:
        """Tell again and again that Ray answers; this stands still where Ray does."""
        while True:
            with contextlib.suppress(Exception):  # of Ray, which may pass; if it doesn't, nothing is told any more
                self._tell_once()
            time.sleep(_TICK_S)

    def _tell_machines(self) -> None:
        """Tell which machines are up: one that is lost would else be given work, and lose it, until the next tick."""
        with contextlib.suppress(Exception):  # of Ray; the next tick tells it
            alive = frozenset(node["NodeID"] for node in ray.nodes() if node["Alive"])
            self._tell(Tick(nodes=alive, signs={}, begun=frozenset()))

    def _tell_once(self) -> None:
        nodes = ray.nodes()
        self._here = {node["NodeID"] for node in nodes if node["NodeManagerHostname"] == platform.node()}
        if time.monotonic() - self._looked >= _REMOTE_S:
            self._looked = time.monotonic()
            self._look_far()
        workers = dict(self._workers)
        for one in workers.values():
            _find(one)
        near = {name: one.files.sign() for name, one in workers.items() if self._is_here(one)}
        found = {**self._far_signs, **near}
        signs = {name: sign for name in workers if (sign := found.get(name)) is not None}
        alive = frozenset(node["NodeID"] for node in nodes if node["Alive"])
        begun = frozenset(name for name, one in workers.items() if one.has_begun)
        self._tell(Tick(nodes=alive, signs=signs, begun=begun))

    def _look_far(self) -> None:
        """Read the signs of workers on other machines; one that doesn't answer is not waited for."""
        for node, look in list(self._remote.items()):
            if ray.wait([look], timeout=0)[0]:
                del self._remote[node]
                with contextlib.suppress(RayError):
                    self._far_signs.update(ray.get(look))
        far: dict[str, dict[str, WorkerFiles]] = {}
        for name, worker in dict(self._workers).items():
            if not self._is_here(worker) and worker.node not in self._remote:
                far.setdefault(worker.node, {})[name] = worker.files
        for node, files in far.items():
            look = ray.remote(_look).options(num_cpus=0, max_retries=0, scheduling_strategy=_on(node))
            self._remote[node] = look.remote(files)


def _find(worker: _Worker) -> None:
    """Learn where the files of a worker lie, once it runs."""
    if not worker.has_begun and ray.wait([worker.place], timeout=0)[0]:
        with contextlib.suppress(RayError):
            worker.files, worker.has_begun = ray.get(worker.place), True


def _on(node: str) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node, soft=False)


def _read_far(files: WorkerFiles, start: int) -> tuple[str, str]:
    return platform.node(), files.read_tail(start)


def _end_far(files: WorkerFiles, removes: bool) -> None:
    files.end(removes=removes)


def _look(files: dict[str, WorkerFiles]) -> dict[str, Sign]:
    signs = {name: one.sign() for name, one in files.items()}
    return {name: sign for name, sign in signs.items() if sign is not None}


def _plain(error: Exception) -> Exception:
    """Return an error that can be sent."""
    return RuntimeError(f"{type(error).__name__}: {str(error).strip()}")


def _stay() -> None:
    """Leave interrupts to the driver, by a function: what is ignored would be ignored by Ray's processes too."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, lambda *_: None)


def main() -> None:
    """Serve the driver that has started this process."""
    _stay()
    handle = json.loads(sys.stdin.readline())
    os.set_inheritable(handle, False)
    Host(Connection(handle)).serve()
    kill_all(f"{child.pid}={process_started(child.pid)}" for child in psutil.Process().children(recursive=True))
    os._exit(0)
