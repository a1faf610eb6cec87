"""Writing files atomically: whole or not at all."""

import contextlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from lm_eval.errors import ConfigurationError


@contextlib.contextmanager
def written_whole(path: Path, *, ending: str = ".tmp") -> Iterator[Path]:
    """Yield a temporary file in the same folder; it replaces the file at the end, or is removed after an error.

    Args:
        path: the file.
        ending: ending of the temporary file's name, for writers that choose the format by it.
    """
    prefix = f".{path.stem[:40]}.{os.getpid()}."
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=ending)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def write_json(path: Path, content: object) -> None:
    """Write a JSON file atomically."""
    with written_whole(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        json.dump(content, stream, indent=2, allow_nan=False)
        stream.write("\n")


_LEFT_S = 5.0
"""Age from which a temporary file whose process doesn't exist counts as left behind."""


def sweep_temporary_files(folder: Path) -> None:
    """Remove temporary files of processes that were killed while writing.

    The process of a file may run on another machine; if its file is removed while it writes, it writes it again.
    """
    with contextlib.suppress(OSError):
        for path in folder.glob(".*.tmp"):
            match = re.search(r"\.(\d+)\.\w+\.tmp$", path.name)
            if match and not psutil.pid_exists(int(match[1])) and time.time() - path.stat().st_mtime > _LEFT_S:
                path.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Create a results folder if needed, and check that files can be written there.

    Raises:
        ConfigurationError: it cannot be created or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".writable."):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"results folder {folder}: cannot be written ({error.strerror}); choose another"
        ) from error
