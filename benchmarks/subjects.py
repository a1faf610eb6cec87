"""What is measured: randomly initialised models of known shapes, with real text where it is at hand.

`narrow` makes them of as many layers but width 32, with the demo's vocabulary and data, to rehearse a measurement.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import (
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from lm_eval.inference.loading import load_model, wrap_model
from lm_eval.models.language_model import LanguageModel
from lm_eval.models.model_list import DEMO

REFERENCE = DEMO.parents[1] / "shared" / "reference"


@dataclass(frozen=True)
class Subject:
    """A model to measure with, and the data that it reads."""

    model: LanguageModel
    data_dir: Path
    path: Path | None = None
    """Where the model's files are; None where it is made here."""


class MakeSubject(Protocol):
    """Makes a subject."""

    def __call__(self, *, narrow: bool = False) -> Subject:
        """Return it, with a model of full or of small width."""


_NARROW_VOCABULARY = 1024
"""Tokens of the demo's tokenizers."""


def _data_dir(*, narrow: bool) -> Path:
    return REFERENCE / "data" if REFERENCE.is_dir() and not narrow else DEMO / "data"


def _gpt2_tokenizer(*, narrow: bool) -> PreTrainedTokenizerBase:
    folder = REFERENCE / "tokenizers" / "gpt2"
    if narrow or not folder.is_dir():
        return AutoTokenizer.from_pretrained(DEMO / "models" / "demo-gpt")
    core = ByteLevelBPETokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    return PreTrainedTokenizerFast(tokenizer_object=core._tokenizer, model_max_length=2048)  # noqa: SLF001


def _t5_tokenizer(*, narrow: bool) -> PreTrainedTokenizerBase:
    folder = REFERENCE / "models" / "tiny-t5"
    is_there = folder.is_dir() and not narrow
    return AutoTokenizer.from_pretrained(folder if is_there else DEMO / "models" / "demo-t5")


def gpt2_small(*, narrow: bool = False) -> Subject:
    """GPT-2 small's shape, with room for five shots (2,048 positions)."""
    torch.manual_seed(0)
    shape: dict[str, Any] = {"n_embd": 32, "n_head": 4, "vocab_size": _NARROW_VOCABULARY} if narrow else {}
    network = GPT2LMHeadModel(GPT2Config(n_positions=2048, **shape)).eval()
    model = wrap_model(network, _gpt2_tokenizer(narrow=narrow), name="gpt2-small")
    return Subject(model, _data_dir(narrow=narrow))


def model_of(path: Path, *, narrow: bool = False) -> Subject:
    """A model of files: a folder, or a GGUF file."""
    return Subject(load_model(str(path), dtype="float32", device="cpu"), _data_dir(narrow=narrow), path.resolve())


def flan_t5_base(*, narrow: bool = False) -> Subject:
    """flan-t5-base's shape."""
    torch.manual_seed(0)
    shape: dict[str, Any] = {"d_model": 768, "d_kv": 64, "d_ff": 2048, "num_heads": 12}
    if narrow:
        shape = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_heads": 4, "vocab_size": _NARROW_VOCABULARY}
    others: dict[str, Any] = {"decoder_start_token_id": 0, "tie_word_embeddings": False}
    network = T5ForConditionalGeneration(T5Config(num_layers=12, feed_forward_proj="gated-gelu", **shape, **others))
    model = wrap_model(network.eval(), _t5_tokenizer(narrow=narrow), name="flan-t5-base")
    return Subject(model, _data_dir(narrow=narrow))


def gpt_neo_small(*, narrow: bool = False) -> Subject:
    """A GPT-Neo of the study's 24 layers, of width 256, so that arithmetic on vectors shows beside its passes."""
    torch.manual_seed(0)
    shape: dict[str, Any] = {"hidden_size": 256}
    if narrow:
        shape = {"hidden_size": 32, "vocab_size": _NARROW_VOCABULARY}
    config = GPTNeoConfig(
        num_heads=8, num_layers=24, attention_types=[[["global", "local"], 12]], max_position_embeddings=2048, **shape
    )
    model = wrap_model(GPTNeoForCausalLM(config).eval(), _gpt2_tokenizer(narrow=narrow), name="gpt-neo")
    return Subject(model, _data_dir(narrow=narrow))
