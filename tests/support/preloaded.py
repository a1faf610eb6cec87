"""A Python that has imported its libraries already: a script that asks it for that goes on in a copy of it.

Where several tests start a process that needs torch and transformers, these are imported once, which takes 5 s, not
once a process. What a test starts is a process as any other: it hands its arguments, its environment and its
standard streams to a copy, waits for it, and ends with its status. What is registered to be done at a process's end
isn't done in a copy.
"""

import contextlib
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

COPY = "__copy__"
"""What `__name__` is in a copy."""
_STREAMS = 3
_CHUNK = 1 << 16


@contextlib.contextmanager
def preloaded(imports: str) -> Iterator[Path]:
    """Start a Python that has carried out some imports; give the socket at which it is asked for copies.

    It reads no hub, and what libraries keep for themselves goes to a folder of its own: they ask for both as they are
    imported.
    """
    with tempfile.TemporaryDirectory(prefix="lm-") as name:  # a socket's path may have a hundred characters
        place = Path(name) / "socket"
        changes = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(Path(name) / "hf")}
        command = [sys.executable, "-I", __file__, str(place), imports]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, env={**os.environ, **changes}, **pipes) as server:
            try:
                assert server.stdout is not None
                if (said := server.stdout.readline()) != b"ready\n":
                    raise RuntimeError(f"no Python with {imports!r} at {place}: it said {said!r}")
                yield place
            finally:
                server.kill()


def go_on_in_copy(place: str) -> int:
    """Run this script again in a copy of the Python behind a socket, under the name `COPY`; return its status."""
    request = {"arguments": sys.argv, "cwd": str(Path.cwd()), "environment": {**os.environ}}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(place)
        socket.send_fds(connection, [b" "], range(_STREAMS))
        connection.sendall(json.dumps(request).encode())
        connection.shutdown(socket.SHUT_WR)
        status = connection.recv(_CHUNK)
    return int(status) if status else 1  # without an answer where a signal ended it


def _serve(place: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # copies that have ended need no one to wait for them
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen()
        print("ready", flush=True)
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:  # which ends with who started this
            connection, _ = listener.accept()
            if os.fork() == 0:
                _become(connection)
            connection.close()


def _become(connection: socket.socket) -> None:
    """Take a caller's place, and end with the status of its script."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _, streams, *_ = socket.recv_fds(connection, 1, _STREAMS)
        request = json.loads(b"".join(iter(lambda: connection.recv(_CHUNK), b"")))
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["cwd"])
        sys.argv = request["arguments"]
        threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
        status = _status_of(sys.argv[0])
        sys.stdout.flush()
        connection.sendall(str(status).encode())
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _end_with(connection: socket.socket) -> None:
    """End this process once its caller has gone."""
    gone = select.poll()
    gone.register(connection, 0)  # a connection that has hung up is told in any case
    gone.poll()
    os._exit(1)


def _status_of(script: str) -> int:
    """Run a script, and return the status that it ends with."""
    try:
        runpy.run_path(script, run_name=COPY)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr, flush=True)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    gc.disable()
    exec(sys.argv[2])
    gc.freeze()
    _serve(sys.argv[1])
