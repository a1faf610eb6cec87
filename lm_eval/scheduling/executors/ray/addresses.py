"""Addresses of Ray clusters: whether Ray answers there, and whose cluster it is. Knows nothing of Ray's own code."""

import contextlib
import os
import socket
from pathlib import Path

import psutil

from lm_eval.errors import ConfigurationError

_CONNECT_TIMEOUT_S = 5
_ANSWER_TIMEOUT_S = 8.0
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a client begins that speaks HTTP/2, as Ray does: with its settings, none of them set."""
_SETTINGS = 4
"""The kind of frame with which a server begins."""
_LISTENS = "0A"


def check_address(cluster: str) -> None:
    """Refuse an address where nothing listens, or where what listens doesn't answer as Ray: ray would go on trying.

    Raises:
        ConfigurationError: not an address, or no Ray is there.
    """
    if cluster in ("local", "auto"):
        return
    host, _, port = cluster.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigurationError(
            f"--cluster {cluster}: give local, none, auto, or the HOST:PORT of a running Ray cluster"
        )
    try:
        with socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT_S) as connection:
            if os.environ.get("RAY_USE_TLS", "0").lower() not in ("1", "true"):
                _greet(connection)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(f"--cluster {cluster}: no Ray cluster can be joined there ({error})") from error


def _greet(connection: socket.socket) -> None:
    """Say what a client of Ray says first, and read the answer.

    Raises:
        OSError: there is none in time, or another one.
    """
    connection.settimeout(_ANSWER_TIMEOUT_S)
    connection.sendall(_GREETING)
    answer = b""
    try:
        while len(answer) < 4 and (more := connection.recv(9 - len(answer))):
            answer += more
    except TimeoutError as error:
        raise TimeoutError(f"what listens there has not answered for {_ANSWER_TIMEOUT_S:.0f} s") from error
    if len(answer) < 4 or answer[3] != _SETTINGS:
        raise OSError("what listens there does not answer as Ray does")


def owner_of(address: str) -> str | None:
    """Return the user who runs what listens at an address of this machine; None where that can't be told."""
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError, ValueError, KeyError):
        own = {one.address for addresses in psutil.net_if_addrs().values() for one in addresses}
        if socket.gethostbyname(host) not in own:
            return None
        for table in ("tcp", "tcp6"):
            for line in Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == int(port):
                    import pwd  # noqa: PLC0415  (not on every system)

                    return pwd.getpwuid(int(fields[7])).pw_name
    return None
