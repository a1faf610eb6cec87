"""What a loaded model was made of, and the fingerprint of a folder's files."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval.common.digests import digest_of
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
