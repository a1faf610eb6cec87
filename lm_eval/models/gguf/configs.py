"""The config of a model in a GGUF file, as its `config.json` would have it: one function for each architecture.

Transformers has a table of its own for this, which leaves out rotary scaling, windows, caps and the number of rows of
padded vocabularies: a model would load, and score wrongly. What a file states and nothing here heeds is refused.
"""

from collections.abc import Callable
from typing import Any

from lm_eval.errors import ConfigurationError
from lm_eval.models.gguf.fields import Fields
from lm_eval.models.gguf.header import Header
from lm_eval.models.gguf.rotary import read_rotary

Config = dict[str, Any]


def config_of(header: Header) -> Config:
    """Return the config of a file's model.

    Raises:
        ConfigurationError: its architecture can't be loaded, or its header lacks something or states what isn't known.
    """
    make = ARCHITECTURES.get(header.architecture)
    if make is None:
        raise ConfigurationError(
            f"pretrained={header.path}: models of architecture {header.architecture!r} can't be read from a GGUF file "
            f"exactly (these can: {', '.join(ARCHITECTURES)}); give the model as a folder with config.json and "
            "safetensors, or by its hub name"
        )
    fields = Fields(header)
    if fields.find("expert_count", 0):
        raise fields.refusal("expert_count", "mixtures of experts can't be loaded from GGUF")
    config = {**_common(fields), **make(fields)}
    fields.refuse_unread()
    return config


def _common(fields: Fields) -> Config:
    embedding = fields.header.tensors.get("token_embd.weight")
    if embedding is None:
        raise ConfigurationError(f"pretrained={fields.header.path}: it lacks the tensor token_embd.weight")
    config: Config = {
        "vocab_size": embedding.shape[0],  # tokenizers may have fewer
        "tie_word_embeddings": not fields.has("output.weight"),
        **{f"{which}_token_id": fields.token(which) for which in ("bos", "eos")},
        "pad_token_id": fields.token("padding"),
    }
    if fields.find("attention.causal", True) is False:
        config["is_causal"] = False
    return config


def _stack(fields: Fields) -> Config:
    """Return the fields of a stack of blocks as most config classes name them."""
    return {
        "hidden_size": fields.number("embedding_length"),
        "intermediate_size": fields.number("feed_forward_length"),
        "num_hidden_layers": fields.number("block_count"),
        "num_attention_heads": (heads := fields.number("attention.head_count")),
        "num_key_value_heads": fields.number("attention.head_count_kv", heads),
        "max_position_embeddings": fields.number("context_length"),
    }


def _rms(fields: Fields) -> Config:
    return {"rms_norm_eps": float(fields.find("attention.layer_norm_rms_epsilon", 1e-6))}


def _head_dim(fields: Fields, stack: Config, *, is_free: bool = True) -> int:
    """Return the components of a head.

    Args:
        fields: of the file.
        stack: what was read of it.
        is_free: whether the config can state it; otherwise it follows from the width.
    """
    usual = stack["hidden_size"] // stack["num_attention_heads"]
    dim = fields.number("attention.key_length", usual)
    fields.expect("attention.value_length", dim)
    if not is_free:
        fields.expect("attention.key_length", usual)
    return dim


