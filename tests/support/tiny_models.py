"""Tiny random models of every family that the judge knows, with a byte-level tokenizer made on the spot.

The weights are wider than a fresh model's, and no bias or norm stays at its start, so that a layer, a bias or a
position that goes missing changes the scores. Nothing is downloaded.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedModel, PreTrainedTokenizerFast

from tests.support.tiny_families import (
    LATER_ENCODER_DECODER,
    PAPER_DECODER_ONLY,
    PAPER_ENCODER_DECODER,
    UNBALANCED,
    UNKNOWN_ENCODER_DECODER,
    make_config,
)

DECODER_ONLY, ENCODER_DECODER = PAPER_DECODER_ONLY, PAPER_ENCODER_DECODER
FAMILIES = (*DECODER_ONLY, *ENCODER_DECODER)
TWO_STACKS = (*ENCODER_DECODER, *LATER_ENCODER_DECODER, *UNKNOWN_ENCODER_DECODER, UNBALANCED)

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
SENTENCES = (
    "Canoeing: A man is in a raft on rough waters. The man begins paddling. The water gets very choppy.",
    "How to bake bread. Mix the flour with the water. Let the dough rest and then bake it in the oven.",
    "Question: what did the man play in the water?\nAnswer: the piano",
    "Question: where is the house of the author?\nAnswer: in the city of the king",
)


@functools.cache
def train_tokenizer(*, adds_end: bool) -> str:
    """Train a byte-level BPE with a few merges, and return it as JSON; the T5 form adds `</s>`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=360,
        special_tokens=[PAD, END, UNKNOWN],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    if adds_end:
        tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, 1)])
    return str(tokenizer.to_str())


def make_tokenizer(family: str, max_length: int) -> PreTrainedTokenizerFast:
    """Make the tokenizer of a family.

    Its own maximum counts for BLOOM alone (experiment §4.1); for the others it is a number that must not count.
    """
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(train_tokenizer(adds_end=family in TWO_STACKS)),
        model_max_length=max_length if family == "bloom" else 2 * max_length,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        padding_side="right",
    )


@torch.no_grad()
def randomise(model: PreTrainedModel, seed: int) -> None:
    """Draw every weight anew: matrices around 0, norms around 1, biases around 0."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim > 1:
            parameter.copy_(0.3 * noise)
        else:
            parameter.copy_(0.2 * noise + (0.0 if name.endswith("bias") else 1.0))


def tiny_model(
    family: str, *, seed: int = 0, max_length: int = 128, **overrides: Any
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Build a tiny random model in fp32 and evaluation mode, and its tokenizer.

    Args:
        family: one of `tiny_families`.
        max_length: the number of positions that the model takes; some families have no such limit.
        overrides: fields of the family's config.
    """
    tokenizer = make_tokenizer(family, max_length)
    config = make_config(family, max_length, len(tokenizer), **overrides)
    auto = AutoModelForSeq2SeqLM if family in TWO_STACKS else AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]):
        model: PreTrainedModel = auto.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    if family == "t5":
        head = model.get_output_embeddings()
        head.weight = nn.Parameter(torch.empty_like(head.weight))
    randomise(model, seed)
    return model.eval(), tokenizer


def save_tiny(family: str, folder: Path, *, seed: int = 0, max_length: int = 128, **overrides: Any) -> Path:
    """Write a tiny model and its tokenizer as a checkpoint that the Auto classes load; return its folder."""
    model, tokenizer = tiny_model(family, seed=seed, max_length=max_length, **overrides)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
