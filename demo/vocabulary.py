"""Tokenizers of the demo's models: byte-level byte-pair encodings of the demo's own text."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

VOCABULARY_SIZE = 1024
GPT_END = "<|endoftext|>"
T5_SPECIALS = ("<pad>", "</s>", "<unk>")
"""Special tokens of the encoder-decoder; their ids are 0, 1, 2, as T5 has them."""


def train_bpe(texts: Sequence[str], specials: Sequence[str]) -> Tokenizer:
    """Train a byte-level encoding in which every text can be written; special tokens get the first ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=list(specials),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def make_gpt_tokenizer(texts: Sequence[str], max_tokens: int) -> PreTrainedTokenizerFast:
    """Train the decoder-only model's tokenizer; it adds no special tokens."""
    return PreTrainedTokenizerFast(
        tokenizer_object=train_bpe(texts, [GPT_END]),
        bos_token=GPT_END,
        eos_token=GPT_END,
        pad_token=GPT_END,
        model_max_length=max_tokens,
        clean_up_tokenization_spaces=False,
    )


def make_t5_tokenizer(texts: Sequence[str], max_tokens: int) -> PreTrainedTokenizerFast:
    """Train the encoder-decoder's tokenizer; it adds `</s>` behind a text."""
    tokenizer = train_bpe(texts, T5_SPECIALS)
    pad, end, unknown = T5_SPECIALS
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {end}",
        pair=f"$A {end} $B {end}",
        special_tokens=[(end, T5_SPECIALS.index(end))],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        eos_token=end,
        unk_token=unknown,
        model_max_length=max_tokens,
        clean_up_tokenization_spaces=False,
    )
