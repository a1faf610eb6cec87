"""A loaded model with its tokenizer: where its stacks, blocks and embeddings are, by its family's row of the table.

Also how texts become tokens, the tokens that stand for no context, and what a decoder begins with.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers.activations import ACT2FN

from lm_eval.errors import ConfigurationError, RunError
from lm_eval.models.activations import fuse
from lm_eval.models.compatibility import no_end_token
from lm_eval.models.content import LoadedContent
from lm_eval.models.families import Family
from lm_eval.models.text_borders import TextBorders, going_on

Care = Literal["fast", "whole", "alone"]


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
    content: LoadedContent | None = None
    """What it was loaded from; None where nobody knows."""
    attends_both_ways: bool = False
    """Whether positions of the stack that predicts tokens see what is behind them, so that it scores no text."""
    reads_tokens: bool = False
    """Whether its blocks look tokens up themselves, so that it is given ids and takes no vectors in their place."""
    care: Care | None = None
    """How its passes run, where the caller has loaded it (`inference.given`)."""

    @property
    def runs_whole(self) -> bool:
        """Whether every pass runs the network's own modules from one end to the other, for code that hangs on them."""
        return self.care in ("whole", "alone")

    @property
    def runs_alone(self) -> bool:
        """Whether each row has a pass of its own."""
        return self.care == "alone"

    @cached_property
    def is_encoder_decoder(self) -> bool:
        """Whether segments go through an encoder and choices through a decoder."""
        return self.family.architecture == "encoder-decoder"

    @cached_property
    def encoder(self) -> Any:  # noqa: ANN401
        """The stack that turns a segment into hidden states."""
        return self.network.get_encoder() if self.is_encoder_decoder else self.network.base_model

    @cached_property
    def decoder(self) -> Any:  # noqa: ANN401
        """The stack whose last hidden states predict tokens."""
        return self.network.get_decoder() if self.is_encoder_decoder else self.network.base_model

    @cached_property
    def blocks(self) -> nn.ModuleList:
        """The encoder's blocks, in order."""
        blocks: nn.ModuleList = attrgetter(str(self.family.blocks))(self.encoder)
        return blocks

    @cached_property
    def decoder_blocks(self) -> nn.ModuleList:
        """The decoder's blocks, in order."""
        blocks: nn.ModuleList = attrgetter(str(self.family.blocks))(self.decoder)
        return blocks

    @cached_property
    def turning_length(self) -> int | None:
        """The length beyond which a whole batch is rotated otherwise (LongRoPE); None where lengths change nothing."""
        stated = getattr(self.config, "rope_parameters", None) or {}
        kinds = [stated, *(value for value in stated.values() if isinstance(value, dict))]
        limits = [kind.get("original_max_position_embeddings") for kind in kinds if kind.get("rope_type") == "longrope"]
        lengths = [limit or getattr(self.config, "original_max_position_embeddings", None) for limit in limits]
        return int(lengths[0]) if lengths and lengths[0] else None

    def batched_together(self, lengths: Sequence[int]) -> list[list[int]]:
        """Group sequences that may share a batch without changing one another, by their lengths.

        Args:
            lengths: in positions.

        Returns:
            Groups of places in `lengths`, none of them empty.
        """
        turn = self.turning_length or max(lengths, default=0)
        places = range(len(lengths))
        groups = [place for place in places if lengths[place] <= turn], [p for p in places if lengths[p] > turn]
        return [group for group in groups if group]

    def layers_of(self, output: Any, inputs: Float[Tensor, "batch token dim"]) -> tuple[Tensor, ...]:  # noqa: ANN401
        """Return all hidden states of a pass, from what enters the first block to what follows the final norm.

        Args:
            output: of the encoder, asked for its hidden states.
            inputs: what entered it.
        """
        states: tuple[Tensor, ...] = output.hidden_states
        inner = (inputs, *states[:-2]) if self.family.lists_outputs else states[:-1]
        return *inner, output.last_hidden_state

    @cached_property
    def config(self) -> Any:  # noqa: ANN401
        """The config of the stack that reads segments."""
        section = self.family.section
        return self.network.config if section is None else getattr(self.network.config, section)

    @property
    def num_layers(self) -> int:
        """Number of blocks that a segment runs through."""
        return len(self.blocks)

    @property
    def hidden_size(self) -> int:
        """Components of a token's vector."""
        return int(self.config.hidden_size)

    @property
    def num_heads(self) -> int:
        """Attention heads of a block; 1 where it has none."""
        return int(getattr(self.config, "num_attention_heads", 1))

    def width_of(self, layer: int | Literal["E", "OE"]) -> int:
        """Return the components of a layer's vectors."""
        if isinstance(layer, int) and layer < self.num_layers:
            return self.hidden_size
        if layer == "OE":
            return int(self.output_matrix.shape[1])
        narrow = getattr(self.config, str(self.family.embedding_width), None)
        return self.hidden_size if narrow is None else int(narrow)

    @cached_property
    def token_embeddings(self) -> nn.Module:
        """The input embeddings of the stack that reads segments."""
        stack = self.encoder if self.is_encoder_decoder else self.network  # T5's `shared` is but tied to its encoder's
        embeddings: nn.Module = stack.get_input_embeddings()
        return embeddings

    @cached_property
    def choice_embeddings(self) -> nn.Module:
        """The input embeddings of the stack that reads choices in generation."""
        stack = self.decoder if self.is_encoder_decoder else self.network
        embeddings: nn.Module = stack.get_input_embeddings()
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

    def embed_positions(self, positions: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch dim"]:
        """Look positions up in the table of learned absolute positions; only families that have one."""
        if self.family.position_embedding is None:
            raise ConfigurationError(f"ADD_POS=True: {self.name} has no learned absolute positions")
        table: Tensor = attrgetter(self.family.position_embedding)(self.encoder).weight
        return table[(positions + self.family.position_shift).to(table.device)]

    @cached_property
    def activation(self) -> Callable[[Tensor], Tensor]:
        """The activation function of the model's own MLP."""
        name = self.family.activation
        if name is None:
            return self._no_activation
        return fuse(ACT2FN[name[1:] if name.startswith("=") else getattr(self.config, name)])

    def _no_activation(self, _vectors: Tensor) -> Tensor:
        raise RunError(f"{self.name}: its config names no activation for the prefix of WORD_AGG_SCHEME")

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
            stated = "none" if end is None else f"{end}, beyond the {size} tokens that the model has"
            raise RunError(no_end_token(self.name, stated))
        return (int(end),)

    @cached_property
    def start_token(self) -> int:
        """What an encoder-decoder's choices begin with.

        Raises:
            RunError: neither of its configs names one.
        """
        places = (self.network.config, getattr(self.network, "generation_config", None))
        names = ("decoder_start_token_id", "bos_token_id")
        candidates = (getattr(place, name, None) for name in names for place in places)
        start = next((token for token in candidates if token is not None), None)
        if start is None:
            raise RunError(f"{self.name}: no decoder_start_token_id in its config or generation config; set one there")
        return int(start)

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

    @cached_property
    def borders(self) -> TextBorders:
        """What the tokenizer does at the borders of a text."""

        def tokens_of(text: str, special: bool) -> list[str]:
            ids = self.tokenizer(text, add_special_tokens=special)["input_ids"]
            return list(self.tokenizer.convert_ids_to_tokens(ids))

        begin = self.tokenizer.bos_token
        if begin is None and isinstance(number := getattr(self.network.config, "bos_token_id", None), int):
            begin = self.tokenizer.convert_ids_to_tokens(number)
        return TextBorders.probe(tokens_of, begin)

    @cached_property
    def _going_on(self) -> Tokenizer:
        """The tokenizer without its dummy prefix."""
        return going_on(self.tokenizer, self.name)

    def tokenize(self, texts: Sequence[str], *, special: bool, goes_on: bool = False) -> list[tuple[int, ...]]:
        """Return the token ids of each text, uncut.

        Args:
            texts: any number of texts; equal ones are tokenised once.
            special: whether the tokenizer adds its special tokens.
            goes_on: whether the texts go on behind others, so that no blank is put in front of them.
        """
        unique = list(dict.fromkeys(texts))
        if not unique:
            return []
        if goes_on and self.borders.has_dummy_prefix:
            rows = [row.ids for row in self._going_on.encode_batch(unique, add_special_tokens=special)]
        else:
            options = {"return_attention_mask": False, "verbose": False}
            rows = self.tokenizer(unique, add_special_tokens=special, **options)["input_ids"]
        ids = {text: tuple(row) for text, row in zip(unique, rows, strict=True)}
        return [ids[text] for text in texts]


def dtype_name(dtype: torch.dtype) -> str:
    """Return a dtype's name as configurations spell it."""
    return str(dtype).removeprefix("torch.")
