"""Writing files atomically: whole or not at all."""

import contextlib
import errno
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from lm_eval.errors import ConfigurationError


@contextlib.contextmanager
def written_whole(path: Path, *, ending: str = ".tmp", anew: bool = False) -> Iterator[Path]:
    """Yield a temporary file in the same folder; it replaces the file at the end, or is removed after an error.

    Args:
        path: the file.
        ending: ending of the temporary file's name, for writers that choose the format by it.
        anew: whether there must be no such file: of two processes that write it at once, one succeeds.

    Raises:
        FileExistsError: there is one.
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
        if anew:
            _place(temporary, path)
        else:
            temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""What file systems answer that know no second name of a file."""


def _place(temporary: Path, path: Path) -> None:
    """Give a finished file its name, unless a file has it."""
    try:
        os.link(temporary, path)
        temporary.unlink()
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o644))
        temporary.replace(path)


def write_json(path: Path, content: object, *, anew: bool = False) -> None:
    """Write a JSON file atomically.

    Args:
        path: the file.
        content: what it is to hold.
        anew: whether there must be no such file.

    Raises:
        FileExistsError: there is one.
    """
    with written_whole(path, anew=anew) as temporary, temporary.open("w", encoding="utf-8") as stream:
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
            is_left = match is not None and not psutil.pid_exists(int(match[1]))
            if is_left and abs(time.time() - path.lstat().st_mtime) > _LEFT_S:
                path.unlink(missing_ok=True)


def remove_whatever(path: Path) -> None:
    """Remove what stands in the place of a file: it, a link, or a folder with all that it holds."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Create a results folder if needed, and check that files can be written there.

    Raises:
        ConfigurationError: it cannot be created or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=f".writable.{os.getpid()}.", suffix=".tmp"):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"results folder {folder}: cannot be written ({error.strerror}); choose another"
        ) from error
