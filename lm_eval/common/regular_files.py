"""Reading files that are files: named pipes, sockets, devices and folders are refused before they can block."""

import errno
import os
import stat
from pathlib import Path

from lm_eval.errors import ConfigurationError

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotAFileError(OSError):
    """Something else than a file has a file's name."""


def kind_of(path: Path) -> str | None:
    """Return what a path leads to if that is no file: a folder, a named pipe, …; None for a file.

    Raises:
        OSError: it isn't there.
    """
    return _KINDS.get(stat.S_IFMT(path.stat().st_mode))


def open_regular(path: Path) -> int:
    """Open a file to be read and return its handle, whose owner closes it.

    Raises:
        NotAFileError: it is a folder, a named pipe, a socket or a device.
        OSError: it can't be opened.
    """
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # opening a pipe waits for its writer otherwise
    except BlockingIOError:  # of a file that a file server has lent to somebody
        if (kind := kind_of(path)) is not None:
            raise NotAFileError(errno.EINVAL, f"it is {kind} and no file", str(path)) from None
        handle = os.open(path, flags)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.EOPNOTSUPP, errno.EISDIR):
            raise _not_a_file(path, path.stat().st_mode) from None
        raise
    if not stat.S_ISREG(mode := os.fstat(handle).st_mode):
        os.close(handle)
        raise _not_a_file(path, mode)
    return handle


def _not_a_file(path: Path, mode: int) -> NotAFileError:
    kind = _KINDS.get(stat.S_IFMT(mode), "something else")
    return NotAFileError(errno.EINVAL, f"it is {kind} and no file", str(path))


def read_regular(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        NotAFileError: it is a folder, a named pipe, a socket or a device.
        OSError: it can't be read.
    """
    with os.fdopen(open_regular(path), "rb", buffering=0) as stream:
        return stream.read()


def find_fault(path: Path) -> str | None:
    """Return why a file can't be read, such as that it may not be, or is a named pipe; None where it can."""
    try:
        os.close(open_regular(path))
    except OSError as error:
        return say_why(error)
    return None


def is_folder(path: Path) -> bool:
    """Whether a path leads to a folder.

    Raises:
        ConfigurationError: a folder above it may not be entered.
    """
    try:
        return path.is_dir()
    except OSError as error:
        raise _refused(path, error) from error


def _refused(folder: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"{folder}: {say_why(error)}; see that you may read the folder and enter those above it")


def names_of_files(folder: Path, ending: str) -> list[str]:
    """Return the names in a folder that have an ending, sorted; none where there is no such folder.

    Raises:
        ConfigurationError: it can't be read.
    """
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith(ending))  # noqa: PTH208  (names)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _refused(folder, error) from error


def say_why(error: Exception) -> str:
    """Return why a file can't be read or used, without its name."""
    if isinstance(error, NotAFileError):
        return str(error.strerror)
    if isinstance(error, OSError) and error.strerror is not None:
        return f"it can't be read ({error.strerror})"
    return str(error)
