"""Loading a model and its tokenizer, on one device or several, in a dtype that suits the hardware."""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.activations import ACT2FN
from transformers.utils import logging as transformers_logging

from lm_eval.errors import ConfigurationError, RunError
from lm_eval.hardware import Gpu, suitable_dtype
from lm_eval.models.activations import fuse
from lm_eval.models.families import MAX_LENGTH_UNLIMITED, Family, find_family, is_local, no_end_token

logger = logging.getLogger(__name__)

_NO_LIMIT = 1_000_000
"""Tokenizers that know no limit state one far beyond this."""


@dataclass(frozen=True, kw_only=True)
class LanguageModel:
    """A loaded model, its tokenizer, and its family's row of the table."""

    name: str
    family: Family
    network: Any
    """The transformers model, in evaluation mode."""
    tokenizer: Any
    max_length: int
    """Longest sequence the model takes, in tokens."""
    load_seconds: float = 0.0
    """What loading it took."""

    @cached_property
    def is_encoder_decoder(self) -> bool:
        """Whether segments go through an encoder and choices through a decoder."""
        return self.family.architecture == "encoder-decoder"

    @cached_property
    def encoder(self) -> Any:  # noqa: ANN401
        """The stack that turns a segment into hidden states."""
        return self.network.get_encoder() if self.is_encoder_decoder else self.network.base_model

    @cached_property
    def blocks(self) -> nn.ModuleList:
        """The encoder's blocks, in order."""
        blocks: nn.ModuleList = attrgetter(self.family.blocks)(self.encoder)
        return blocks

    @property
    def num_layers(self) -> int:
        """Number of blocks that a segment runs through."""
        return len(self.blocks)

    @property
    def hidden_size(self) -> int:
        """Components of a token's vector."""
        return int(self.network.config.hidden_size)

    @property
    def num_heads(self) -> int:
        """Attention heads of a block."""
        return int(self.network.config.num_attention_heads)

    @cached_property
    def token_embeddings(self) -> nn.Module:
        """The input embeddings."""
        embeddings: nn.Module = self.network.get_input_embeddings()
        return embeddings

    @cached_property
    def output_head(self) -> nn.Module:
        """The projection to the vocabulary."""
        head: nn.Module = self.network.get_output_embeddings()
        return head

    @property
    def output_matrix(self) -> Float[Tensor, "vocabulary dim"]:
        """The weights of the projection to the vocabulary, a row a token."""
        weight: Tensor = self.output_head.weight  # type: ignore[assignment]
        return weight

    @cached_property
    def position_embedding(self) -> nn.Embedding:
        """The table of learned absolute positions; only families that have one."""
        if self.family.position_embedding is None:
            raise ConfigurationError(f"ADD_POS=True: {self.name} has no learned absolute positions")
        table: nn.Embedding = attrgetter(self.family.position_embedding)(self.encoder)
        return table

    @cached_property
    def activation(self) -> nn.Module:
        """The activation function of the model's own MLP."""
        name = self.family.activation
        name = name[1:] if name.startswith("=") else getattr(self.network.config, name)
        return fuse(ACT2FN[name])

    @cached_property
    def empty_context(self) -> tuple[int, ...]:
        """The tokens that stand for no context: the end-of-text token, or what an encoder gets of an empty text.

        Raises:
            RunError: the model has no such token.
        """
        if self.is_encoder_decoder:
            (tokens,) = self.tokenize([""], special=True)
            if not tokens:
                raise RunError(f"{self.name}: the tokenizer adds no special tokens, so no_context has no input")
            return tokens
        end = self.tokenizer.eos_token_id
        if end is None:
            end = getattr(self.network.config, "eos_token_id", None)
        if isinstance(end, (list, tuple)):  # several that end a text; the first is the usual one
            end = next(iter(end), None)
        size = self.network.get_input_embeddings().num_embeddings
        if end is None or not 0 <= end < size:
            found = "none" if end is None else f"{end}, beyond the {size} tokens that the model has"
            raise RunError(no_end_token(self.name, found))
        return (int(end),)

    @property
    def device(self) -> torch.device:
        """Where inputs go: the device of the input embeddings."""
        weight: Tensor = self.token_embeddings.weight  # type: ignore[assignment]
        return weight.device

    @cached_property
    def gpus(self) -> list[torch.device]:
        """The GPUs that hold parts of the model."""
        devices = {parameter.device for parameter in self.network.parameters() if parameter.is_cuda}
        return sorted(devices, key=str)

    @property
    def dtype(self) -> torch.dtype:
        """The weights' data type."""
        weight: Tensor = self.token_embeddings.weight  # type: ignore[assignment]
        return weight.dtype

    def tokenize(self, texts: Sequence[str], *, special: bool) -> list[tuple[int, ...]]:
        """Return the token ids of each text, uncut.

        Args:
            texts: any number of texts; equal ones are tokenised once.
            special: whether the tokenizer adds its special tokens.
        """
        unique = list(dict.fromkeys(texts))
        if not unique:
            return []
        encoded = self.tokenizer(unique, add_special_tokens=special, return_attention_mask=False, verbose=False)
        ids = {text: tuple(row) for text, row in zip(unique, encoded["input_ids"], strict=True)}
        return [ids[text] for text in texts]


