"""Fingerprints of the files of models, each read once while it stays as it is."""

import functools
import hashlib
from pathlib import Path

from lm_eval.common.file_state import FileState


@functools.lru_cache(maxsize=256)
def hash_files(files: tuple[FileState, ...], folder: Path) -> str:
    """Return the SHA-256 of files' contents, sizes, and names below a folder."""
    total = hashlib.sha256()
    for path, _, size, *_ in files:
        total.update(f"{path.relative_to(folder)}:{size}:{_digest(path)}\n".encode())
    return total.hexdigest()


@functools.lru_cache(maxsize=256)
def hash_file(file: FileState) -> str:
    """Return the SHA-256 of one file's content, whatever its name is."""
    return _digest(file[0])


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
