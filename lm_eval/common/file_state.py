"""Whether files are what they were: by their inodes, sizes and both times, which no exchange leaves all alike."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

FileState = tuple[Path, int, int, int, int]
"""Path, inode, size, and when content and anything last changed (in ns); the latter time can't be set back."""


def states_of(paths: Iterable[Path]) -> tuple[FileState, ...]:
    """Return the states of files.

    Raises:
        OSError: one of them is gone.
    """
    states = ((path, path.stat()) for path in paths)
    return tuple((path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for path, stat in states)


SETTLED_S = 2.0
"""Since a file's last change, before anything is remembered of it: longer than the steps of any file system's time."""


def age_s(state: FileState) -> float:
    """Return the seconds since a file's last change; 0 where it lies ahead, as other machines' clocks may."""
    return max(0.0, time.time() - max(state[3:]) / 1e9)


_TICK_S = 0.02
"""Longer than the steps in which file systems count time: two changes in one step would leave one state."""
_MOST_TICKS = 250
"""After which files that change all the time are taken as they are."""


def settled_states_of(paths: Sequence[Path]) -> tuple[FileState, ...]:
    """Return the states of files once their last change is so long ago that a further one would show, or after seconds.

    Raises:
        OSError: one of them is gone.
    """
    states = states_of(paths)
    for _ in range(_MOST_TICKS):
        if all(abs(time.time_ns() - changed) >= _TICK_S * 1e9 for *_, changed in states):
            break
        time.sleep(_TICK_S)
        states = states_of(paths)
    return states
