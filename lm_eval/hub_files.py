"""Which files of a model's repository loading needs, and what of them the hub's cache lacks."""

import json
import re
from collections.abc import Collection
from pathlib import Path

_VOCABULARIES = ("tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.json")
"""Each of them holds a whole vocabulary."""
_SMALL = (
    *("config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *(*_VOCABULARIES, "merges.txt", "chat_template.jinja"),
)
_WEIGHTS = (("model", "safetensors"), ("pytorch_model", "bin"))
"""Stem and ending of the files of weights, the form that the loader prefers first."""


def needed_files(names: Collection[str]) -> list[str]:
    """Choose, of a repository's files, those that loading the model needs: one form of weights, config, tokenizer."""
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
    """Return what a folder lacks of a whole model, such as a snapshot in the hub's cache; empty where nothing.

    Args:
        folder: the snapshot of one commit, which links only to files that were fetched whole.
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
    """Return the folder of a model's commit in the hub's cache, or None where it knows none."""
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415  (only hub names need it)

    found = try_to_load_from_cache(name, "config.json", revision=revision)
    return Path(found).parent if isinstance(found, str) else None
