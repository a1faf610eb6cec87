"""What Ray needs of this machine's folders: a place for its files, and one for the memory that its processes share."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from lm_eval.errors import ConfigurationError

_NEEDED = 100 << 20
"""Bytes: logs and sockets of a grid take a few, and Ray begins with no less than 75 MiB of shared memory."""
_SHARED = Path("/dev/shm")  # noqa: S108  (where Ray puts it)


def check_room(temporary: Path | None = None, shared: Path = _SHARED) -> None:
    """Check that Ray can write where it keeps its files, and that there is room.

    Args:
        temporary: the folder of its files; None takes the one that Ray takes.
        shared: the folder of shared memory; where there is too little, Ray takes the other.

    Raises:
        ConfigurationError: there is none, it can't be written, or it is too small.
    """
    folder = temporary or Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp")  # noqa: S108
    if (fault := _find_fault(folder)) is not None:
        raise ConfigurationError(
            f"{folder}: {fault}, but Ray keeps its files there, up to {_NEEDED >> 20} MB; set TMPDIR to a folder that "
            "can be written and has room"
        )
    if sys.platform.startswith("linux") and shared.is_dir() and _free(shared) >= _NEEDED:
        if (fault := _find_fault(shared)) is not None:
            raise ConfigurationError(
                f"{shared}: {fault}, but Ray's processes share memory there; mount it so that it can be written"
            )


def _find_fault(folder: Path) -> str | None:
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"0" * 4096)
            probe.flush()
        free = _free(folder)
    except OSError as error:
        return f"nothing can be written there ({error.strerror})"
    return None if free >= _NEEDED else f"only {free / 1e6:.0f} MB are free there"


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free
