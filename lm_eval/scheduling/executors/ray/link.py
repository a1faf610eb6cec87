"""The driver's side of the process that holds Ray: starts it, tells when it doesn't answer, ends it whole."""

import contextlib
import os
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

import psutil

from lm_eval.common.console import print_safely
from lm_eval.common.text import first_line
from lm_eval.errors import ConfigurationError
from lm_eval.scheduling.executors.ray.cleanup import Guard
from lm_eval.scheduling.executors.ray.messages import Answer, Ask, Close, Command, Message, RayLostError, Ready, Tick
from lm_eval.scheduling.executors.ray.token import has_token

SAID_S = 12.0
"""Silence after which the user is told."""
_START_S = 90.0
"""Time for Ray on this machine to start; its import may take longer, as long as that goes on."""
_STEP_S = 0.5
"""Longest wait at a time; of a longer one, as when this process was stopped itself, no more counts as silence."""
_CLOSE_S = 10.0
_RECONNECT_S = "180"
"""For how long Ray itself tries to reach a lost head before it ends its process: longer than this waits for it."""

_BOOT = (
    "import sys; sys.path[:] = filter(None, sys.path); from lm_eval.scheduling.executors.ray.host import main; main()"
)
"""The folder where this was called may hold a `ray.py`."""
_PACKAGE = Path(__file__).resolve().parents[3]


