"""All that differs between model families, one row a family; and the row of a family that has none.

Knows nothing of torch, so that a grid can be checked before anything heavy is imported. A new family is a new row. What
a row doesn't say of a model that is loaded, `lm_eval.inference.conformance` finds out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from lm_eval.errors import ConfigurationError
from lm_eval.models.config_facts import scores_text

Architecture = Literal["decoder-only", "encoder-decoder"]
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)
Sharing = Literal["row", "cache", "none"]

MAX_LENGTH_UNLIMITED = 10_240
"""Longest segment, in tokens, for models without a position limit (experiment §4.1)."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """How the experiment finds its way inside one family of models."""

    architecture: Architecture
    blocks: str | None = "layers"
    """Path of the list of blocks below the base model (decoder-only) or the encoder; None: it is searched for."""
    num_layers: str = "num_hidden_layers"
    """Config field with the number of those blocks."""
    activation: str | None = "hidden_act"
    """Config field that names the activation of the MLP, or the name itself behind a `=`; None where none is known."""
    max_positions: str | None = "max_position_embeddings"
    """Config field with the position limit; None where the model has none."""
    limit_from_tokenizer: bool = False
    """Whether the tokenizer's `model_max_length` is the limit instead."""
    section: str | None = None
    """Field of the config that holds the fields of the stack that reads text, where they are not at its top."""
    position_embedding: str | None = None
    """Path of the table of learned absolute positions below the base model, which ADD_POS needs."""
    position_shift: int = 0
    """Rows of that table before the one of position 0."""
    embedding_width: str | None = None
    """Config field with the width of the embeddings (and of the last layer), where it may differ from the blocks'."""
    relative_bias: str | None = None
    """Path, below the encoder, of the attention that makes the position bias of all blocks; None where padding is
    hidden by an attention mask."""
    sharing: Sharing = "row"
    """How a context is read once for all its choices: they stand in one row behind it, kept apart by a mask and by
    their positions; or the cache of its keys and values is repeated for each (where attention goes by place in a row,
    or a config has it see a window only); or not at all: the context is read again for each choice."""
    fused_attention: bool = True
    """Whether attention keeps no matrix of scores; where it does, batches are limited by the square of their length."""
    takes_positions: bool = True
    """Whether the model takes the positions of its inputs (`position_ids`)."""
    overflows_in_float16: bool = False
    """Whether float16 gives infinities, so that it must not be chosen by default."""
    gated_mlp: bool = False
    """Whether the MLP has a third matrix."""
    tied_where: str | None = None
    """Config field that says whether input and output embeddings are one matrix, whatever `tie_word_embeddings` says.
    """
    lists_outputs: bool = False
    """Whether the list of hidden states that transformers gives begins with the first block's output; here it always
    begins with its input (experiment §4.2)."""
    config_defaults: Mapping[str, Any] | None = field(default=None, hash=False)
    """Config fields that decide the size and may be left out, with what they then mean; None: only building tells."""
    has_front_tokens: bool = True
    """Whether the tokenizer's tokens in front stand in the two tests, where ADD_BOS doesn't say (experiment §9)."""
    forgets_own_head: bool = False
    """Whether transformers' config class forgets that an output matrix is a checkpoint's own, and scales it."""
    is_tried: bool = False
    """Whether a loaded model is tried before it is used, for there are releases of transformers that get it wrong."""
    is_generic: bool = False
    """Whether the row was made of a config, for a family that has none: then the loaded model checks itself."""


def _gpt(**fields: Any) -> Family:  # noqa: ANN401
    common = {
        "architecture": "decoder-only",
        "blocks": "h",
        "num_layers": "n_layer",
        "activation": "activation_function",
        "max_positions": "n_positions",
        "config_defaults": {"intermediate_size": None, "tie_word_embeddings": True},
    }
    return Family(**{**common, **fields})


def _llama(**fields: Any) -> Family:  # noqa: ANN401
    """Make a row of the families built like Llama: rotary positions, a gated MLP, grouped queries."""
    defaults = {"tie_word_embeddings": False, "num_key_value_heads": None, "head_dim": None}
    common = {"architecture": "decoder-only", "gated_mlp": True, "config_defaults": defaults}
    return Family(**{**common, **fields})


_GEMMA_DEFAULTS = {"tie_word_embeddings": True, "num_key_value_heads": None, "head_dim": 256}
_LATER_GEMMA: dict[str, Any] = {"activation": "hidden_activation", "overflows_in_float16": True}


def _t5(*, feed_forward: str, **fields: Any) -> Family:  # noqa: ANN401
    defaults = {"num_decoder_layers": None, "relative_attention_num_buckets": 32, "tie_word_embeddings": True}
    common = {
        "architecture": "encoder-decoder",
        "blocks": "block",
        "num_layers": "num_layers",
        "config_defaults": {**defaults, "feed_forward_proj": feed_forward},
        "activation": "dense_act_fn",
        "max_positions": None,
        "relative_bias": "block.0.layer.0.SelfAttention",
        "fused_attention": False,  # every head adds a bias of its own to its scores
        "overflows_in_float16": True,
    }
    return Family(**{**common, **fields})


def _bart(**fields: Any) -> Family:  # noqa: ANN401
    """Make a row of the families built like BART, whose decoders count positions by place in the row."""
    common = {"num_layers": "encoder_layers", "activation": "activation_function", "sharing": "none"}
    return Family(**{"architecture": "encoder-decoder", **common, **fields})


