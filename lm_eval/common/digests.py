"""The SHA-256 of files, each computed once a machine as long as the file stays as it is.

What is kept in the user's cache folder is exact: a file's inode, size and both times stand beside its digest, and the
time of its last change can't be set back. Nothing is kept of a file that changed less than a minute ago, as long as a
change can take to show (pages of a file mapped into memory, clocks of a file server), nor from file systems that make
inodes or times up. Nothing is asked of what is kept there but time: whatever is damaged or missing is computed anew.
"""

import hashlib
import json
import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from lm_eval.common.atomic import written_whole
from lm_eval.common.file_state import SETTLED_S, FileState, age_s, states_of
from lm_eval.common.regular_files import open_regular

_QUIET_S = 60.0
"""Since a file's last change, before its digest is kept in the cache folder."""
_WORTH_KEEPING = 1 << 20
"""Bytes of a file whose digest takes longer than to look it up."""
_MOST_KEPT = 4096
"""Digests in the cache folder; the oldest go first."""
_HONEST = ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "overlay", "nfs", "nfs4", "lustre")
"""File systems that count inodes and the times of changes themselves."""

_known: dict[FileState, str] = {}


def digest_of(state: FileState) -> str:
    """Return the SHA-256 of a file.

    Args:
        state: the file's. If it has changed since, the digest is that of what is read now, and isn't kept.

    Raises:
        OSError: it is gone.
    """
    path, *numbers = state
    state = (path.absolute(), *numbers)  # type: ignore[assignment]
    if (known := _known.get(state)) is not None:
        return known
    is_large = state[2] >= _WORTH_KEEPING
    digest = _read_kept().get(state) if is_large else None
    if digest is None:
        digest = _compute(state[0])
        if states_of([state[0]]) != (state,) or age_s(state) < SETTLED_S:
            return digest
        if is_large and age_s(state) >= _QUIET_S and _is_honest(state[0]):
            _keep(state, digest)
    _known[state] = digest
    return digest


def _compute(path: Path) -> str:
    digest = hashlib.sha256()
    with os.fdopen(open_regular(path), "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def cache_file() -> Path:
    """Return the file of this machine's digests; home folders may be shared between machines."""
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "lm_eval" / f"digests-{platform.node()}.json"


def _read_kept() -> dict[FileState, str]:
    """Return the digests in the cache folder, oldest first; none where the file isn't whole."""
    with suppress(OSError, ValueError, KeyError, TypeError, RuntimeError):  # the last: there is no home
        content = json.loads(cache_file().read_text(encoding="utf-8"))
        if content["sha256"] == _sign(content["digests"]):
            kept = ((path, *numbers, digest) for path, *numbers, digest in content["digests"])
            return {(Path(path), inode, size, mtime, ctime): digest for path, inode, size, mtime, ctime, digest in kept}
    return {}


def _sign(rows: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _keep(state: FileState, digest: str) -> None:
    """Add a digest to those in the cache folder; of two processes that do so at once, one may lose its own."""
    kept = {one: other for one, other in _read_kept().items() if one[0] != state[0]}
    kept[state] = digest
    rows = [[str(path), *numbers, known] for (path, *numbers), known in kept.items()][-_MOST_KEPT:]
    with suppress(OSError, RuntimeError):
        path = cache_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as temporary:
            temporary.write_text(json.dumps({"digests": rows, "sha256": _sign(rows)}), encoding="utf-8")


def _is_honest(path: Path) -> bool:
    """Whether a file lies where inodes and times are to be relied on."""
    where = path.resolve()
    with suppress(OSError, RuntimeError, ValueError):
        mounts = [one for one in psutil.disk_partitions(all=True) if where.is_relative_to(one.mountpoint)]
        nearest = max(reversed(mounts), key=lambda one: len(one.mountpoint))  # of several in one place the last
        return nearest.fstype in _HONEST
    return False