def _llama(fields: Fields) -> Config:
    stack = _stack(fields)
    if fields.find("attention.key_length") is None:  # older files tell it by the components that are rotated, all
        dim = fields.number("rope.dimension_count", stack["hidden_size"] // stack["num_attention_heads"])
    else:
        dim = _head_dim(fields, stack)
    biases = {"attention_bias": fields.has("blk.0.attn_q.bias"), "mlp_bias": fields.has("blk.0.ffn_up.bias")}
    rotary = {"head_dim": dim, "rope_parameters": read_rotary(fields, dim)}
    return {"model_type": "llama", **stack, **_rms(fields), **rotary, **biases}


def _qwen2(fields: Fields) -> Config:
    stack = _stack(fields)
    rotary = read_rotary(fields, _head_dim(fields, stack, is_free=False))
    return {"model_type": "qwen2", **stack, **_rms(fields), "rope_parameters": rotary}


def _qwen3(fields: Fields) -> Config:
    stack = _stack(fields)
    dim = _head_dim(fields, stack)
    rotary = {"head_dim": dim, "rope_parameters": read_rotary(fields, dim)}
    return {"model_type": "qwen3", **stack, **_rms(fields), **rotary}


def _phi3(fields: Fields) -> Config:
    stack = _stack(fields)
    rotary = read_rotary(fields, _head_dim(fields, stack, is_free=False))
    window = fields.find("attention.sliding_window", 0) or None
    original = fields.find("rope.scaling.original_context_length", stack["max_position_embeddings"])
    further = {"sliding_window": window, "original_max_position_embeddings": int(original)}
    return {"model_type": "phi3", **stack, **_rms(fields), **further, "rope_parameters": rotary}


_LARGEST = {"gemma2": 46, "gemma3": 62}
"""Blocks of the models of 27 B, whose queries alone are scaled by the width of a head that the embedding would give."""


def _gemma(fields: Fields) -> Config:
    stack = _stack(fields)
    dim = _head_dim(fields, stack)
    is_largest = stack["num_hidden_layers"] == _LARGEST[fields.header.architecture]
    return {
        **stack,
        **_rms(fields),
        "head_dim": dim,
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": stack["hidden_size"] // stack["num_attention_heads"] if is_largest else dim,
        "sliding_window": fields.number("attention.sliding_window"),
    }


def _gemma2(fields: Fields) -> Config:
    config = _gemma(fields)
    caps = {
        "attn_logit_softcapping": float(fields.find("attn_logit_softcapping", 50.0)),
        "final_logit_softcapping": float(fields.find("final_logit_softcapping", 30.0)),
    }
    fields.expect("attention.sliding_window_pattern", 2)
    return {"model_type": "gemma2", **config, **caps, "rope_parameters": read_rotary(fields, config["head_dim"])}


_WINDOWS_IN_ROW = 5
"""Of Gemma 3, whose every sixth block sees all."""


def _gemma3(fields: Fields) -> Config:
    config = _gemma(fields)
    num_layers = config["num_hidden_layers"]
    row = _WINDOWS_IN_ROW + 1
    sees_all = [(layer + 1) % row == 0 for layer in range(num_layers)]
    fields.expect("attention.sliding_window_pattern", row, [not one for one in sees_all])
    fields.expect("rope.dimension_count_swa", config["head_dim"])
    of_windows = float(fields.find("rope.freq_base_swa", 10_000.0))
    rotary = {
        "full_attention": {"rope_theta": 1e6, **read_rotary(fields, config["head_dim"])},
        "sliding_attention": {"rope_type": "default", "rope_theta": of_windows},
    }
    if fields.find("rope.freq_base") is None:
        rotary["full_attention"]["rope_theta"] = 1e6
    kinds = ["full_attention" if one else "sliding_attention" for one in sees_all]
    cap = {"final_logit_softcapping": fields.find("final_logit_softcapping")}
    return {"model_type": "gemma3_text", **config, **cap, "layer_types": kinds, "rope_parameters": rotary}


def _gpt2(fields: Fields) -> Config:
    config = {
        "n_embd": fields.number("embedding_length"),
        "n_layer": fields.number("block_count"),
        "n_head": fields.number("attention.head_count"),
        "n_inner": fields.number("feed_forward_length"),
        "n_positions": fields.number("context_length"),
        "layer_norm_epsilon": float(fields.find("attention.layer_norm_epsilon", 1e-5)),
    }
    fields.expect("attention.head_count_kv", config["n_head"])
    return {"model_type": "gpt2", **config, "activation_function": "gelu_new"}


def _bloom(fields: Fields) -> Config:
    width = fields.number("embedding_length")
    config = {
        "hidden_size": width,
        "n_layer": fields.number("block_count"),
        "n_head": fields.number("attention.head_count"),
        "layer_norm_epsilon": float(fields.find("attention.layer_norm_epsilon", 1e-5)),
        "seq_length": fields.number("context_length"),
    }
    fields.expect("attention.head_count_kv", config["n_head"])
    fields.expect("feed_forward_length", 4 * width)
    fields.expect("attention.max_alibi_bias", 8.0)
    return {"model_type": "bloom", **config}


def _falcon(fields: Fields) -> Config:
    stack = _stack(fields)
    if (num_keys := stack.pop("num_key_value_heads")) != 1 or fields.has("blk.0.attn_norm_2.weight"):
        raise fields.refusal(
            "attention.head_count_kv", f"matrices of {num_keys} key heads would be taken apart wrongly"
        )
    width = stack.pop("intermediate_size")
    kind = {
        "multi_query": True,
        "new_decoder_architecture": False,
        "parallel_attn": True,
        "alibi": False,
        "bias": False,
    }
    rotary = read_rotary(fields, stack["hidden_size"] // stack["num_attention_heads"])
    fields.expect("tensor_data_layout", "jploski")  # the query, key and value matrices one behind the other
    epsilon = float(fields.find("attention.layer_norm_epsilon", 1e-5))
    sizes = {"ffn_hidden_size": width, "layer_norm_epsilon": epsilon}
    return {"model_type": "falcon", **stack, **kind, **sizes, "rope_parameters": rotary}


def _stablelm(fields: Fields) -> Config:
    stack = _stack(fields)
    if fields.has("blk.0.attn_q_norm.weight"):
        raise fields.refusal("embedding_length", "norms of queries and keys would be taken apart wrongly")
    kind = {
        "layer_norm_eps": float(fields.find("attention.layer_norm_epsilon", 1e-5)),
        "use_qkv_bias": fields.has("blk.0.attn_q.bias"),
        "use_parallel_residual": not fields.has("blk.0.ffn_norm.weight"),
        "qk_layernorm": False,
    }
    fields.find("use_parallel_residual")  # the tensors tell
    rotary = read_rotary(fields, _head_dim(fields, stack, is_free=False))
    return {"model_type": "stablelm", **stack, **kind, "rope_parameters": rotary}


def _starcoder2(fields: Fields) -> Config:
    stack = _stack(fields)
    further = {
        "norm_epsilon": float(fields.find("attention.layer_norm_epsilon", 1e-5)),
        "use_bias": fields.has("blk.0.attn_q.bias"),
        "hidden_act": "gelu_pytorch_tanh",
        "sliding_window": fields.find("attention.sliding_window", 0) or None,
    }
    rotary = read_rotary(fields, _head_dim(fields, stack, is_free=False))
    return {"model_type": "starcoder2", **stack, **further, "rope_parameters": rotary}


ARCHITECTURES: dict[str, Callable[[Fields], Config]] = {
    "llama": _llama,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "phi3": _phi3,
    "gemma2": _gemma2,
    "gemma3": _gemma3,
    "gpt2": _gpt2,
    "bloom": _bloom,
    "falcon": _falcon,
    "stablelm": _stablelm,
    "starcoder2": _starcoder2,
}
"""What is read from GGUF, by llama.cpp's names of architectures; Mistral, TinyLlama and SmolLM are llama there."""
