"""What a tokenizer needs before it can be loaded: a vocabulary, and the packages that read its form.

Knows nothing of torch and transformers, so that a grid can be checked before anything heavy is imported.
"""

import importlib.util
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

VOCABULARIES = ("tokenizer.json", "*.model", "vocab*", "*.spm", "*.tiktoken", "tekken.json")
"""Files that hold a vocabulary, or a part of it."""
_OF_BYTES = ("ByT5Tokenizer", "CanineTokenizer", "PerceiverTokenizer")
"""Classes whose tokens are bytes or characters, so that they need no file of a vocabulary."""
_READERS = {"sentencepiece": ("sentencepiece", "protobuf"), "tiktoken": ("tiktoken",)}
"""The packages that read a form of vocabulary."""
_MODULES = {"protobuf": "google.protobuf"}


def what_tokenizer_lacks(folder: Path) -> str | None:
    """Return what is lacking to load the tokenizer in a folder, with the remedy; None where nothing is known to."""
    if next(_files(folder, VOCABULARIES), None) is None and not _needs_no_vocabulary(folder):
        return f"the folder has no tokenizer ({', '.join(VOCABULARIES)}); save the tokenizer there with save_pretrained"
    return what_environment_lacks(folder)


def what_environment_lacks(folder: Path) -> str | None:
    """Return which packages are lacking to read the vocabulary in a folder, with the remedy; None where none are."""
    if (folder / "tokenizer.json").is_file():
        return None
    for path in _files(folder, ("*.model", "*.spm", "*.tiktoken")):
        packages = _READERS["sentencepiece" if is_sentencepiece(path) else "tiktoken"]
        missing = [package for package in packages if not _is_installed(_MODULES.get(package, package))]
        if missing:
            return (
                f"its tokenizer is in {path.name} and in no tokenizer.json, and reading that takes the "
                f"package{'s' * (len(missing) > 1)} {' and '.join(missing)}; run pip install {' '.join(missing)}"
            )
    return None


def sentencepiece_file(folder: Path) -> Path | None:
    """Return the sentencepiece file that holds a folder's tokenizer; None where it has another form."""
    if (folder / "tokenizer.json").is_file():
        return None
    return next((path for path in _files(folder, ("*.model",)) if is_sentencepiece(path)), None)


def is_sentencepiece(path: Path) -> bool:
    """Whether a file is in the form of sentencepiece (a message of protobuf), and not in that of tiktoken."""
    with path.open("rb") as stream:
        return stream.read(1) == b"\n"


def _files(folder: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    return (path for pattern in patterns for path in sorted(folder.glob(pattern)) if path.is_file())


def _needs_no_vocabulary(folder: Path) -> bool:
    """Whether a tokenizer has none by its class, or comes with code that may find it anywhere."""
    try:
        stated: Mapping[str, Any] = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        return "auto_map" in stated or stated.get("tokenizer_class") in _OF_BYTES
    except (OSError, ValueError, TypeError, AttributeError):
        return False


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it is in
        return False


_OF_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "merges.txt")
_ALONE = ("tokenizer.model", "spiece.model")
"""Files of which one holds the whole tokenizer where there is no `tokenizer.json`."""


def fetch_tokenizer(pretrained: str, revision: str | None, subfolder: str | None) -> None:
    """Bring the small files of a hub model that say what its tokenizer does into the cache, as far as there are any."""
    from huggingface_hub import hf_hub_download  # noqa: PLC0415

    fetched = set()
    for name in (*_OF_TOKENIZER, *_ALONE):
        if name in _ALONE and _OF_TOKENIZER[0] in fetched:
            return
        with suppress(Exception):  # where the hub is gone meanwhile, loading says so
            hf_hub_download(pretrained, f"{subfolder}/{name}" if subfolder else name, revision=revision)
            fetched.add(name)
