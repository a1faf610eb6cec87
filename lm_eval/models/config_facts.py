"""What a model's config says of its attention and of its output, whatever its family."""

from collections.abc import Mapping
from typing import Any

_DECODERS = ("ForCausalLM", "LMHeadModel", "ModelWithLMHead", "GenerationDecoder")
_ENCODER_DECODERS = ("ForConditionalGeneration", "ForSeq2SeqLM", "MTModel")
"""How the names of classes end that score text."""


def scores_text(config: Mapping[str, Any]) -> bool:
    """Whether a checkpoint's classes, where its config names any, have an output that predicts tokens."""
    classes = [str(one) for one in config.get("architectures") or ()]
    return not classes or any(one.endswith((*_DECODERS, *_ENCODER_DECODERS)) for one in classes)


def attends_both_ways(config: Mapping[str, Any]) -> bool:
    """Whether a decoder-only model's config says that positions see what is behind them, as in models of embeddings."""
    return config.get("is_causal") is False or config.get("use_bidirectional_attention") in (True, "all")


def is_encoder_alone(config: Mapping[str, Any]) -> bool:
    """Whether a checkpoint holds the encoder of an encoder-decoder, and nothing of its decoder."""
    return any(str(one).endswith("EncoderModel") for one in config.get("architectures") or ())


def reads_tokens(config: Mapping[str, Any]) -> bool:
    """Whether a config says that blocks look further embeddings up by token, as Gemma 3n's and 4's do."""
    return bool(config.get("hidden_size_per_layer_input"))


_IN_PART = ("window", "chunk", "sparse", "radius", "block_size")
"""What the names of config fields have in them that limit what is attended to."""


def attends_in_part(config: Any) -> bool:  # noqa: ANN401
    """Whether some layer may see a part of what stands before it: a window, a chunk, or a state in place of keys."""
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    names = (name for name in config.to_dict() if any(part in name for part in _IN_PART) and "layers" not in name)
    return bool(kinds) or any(getattr(config, name) for name in names)


_READ_BY_ALL = frozenset(
    ("is_causal", "use_bidirectional_attention", "sliding_window", "attention_chunk_size", "layer_types",
     "kv_sharing_modes")
)  # fmt: skip
"""Config fields that transformers' masks and caches read of any model, whether its class has them or not."""
_TRIED = frozenset(
    (
        "alibi", "apply_residual_connection_post_layernorm", "attention_bias", "attention_layers", "attention_types",
        "bias", "do_layer_norm_before", "_remove_final_layer_norm", "enable_bias", "layer_norm_elementwise_affine",
        "feed_forward_proj", "dense_act_fn", "is_gated_act",
        "mlp_bias", "multi_query", "new_decoder_architecture", "no_bias", "parallel_attn", "qk_layernorm",
        "rope_parameters", "scale_attn_weights", "scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn",
        "scale_attention_softmax_in_fp32", "attention_softmax_in_fp32", "scale_decoder_outputs", "scale_embedding",
        "tie_word_embeddings", "use_bias", "use_conv_bias", "use_parallel_residual", "use_qkv_bias",
        "use_sliding_window",
        "activation", "activation_function", "hidden_act", "hidden_activation", "norm_type", "slow_but_exact",
        "residual_in_fp32", "rescale_prenorm_residual", "rms_norm",
    )
)  # fmt: skip
"""Switches of families of the table that tests try in each position (or activations, which have names)."""
_WITHOUT_EFFECT = frozenset(
    (
        "use_cache", "return_dict", "output_attentions", "output_hidden_states", "gradient_checkpointing",
        "init_device", "attn_impl",
        "dtype", "torch_dtype", "architectures", "transformers_version", "model_type", "auto_map", "problem_type",
        "id2label", "label2id", "task_specific_params", "classifier_bias", "summary_proj_to_labels", "summary_type",
        "summary_use_proj", "summary_activation", "use_mambapy", "time_step_init_scheme", "tokenizer_class",
        "pruned_heads", "quantization_config", "cache_implementation", "force_bos_token_to_be_generated",
    )
)  # fmt: skip
"""Fields that decide nothing here: what is given back, training, other heads, names."""


def untried_fields(config: Any) -> list[str]:  # noqa: ANN401
    """Return the fields of a config that may change how a model of its family runs, in a way that no test has tried.

    Numbers in place of numbers are sizes; words and switches that differ from what the config class begins with count,
    and so do fields that the class doesn't have, where masks and caches read them of any model.

    Args:
        config: transformers' config of a model whose family is in the table.
    """
    usual = type(config)().to_dict()
    fields = {name: value for name, value in config.to_dict().items() if name[0] != "_" or name in _TRIED}
    stray = [name for name, value in fields.items() if name not in usual and name in _READ_BY_ALL and value is not None]
    return stray + [name for name in fields if name in usual and _differs_in_kind(name, fields[name], usual[name])]


def _differs_in_kind(name: str, value: object, usual: object) -> bool:
    """Whether a field's value is another switch, word or list of words than the usual one, and has an effect."""
    if name == "layer_types" and isinstance(value, (list, tuple)):
        return not set(value) <= {"full_attention", "sliding_attention"}
    if name in _TRIED or name in _WITHOUT_EFFECT or value == usual:
        return False
    if isinstance(value, Mapping):
        before: Mapping[str, object] = usual if isinstance(usual, Mapping) else {}
        return any(_differs_in_kind(key, one, before.get(key)) for key, one in value.items())
    values = value if isinstance(value, (list, tuple)) else [value]
    return any(isinstance(one, (bool, str, Mapping)) for one in values)
