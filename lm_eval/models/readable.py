"""Whether what a model is made of can be read: files, none of them a named pipe or the like, and with the right to."""

from pathlib import Path

from lm_eval.common.regular_files import find_fault, say_why
from lm_eval.errors import ConfigurationError

MODEL_FILES = (".json", ".safetensors", ".bin", ".txt", ".model", ".spm", ".tiktoken")
"""Endings of the files that make up a model and its tokenizer."""
TRAINING_FILES = ("training_args.bin", "trainer_state.json", "optimizer.bin", "scheduler.bin")
"""Files with such endings that are no part of a model."""


def refuse_unreadable(stated: str, folder: Path) -> None:
    """See that all that has the name of a model's file is a file that may be read.

    Args:
        stated: how the folder was given, for the message.
        folder: a model's, a tokenizer's or an adapter's.

    Raises:
        ConfigurationError: the folder, or a file in it, can't be read.
    """
    try:
        files = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise ConfigurationError(
            f"{stated}: {say_why(error)}; see that you may read it, what is in it, and enter the folders above it"
        ) from error
    for path in files:
        if path.suffix not in (*MODEL_FILES, ".gguf") or path.name in TRAINING_FILES or path.is_dir():
            continue
        if (fault := find_fault(path)) is not None:
            raise ConfigurationError(f"{stated}: {path.name}: {fault}; it must be a file that you may read")
