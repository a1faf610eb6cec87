"""The fingerprint of a folder's files."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from lm_eval.common.digests import digest_of
from lm_eval.common.file_state import FileState


def hash_files(files: Iterable[FileState], folder: Path) -> str:
    """Return the SHA-256 of files' contents, sizes, and names below a folder.

    Raises:
        OSError: a file is gone.
    """
    total = hashlib.sha256()
    for state in files:
        path, _, size, *_ = state
        total.update(f"{path.relative_to(folder)}:{size}:{digest_of(state)}\n".encode())
    return total.hexdigest()
