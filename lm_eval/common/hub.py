"""The model and dataset hub and its cache: whether the hub answers, working offline, the files that a model needs."""

import json
import logging
import re
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

_TIMEOUT_S = 5
_SILENT_S = 30.0
"""Time for which a hub that could not be reached is not asked again, since a grid asks for every model."""
_silent: dict[str, tuple[float, Exception]] = {}
"""For each endpoint that could not be reached, when it was tried and the error."""
_ALWAYS_THERE = {"model": "config.json", "dataset": "README.md"}
"""A file that every repository of that kind has, to ask for."""


def answers(
    repository: str, kind: Literal["model", "dataset"], revision: str | None = None, *, file: str | None = None
) -> Exception | None:
    """Ask the hub once, without retries, for a file of a repository; return None if it exists, else the error.

    Args:
        repository: its name.
        kind: what it holds.
        revision: branch, tag or commit.
        file: the file; None asks for one that every repository of the kind has.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url  # noqa: PLC0415  (only hub names need it)
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    if constants.HF_HUB_OFFLINE:
        return ConnectionError("offline mode is on, HF_HUB_OFFLINE")
    since, silence = _silent.get(constants.ENDPOINT, (-_SILENT_S, None))
    if silence is not None and time.monotonic() - since < _SILENT_S:
        return silence
    url = hf_hub_url(repository, file or _ALWAYS_THERE[kind], repo_type=kind, revision=revision)
    try:
        get_hf_file_metadata(url, timeout=_TIMEOUT_S)
    except Exception as error:  # of the network, of the hub, of its client
        if not isinstance(error, HfHubHTTPError):
            _silent[constants.ENDPOINT] = time.monotonic(), error
        return error
    return None


def is_silent() -> bool:
    """Whether the hub could not be reached when it was last asked, or must not be asked."""
    from huggingface_hub import constants  # noqa: PLC0415

    since, _ = _silent.get(constants.ENDPOINT, (-_SILENT_S, None))
    return constants.HF_HUB_OFFLINE or time.monotonic() - since < _SILENT_S


@contextmanager
def offline() -> Iterator[None]:
    """Use only the hub's cache inside the `with` block, without warnings."""
    import datasets.config  # noqa: PLC0415
    import huggingface_hub.constants  # noqa: PLC0415

    modules: tuple[Any, ...] = (datasets.config, huggingface_hub.constants)
    before = [module.HF_HUB_OFFLINE for module in modules]
    level = logging.getLogger("datasets").level
    logging.getLogger("datasets").setLevel(logging.ERROR)
    for module in modules:
        module.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        logging.getLogger("datasets").setLevel(level)
        for module, value in zip(modules, before, strict=True):
            module.HF_HUB_OFFLINE = value


@contextmanager
def hub_or_cache(repository: str, kind: Literal["model", "dataset"]) -> Iterator[None]:
    """Inside the `with` block use the hub if it answers, otherwise only its cache."""
    with nullcontext() if answers(repository, kind) is None else offline():
        yield


_VOCABULARIES = ("tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.json")
"""Files that each hold a whole vocabulary."""
_SMALL = (
    *("config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *(*_VOCABULARIES, "merges.txt", "chat_template.jinja"),
)
_WEIGHTS = (("model", "safetensors"), ("pytorch_model", "bin"))
"""Stem and ending of weight files, in the order in which the loader prefers them."""


def needed_files(names: Collection[str]) -> list[str]:
    """Choose from a repository's files those that loading the model needs: weights in one format, config, tokenizer."""
    return [name for name in names if name in _SMALL] + _needed_weights(names)


def _needed_weights(names: Collection[str]) -> list[str]:
    for stem, ending in _WEIGHTS:
        whole, index = f"{stem}.{ending}", f"{stem}.{ending}.index.json"
        if whole in names:
            return [whole]
        if index in names:
            shard = re.compile(rf"{stem}[-_]\d+-of-\d+\.{ending}")
            return [index, *sorted(name for name in names if shard.fullmatch(name))]
    return []


def lacking(folder: Path) -> list[str]:
    """Return the files of a model that a folder lacks, such as a snapshot in the hub's cache.

    Args:
        folder: the snapshot of one commit, which contains only files that were fetched completely.
    """
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    missing = [] if "config.json" in names else ["config.json"]
    if not names & set(_VOCABULARIES):
        missing.append("the tokenizer")
    return missing + _lacking_weights(folder, names)


def _lacking_weights(folder: Path, names: Collection[str]) -> list[str]:
    for stem, ending in _WEIGHTS:
        if f"{stem}.{ending}" in names:
            return []
        index = f"{stem}.{ending}.index.json"
        if index in names:
            try:
                shards = set(json.loads((folder / index).read_text(encoding="utf-8"))["weight_map"].values())
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                return [index]
            return sorted(shards - set(names))
    return ["the weights"]


def cached_snapshot(name: str, revision: str | None) -> Path | None:
    """Return the folder of a model's commit in the hub's cache, or None where it isn't cached."""
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415  (only hub names need it)

    config = try_to_load_from_cache(name, "config.json", revision=revision)
    return Path(config).parent if isinstance(config, str) else None