class RayLink:
    """A process that holds Ray, and what it tells."""

    def __init__(self, cluster: str, patience_s: float) -> None:
        """Start the process; it connects later.

        Args:
            cluster: `local`, `auto`, or an address.
            patience_s: silence after which Ray is taken to be lost.
        """
        self.cluster = cluster
        self._patience_s = patience_s
        self.joined = ""
        """What it has joined, in words."""
        self._silent_s, self._is_said, self._is_ready, self._unreadable = 0.0, False, False, ""
        self._waiting: list[Message] = []
        self._told: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        """What has come over the pipe; None once it is closed."""
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._watched, self._spent_s = 0.0, 0.0
        self.folder = Path(tempfile.mkdtemp(prefix="lm_eval-"))
        self._output: IO[bytes] = (self.folder / "ray.out").open("w+b")
        self._guard = Guard()
        self._guard.keep(self.folder)
        mine, its = socket.socketpair()
        with its:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-c", _BOOT],
                stdin=subprocess.PIPE,
                stdout=self._output,
                stderr=self._output,
                pass_fds=[its.fileno()],
                start_new_session=True,
                env=_environment(cluster),
            )
            self._guard.watch(self._process.pid)
            self._connection = Connection(mine.detach())
            if self._process.stdin is not None:
                self._process.stdin.write(f"{its.fileno()}\n".encode())
                self._process.stdin.flush()
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._send, self._read)]
        for thread in self._threads:
            thread.start()

    @property
    def is_local(self) -> bool:
        """Whether Ray runs on this machine for this driver alone."""
        return self.cluster == "local"

    @property
    def worker_folder(self) -> str | None:
        """The folder for the workers' files; None where they may be on other machines."""
        return str(self.folder) if self.is_local else None

    def connect(self) -> None:
        """Let it start Ray, or join a cluster.

        Raises:
            ConfigurationError: no cluster can be joined there.
            RayLostError: Ray cannot be started, or doesn't answer.
        """
        try:
            self.joined = self.ask("connect", self.cluster, patience_s=_START_S if self.is_local else None)
        except RayLostError as error:
            raise RayLostError(f"Ray could not be started here: {error}" if self.is_local else str(error)) from error

    def ask(self, function: str, *arguments: object, patience_s: float | None = None) -> Any:  # noqa: ANN401
        """Return what a function of `executors.ray.cluster` returns there.

        Raises:
            ConfigurationError: the function raises it.
            RayLostError: it fails otherwise, or Ray doesn't answer.
        """
        self.send(Ask(function=function, arguments=arguments))
        answers: list[Answer] = []
        while not answers:
            for message in self._receive(_STEP_S, patience_s):
                if isinstance(message, Answer):
                    answers.append(message)
                elif not isinstance(message, Ready):
                    self._waiting.append(message)
        (answer,) = answers
        if isinstance(answer.error, ConfigurationError):
            raise answer.error
        if answer.error is not None:
            raise RayLostError(str(answer.error))
        return answer.value

    def send(self, command: Command) -> None:
        """Send a command, without waiting for a process that stands still; that it has ended shows `receive`."""
        self._commands.put(command)

    def _send(self) -> None:
        with contextlib.suppress(OSError):
            while (command := self._commands.get()) is not None:
                self._connection.send(command)

    def _read(self) -> None:
        """Take messages from the pipe, apart from the driver: a process may stand still in the middle of one."""
        try:
            while True:
                self._told.put(self._connection.recv())
        except (EOFError, OSError):
            self._told.put(None)
        except Exception as error:  # of whatever unpickles it
            self._unreadable = f"what it tells can't be read: {type(error).__name__}: {first_line(error)}"
            self._told.put(None)

    def receive(self, timeout_s: float) -> list[Message]:
        """Return what has been told, after a while at most.

        Raises:
            RayLostError: the process has ended, or has been silent for too long.
        """
        waiting, self._waiting = self._waiting, []
        if waiting:
            return waiting
        deadline = time.monotonic() + timeout_s
        while not (messages := self._receive(min(_STEP_S, timeout_s))) and time.monotonic() < deadline:
            pass
        self._watch_tree()
        return messages

    def _receive(self, timeout_s: float, patience_s: float | None = None) -> list[Message]:
        messages: list[Message] = []
        with contextlib.suppress(queue.Empty):
            while (message := self._told.get(block=not messages and timeout_s > 0, timeout=timeout_s)) is not None:
                messages.append(message)
            self._told.put(None)
            if not messages:
                raise self._lost()
        if messages:
            self._is_ready = True
            if self._is_said and any(isinstance(message, Tick) for message in messages):
                print_safely(f"{self._name()} answers again")
            self._silent_s, self._is_said = 0.0, False
        else:
            self._silent_s += timeout_s
            if not self._is_ready and self._imports():
                self._silent_s = 0.0
            self._judge(patience_s or self._patience_s)
        return messages

    def _imports(self) -> bool:
        """Whether the process, which cannot tell anything yet, has done something since this was last asked."""
        before = self._spent_s
        with contextlib.suppress(psutil.Error):
            times = psutil.Process(self._process.pid).cpu_times()
            self._spent_s = times.user + times.system
        return self._spent_s != before

    def _judge(self, patience_s: float) -> None:
        comes = "it is started again" if self.is_local else "this ends"
        if self._silent_s >= patience_s:
            raise RayLostError(f"{self._name()} has not answered for {self._silent_s:.0f} s")
        if self._silent_s >= SAID_S and not self._is_said and (not self.is_local or self.joined):
            self._is_said = True
            print_safely(
                f"{self._name()} has not answered for {self._silent_s:.0f} s; {comes} after {patience_s:.0f} s"
            )

    def _name(self) -> str:
        return "Ray on this machine" if self.is_local else self.joined or f"the Ray cluster at {self.cluster}"

    def _lost(self) -> RayLostError:
        status = self._process.poll()
        how = "" if status is None else f", signal {-status}" if status < 0 else f", status {status}"
        cause = self._unreadable or f"the process that used it ended{how}"
        return RayLostError(f"{self._name()} has been lost ({cause}){self._last_words()}")

    def _last_words(self) -> str:
        """Return the last line that the process has printed that tells something."""
        try:
            self._output.seek(0)
            lines = self._output.read().decode(errors="replace").splitlines()
        except (OSError, ValueError):
            return ""
        said = [line for line in lines if "Error" in line and not line.startswith(" ")]
        return f": {said[-1]:.300}" if said else ""

    def _watch_tree(self) -> None:
        """Tell the guard now and then what Ray has started, as parts of it may lose their parents."""
        if self.is_local and time.monotonic() - self._watched >= _STEP_S * 10:
            self._watched = time.monotonic()
            try:
                children = psutil.Process(self._process.pid).children(recursive=True)
            except psutil.Error:
                return
            self._guard.watch(*(child.pid for child in children))

    def close(self) -> None:
        """Leave the cluster, or end all that was started on this machine; remove what it wrote."""
        try:
            if not self.is_local and self._process.poll() is None and self._silent_s < SAID_S:
                self.send(Close())
                self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._guard.end_processes()
            with contextlib.suppress(subprocess.TimeoutExpired):  # one that waits for a device cannot be ended
                self._process.wait(_CLOSE_S)
            self._commands.put(None)
            for thread in self._threads:
                thread.join(_CLOSE_S)
            self._connection.close()
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._output.close()
            shutil.rmtree(self.folder, ignore_errors=True)
            self._guard.close()


def _environment(cluster: str) -> dict[str, str]:
    """Return the environment of the process that holds Ray."""
    environment = dict(os.environ)
    environment.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", _RECONNECT_S)
    if cluster not in ("local", "auto") and has_token():  # a token is shown to a cluster joined by its address
        environment.setdefault("RAY_AUTH_MODE", "token")
    # A checkout need not be installed: its scripts add it to where Python looks, which this process and Ray's don't do.
    checkout, path = str(_PACKAGE.parent), environment.get("PYTHONPATH")
    further = path.split(os.pathsep) if path else []
    if "site-packages" not in _PACKAGE.parts and checkout not in further:
        environment["PYTHONPATH"] = os.pathsep.join([checkout, *further])
    return environment