def dtype_name(dtype: torch.dtype) -> str:
    """Return a dtype's name as configurations spell it."""
    return str(dtype).removeprefix("torch.")


def choose_device(device: str | None) -> torch.device:
    """Return the device asked for, else the first GPU, else the CPU.

    Raises:
        ConfigurationError: the name is no device of this machine.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except Exception as error:
        raise ConfigurationError(
            f"device {device!r} is not to be had on this machine ({error}); leave it out, or try cpu"
        ) from error
    return chosen


def choose_dtype(dtype: str | None, family: Family, device: torch.device) -> torch.dtype:
    """Return the dtype asked for, else one that the hardware computes natively and the family survives."""
    if dtype is None:
        gpus = []
        if device.type == "cuda":
            major, minor = torch.cuda.get_device_capability(device)
            gpus.append(Gpu(name=str(device), memory_gib=None, capability=(major, minor)))
        dtype = suitable_dtype(gpus, overflows_in_float16=family.overflows_in_float16)
    chosen: torch.dtype = getattr(torch, dtype)
    return chosen


@contextmanager
def _quiet_loading() -> Iterator[None]:
    """Hide the loader's own progress bars and remarks, which repeat for every model of a grid."""
    verbosity, bar = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bar:
            transformers_logging.enable_progress_bar()


@_quiet_loading()
def load_model(
    pretrained: str,
    *,
    revision: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
    spread: bool = False,
) -> LanguageModel:
    """Load a model in evaluation mode.

    Args:
        pretrained: hub name or local folder.
        revision: branch, tag or commit on the hub.
        dtype: float32, float16 or bfloat16; None chooses for the hardware.
        device: where it goes; None takes a GPU where there is one.
        spread: lay the layers over all visible GPUs (`device_map="auto"`).

    Raises:
        ConfigurationError: the model cannot be found, or its family is not supported.
    """
    began = time.perf_counter()
    source = str(Path(pretrained).expanduser()) if is_local(pretrained) else pretrained
    try:
        config = AutoConfig.from_pretrained(source, revision=revision)
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
        has_vocabulary = bool(tokenizer("text", add_special_tokens=False)["input_ids"])
    except Exception as error:
        raise ConfigurationError(f"pretrained={pretrained}: cannot be loaded ({_told(error)})") from error
    if not has_vocabulary:  # so it is made where the tokenizer's files are missing
        raise ConfigurationError(f"pretrained={pretrained}: the tokenizer has no vocabulary; are its files there?")
    family, place = find_family(config.model_type, pretrained), choose_device(device)
    options = {"revision": revision, "config": config, "dtype": choose_dtype(dtype, family, place)}
    network = _load_weights(pretrained, source, family, {**options, "device_map": "auto" if spread else None})
    if not spread:
        network.to(place)
    model = wrap_model(network.eval(), tokenizer, name=pretrained)
    return replace(model, load_seconds=time.perf_counter() - began)


def _load_weights(pretrained: str, source: str, family: Family, options: dict[str, Any]) -> Any:  # noqa: ANN401
    """Load a checkpoint, and refuse one whose tensors don't fill the model: the loader would leave the rest random."""
    auto: Any = AutoModelForSeq2SeqLM if family.architecture == "encoder-decoder" else AutoModelForCausalLM
    try:
        network, found = auto.from_pretrained(source, output_loading_info=True, **options)
    except torch.OutOfMemoryError:  # more GPUs may do
        raise
    except Exception as error:
        raise ConfigurationError(f"pretrained={pretrained}: the weights cannot be loaded ({_told(error)})") from error
    lacking = sorted(map(str, (*found["missing_keys"], *found["mismatched_keys"])))
    if lacking:
        raise ConfigurationError(
            f"pretrained={pretrained}: the checkpoint is not complete: {len(lacking)} of the model's tensors are "
            f"missing or have another shape ({', '.join(lacking[:3])})"
        )
    return network


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def wrap_model(network: Any, tokenizer: Any, *, name: str) -> LanguageModel:  # noqa: ANN401
    """Make a `LanguageModel` of a transformers model that is loaded already."""
    family = find_family(network.config.model_type, name)
    return LanguageModel(
        name=name,
        family=family,
        network=network,
        tokenizer=tokenizer,
        max_length=_max_length(family, network.config, tokenizer),
    )


def _max_length(family: Family, config: Any, tokenizer: Any) -> int:  # noqa: ANN401
    if family.limit_from_tokenizer:
        limit = getattr(tokenizer, "model_max_length", math.inf)
        return int(limit) if limit < _NO_LIMIT else MAX_LENGTH_UNLIMITED
    return MAX_LENGTH_UNLIMITED if family.max_positions is None else int(getattr(config, family.max_positions))
