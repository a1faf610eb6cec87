"""The files of a model's tokenizer, in its folder or in the hub's cache, and what they say of the borders of texts.

Knows nothing of torch and transformers, and asks no network: a hub model's files come into the cache with its config.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lm_eval.config.checkpoint import PLAIN, Checkpoint
from lm_eval.config.run_config import RunConfig
from lm_eval.models.families import Family, find_family
from lm_eval.models.gguf.configs import config_of
from lm_eval.models.gguf.header import read_header
from lm_eval.models.gguf.vocabulary import borders_of
from lm_eval.models.info import gguf_of, is_local
from lm_eval.models.text_borders import TextBorders, identify_borders, read_borders

_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "merges.txt"),
    *("tokenizer.model", "spiece.model", "sentencepiece.bpe.model"),
)
_BY_CODE = "as the tokenizer's code has them"
"""Stated where only loading tells whether experiment §9 changes tokens, or results of before it would count as done."""


def identify_text_borders(
    config: RunConfig, borders: TextBorders | None, family: Family | None, *, from_file: bool
) -> Mapping[str, Any]:
    """Return what the identity of a configuration states of the borders of texts (experiment §9).

    Args:
        config: the configuration.
        borders: of its model's tokenizer; None where no file on this machine tells.
        family: its model's; None where it isn't on this machine.
        from_file: whether its task is defined by a file.
    """
    if borders is None or family is None:  # what ADD_BOS means here is open, but not that its values differ
        stated = {} if config.vectors.add_bos is None else {"ADD_BOS": str(config.vectors.add_bos)}
        may_have_front = family is not None and family.architecture == "decoder-only" and family.has_front_tokens
        return {**stated, **({"text_borders": _BY_CODE} if may_have_front else {})}
    return identify_borders(config, family, borders, from_file=from_file)


def family_at_hand(pretrained: str, revision: str | None, checkpoint: Checkpoint) -> Family | None:
    """Return the family of a model whose files are on this machine.

    Only what is here is read: a hub model's files come into its cache when its facts are read.

    Args:
        pretrained: hub name or local folder.
        revision: branch, tag or commit on the hub.
        checkpoint: what else is loaded.
    """
    if (gguf := gguf_of(pretrained, revision, checkpoint)) is not None:
        return find_family(config_of(read_header(gguf)), pretrained)
    path = at_hand(pretrained, revision, checkpoint.subfolder, "config.json")
    return None if path is None else find_family(json.loads(path.read_text(encoding="utf-8")), pretrained)


def read_text_borders(pretrained: str, revision: str | None, checkpoint: Checkpoint) -> TextBorders | None:
    """Return what a model's tokenizer does at the borders of a text; None where no file here tells.

    Args:
        pretrained: hub name or local folder.
        revision: branch, tag or commit on the hub.
        checkpoint: what else is loaded.
    """
    if checkpoint.tokenizer is None and (gguf := gguf_of(pretrained, revision, checkpoint)) is not None:
        return borders_of(read_header(gguf))
    folder = tokenizer_folder(pretrained, revision, checkpoint)
    return None if folder is None else read_borders(folder)


def tokenizer_folder(pretrained: str, revision: str | None, checkpoint: Checkpoint) -> Path | None:
    """Return the folder that holds a model's tokenizer, its own or the hub's cache; None where no file is at hand.

    Args:
        pretrained: hub name or local folder.
        revision: branch, tag or commit on the hub.
        checkpoint: what else is loaded.
    """
    if checkpoint.tokenizer is not None:
        pretrained, revision, checkpoint = checkpoint.tokenizer, None, PLAIN
    files = (at_hand(pretrained, revision, checkpoint.subfolder, name) for name in _FILES)
    return next((path.parent for path in files if path is not None), None)


def at_hand(pretrained: str, revision: str | None, subfolder: str | None, name: str) -> Path | None:
    """Return a model's file in its folder or in the hub's cache; None where it isn't there."""
    if is_local(pretrained):
        path = Path(pretrained).expanduser() / (subfolder or "") / name
        return path if path.is_file() else None
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415  (only hub names need it)

    cached = try_to_load_from_cache(pretrained, f"{subfolder}/{name}" if subfolder else name, revision=revision)
    return Path(cached) if isinstance(cached, str) else None
