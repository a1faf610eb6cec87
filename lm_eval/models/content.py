"""What a loaded model was made of; fingerprints of the files of models, each read once while it stays as it is."""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval.common.file_state import FileState
from lm_eval.models.families import Family
from lm_eval.models.text_borders import TextBorders


@dataclass(frozen=True, kw_only=True)
class LoadedContent:
    """What identifies the bytes that a model was loaded from, whatever has become of its files since."""

    weights: Mapping[str, Any]
    """As `models.info.model_identity` has it."""
    borders: TextBorders | None
    """What its tokenizer does at the borders of texts; None where its files don't say."""
    family: Family | None = None
    """Its row, where no file says which."""


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
