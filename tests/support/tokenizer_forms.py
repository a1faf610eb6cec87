"""Tokenizers of every form that the most used models have, trained on the spot, and models of their vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from lm_eval.inference.loading import wrap_model
from lm_eval.models.language_model import LanguageModel
from tests.support.tiny_families import make_config
from tests.support.tiny_models import SENTENCES, randomise

BEGIN, END, UNKNOWN, SECOND = "<s>", "</s>", "<unk>", "<sop>"
SPECIAL = [UNKNOWN, BEGIN, END, SECOND]
AROUND = {
    "none": "$A",
    "BOS": f"{BEGIN} $A",
    "EOS": f"$A {END}",
    "BOS and EOS": f"{BEGIN} $A {END}",
    "two in front": f"{BEGIN} {SECOND} $A",
}
"""What a post-processor puts around a text."""
BODIES = ("byte level", "prepend", "metaspace first", "metaspace always", "sentencepiece without prefix", "wordpiece")
HAVE_PREFIX = ("prepend", "metaspace first", "metaspace always")


def _body(body: str) -> tuple[Tokenizer, trainers.Trainer]:
    options: dict[str, Any] = {"special_tokens": SPECIAL, "show_progress": False, "vocab_size": 420}
    if body == "byte level":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer, trainers.BpeTrainer(initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), **options)
    if body == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        return tokenizer, trainers.WordPieceTrainer(**options)
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN, byte_fallback=True, fuse_unk=True))
    in_bytes = [f"<0x{number:02X}>" for number in range(256)]
    options |= {"special_tokens": [*SPECIAL, *in_bytes], "vocab_size": 520}
    if body == "prepend":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    elif body.startswith("metaspace"):
        scheme = body.partition(" ")[2]
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme, split=False)
    else:
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
    return tokenizer, trainers.BpeTrainer(**options)


def _texts_to_learn(body: str) -> Sequence[str]:
    """Return what a tokenizer learns from: single words where nothing else keeps its tokens inside words."""
    if body in ("byte level", "wordpiece"):
        return SENTENCES
    blank = "" if body in HAVE_PREFIX else " "
    return [blank + word for sentence in SENTENCES for word in sentence.split()]


def make_tokenizer(body: str, around: str) -> PreTrainedTokenizerFast:
    """Train a tokenizer of a body, one of `BODIES`, with what `AROUND` puts around a text."""
    tokenizer, trainer = _body(body)
    tokenizer.train_from_iterator(_texts_to_learn(body), trainer)
    numbers = [(token, tokenizer.token_to_id(token)) for token in SPECIAL]
    if AROUND[around] != "$A":
        tokenizer.post_processor = processors.TemplateProcessing(single=AROUND[around], special_tokens=numbers)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BEGIN, eos_token=END, unk_token=UNKNOWN, pad_token=UNKNOWN
    )


def save_with_tokenizer(folder: Path, family: str, body: str, around: str) -> Path:
    """Write such a model and its tokenizer as a checkpoint; return its folder."""
    model = load_with_tokenizer(family, body, around)
    model.network.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


def load_with_tokenizer(family: str, body: str, around: str, max_length: int = 2048) -> LanguageModel:
    """Make a tiny random model of a family with the vocabulary of such a tokenizer."""
    tokenizer = make_tokenizer(body, around)
    tokenizer.model_max_length = max_length  # counts for BLOOM alone
    with torch.random.fork_rng(devices=[]):
        config = make_config(family, max_length, len(tokenizer))
        network = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    randomise(network, 0)
    return wrap_model(network.eval(), tokenizer, name=family)
