"""Checkpoints whose tokenizer is a sentencepiece file alone, as older ones of the most used families have it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from tests.support.tiny_families import make_config
from tests.support.tiny_models import SENTENCES, randomise

_COMMON: dict[str, Any] = {"vocab_size": 400, "hard_vocab_limit": False, "minloglevel": 2}
_BYTES = {
    "model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
}  # fmt: skip
_GEMMA = {
    "add_dummy_prefix": False, "pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3, "pad_piece": "<pad>",
    "eos_piece": "<eos>", "bos_piece": "<bos>", "user_defined_symbols": ["<mask>"],
}  # fmt: skip
_T5 = {"model_type": "unigram", "vocab_size": 150, "pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
_LLAMA_CLASS = {"tokenizer_class": "LlamaTokenizer"}
FORMS: dict[str, tuple[str, dict[str, Any], dict[str, Any] | None]] = {
    "llama": ("llama", _BYTES, {**_LLAMA_CLASS, "add_bos_token": True}),
    "llama without BOS": ("llama", _BYTES, {**_LLAMA_CLASS, "add_bos_token": False}),
    "llama without prefix": ("llama", _BYTES, {**_LLAMA_CLASS, "add_bos_token": True, "add_prefix_space": False}),
    "llama of nothing else": ("llama", _BYTES, None),
    "mistral": ("mistral", _BYTES, {**_LLAMA_CLASS, "add_bos_token": True, "add_eos_token": False}),
    "mistral of nothing else": ("mistral", _BYTES, None),
    "phi3 with EOS": ("phi3", _BYTES, {**_LLAMA_CLASS, "add_bos_token": True, "add_eos_token": True}),
    "gemma2": ("gemma2", _BYTES | _GEMMA, {"tokenizer_class": "GemmaTokenizer", "add_bos_token": True}),
    "t5": ("t5", _T5, {"tokenizer_class": "T5Tokenizer", "extra_ids": 0}),
}
"""Family, what the file is trained with, and the tokenizer's settings beside it."""


def save_with_pieces(folder: Path, form: str) -> Path:
    """Write a tiny model whose tokenizer is a sentencepiece file; return that file."""
    family, options, settings = FORMS[form]
    folder.mkdir(parents=True)
    text = folder / "sentences.text"
    text.write_text("\n".join(SENTENCES), encoding="utf-8")
    name = "spiece" if family == "t5" else "tokenizer"
    trained = {**_COMMON, **options, "input": str(text), "model_prefix": str(folder / name)}
    sentencepiece.SentencePieceTrainer.train(**trained)
    text.unlink()
    (folder / f"{name}.vocab").unlink()
    if settings is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    auto = AutoModelForSeq2SeqLM if family == "t5" else AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]):
        network = auto.from_config(make_config(family, 2048, 420), dtype=torch.float32)  # type: ignore[no-untyped-call]
    randomise(network, 0)
    network.save_pretrained(folder)
    return folder / f"{name}.model"