FAMILIES: dict[str, Family] = {
    "gpt2": _gpt(position_embedding="wpe", has_front_tokens=False),
    "gpt_neo": _gpt(
        has_front_tokens=False,
        num_layers="num_layers",
        max_positions="max_position_embeddings",
        position_embedding="wpe",
        sharing="cache",
        fused_attention=False,
    ),
    "gptj": _gpt(
        has_front_tokens=False,
        fused_attention=False,
        config_defaults={"intermediate_size": None, "tie_word_embeddings": False},
    ),
    "gpt_neox": _gpt(
        has_front_tokens=False,
        blocks="layers",
        num_layers="num_hidden_layers",
        activation="hidden_act",
        max_positions="max_position_embeddings",
        config_defaults={"tie_word_embeddings": False},
    ),
    "bloom": _gpt(
        has_front_tokens=False,
        activation="=gelu_pytorch_tanh",
        max_positions=None,
        limit_from_tokenizer=True,
        takes_positions=False,
        sharing="cache",
        fused_attention=False,
    ),
    "gpt_bigcode": _gpt(position_embedding="wpe", config_defaults=None),
    "opt": Family(
        architecture="decoder-only",
        has_front_tokens=False,
        blocks="decoder.layers",
        activation="activation_function",
        position_embedding="decoder.embed_positions",
        position_shift=2,
        embedding_width="word_embed_proj_dim",
        config_defaults={"tie_word_embeddings": True},
    ),
    "falcon": Family(
        architecture="decoder-only",
        blocks="h",
        activation="activation",
        sharing="cache",  # some go by place in the row (ALiBi)
    ),
    "mpt": Family(
        architecture="decoder-only",
        blocks="blocks",
        num_layers="n_layers",
        activation="=gelu",
        max_positions="max_seq_len",
        takes_positions=False,
        sharing="cache",
        fused_attention=False,
    ),
    "phi": Family(
        architecture="decoder-only", config_defaults={"tie_word_embeddings": False, "num_key_value_heads": None}
    ),
    "starcoder2": Family(architecture="decoder-only", config_defaults={"tie_word_embeddings": True, "head_dim": None}),
    "llama": _llama(),
    "mistral": _llama(),
    "qwen2": _llama(),
    "qwen3": _llama(),
    "phi3": _llama(),
    "olmo": _llama(),
    "olmo2": _llama(),
    "stablelm": _llama(),
    "gemma": _llama(config_defaults=_GEMMA_DEFAULTS),
    "gemma2": _llama(
        activation="hidden_activation",
        fused_attention=False,
        overflows_in_float16=True,
        config_defaults=_GEMMA_DEFAULTS,
    ),
    "gemma3_text": _llama(activation="hidden_activation", overflows_in_float16=True, config_defaults=_GEMMA_DEFAULTS),
    "gemma3": _llama(
        blocks="language_model.layers",
        section="text_config",
        activation="hidden_activation",
        overflows_in_float16=True,
        config_defaults=None,
    ),
    "mamba": Family(architecture="decoder-only", max_positions=None, sharing="none", lists_outputs=True),
    "t5": _t5(feed_forward="relu", tied_where="scale_decoder_outputs"),
    "mt5": _t5(feed_forward="gated-gelu"),
    "umt5": _t5(
        feed_forward="gated-gelu", relative_bias=None, is_tried=True, forgets_own_head=True
    ),  # wrong in transformers 5.17
    "bart": _bart(),
    "mbart": _bart(),
    "t5gemma": Family(
        architecture="encoder-decoder",
        section="encoder",
        activation="hidden_activation",
        overflows_in_float16=True,
        sharing="none",
        fused_attention=False,
    ),
}


def find_family(config: Mapping[str, Any], name: str) -> Family:
    """Return the row of a model's family, or make one of its config where the table has none.

    Args:
        config: the content of its `config.json`.
        name: the model's, for the message.

    Raises:
        ConfigurationError: the config says that the model scores no text, or not what it is made of.
    """
    model_type = config.get("model_type")
    if model_type in FAMILIES:
        return FAMILIES[str(model_type)]
    if not scores_text(config):
        classes = map(str, config["architectures"])
        raise ConfigurationError(
            f"{name}: model type {model_type!r} ({', '.join(classes)}) scores no text; choose a causal or a "
            "sequence-to-sequence language model"
        )
    if not model_type:
        raise ConfigurationError(f"{name}: its config names no model_type, so it cannot be loaded")
    return _generic(config)


_NUM_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_NUM_ENCODER_LAYERS = ("encoder_layers", "num_encoder_layers", "num_layers", "num_hidden_layers")
_ACTIVATIONS = ("hidden_activation", "hidden_act", "activation_function", "activation", "dense_act_fn", "afn")
_MAX_POSITIONS = (
    "max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length", "context_length",
    "max_target_positions",
)  # fmt: skip


def _generic(config: Mapping[str, Any]) -> Family:
    """Make the row of a family that the table doesn't have; nothing in it is relied on before it is checked."""
    section = next((key for key in ("text_config", "encoder") if isinstance(config.get(key), Mapping)), None)
    fields = config[section] if section else config
    is_encoder_decoder = bool(config.get("is_encoder_decoder"))

    def first(names: tuple[str, ...]) -> str | None:
        return next((name for name in names if fields.get(name) is not None), None)

    return Family(
        architecture="encoder-decoder" if is_encoder_decoder else "decoder-only",
        blocks=None,
        num_layers=first(_NUM_ENCODER_LAYERS if is_encoder_decoder else _NUM_LAYERS) or _NUM_LAYERS[0],
        activation=first(_ACTIVATIONS),
        max_positions=first(_MAX_POSITIONS),
        section=section,
        sharing="none",
        fused_attention=False,
        overflows_in_float16=is_encoder_decoder or "gemma" in str(config.get("model_type")),  # all since Gemma 2
        is_generic=True,
    )
