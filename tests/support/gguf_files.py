"""GGUF files of tiny models, written by the rules of llama.cpp's converter, apart from how the package reads them.

Whoever writes one of a quantised type also saves the decoded weights as an ordinary checkpoint, to compare with.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind
from gguf import TokenType
from transformers import PreTrainedModel

Array = np.ndarray
ARCHITECTURES = {"mistral": "llama", "gemma3_text": "gemma3"}
"""llama.cpp's names of model types, where they differ."""


def _permute(matrix: Array, heads: int) -> Array:
    """Bring the halves of each head together, as llama.cpp rotates neighbours."""
    return (
        matrix.reshape(heads, 2, matrix.shape[0] // heads // 2, *matrix.shape[1:]).swapaxes(1, 2).reshape(matrix.shape)
    )


def _unpermute(matrix: Array, heads: int) -> Array:
    return (
        matrix.reshape(heads, matrix.shape[0] // heads // 2, 2, *matrix.shape[1:]).swapaxes(1, 2).reshape(matrix.shape)
    )


def _split_heads(matrix: Array, heads: int) -> Array:
    """From query, key and value head by head to all queries, all keys, all values (BLOOM)."""
    return matrix.reshape(heads, 3, -1, *matrix.shape[1:]).swapaxes(0, 1).reshape(matrix.shape)


def _join_heads(matrix: Array, heads: int) -> Array:
    return matrix.reshape(3, heads, -1, *matrix.shape[1:]).swapaxes(0, 1).reshape(matrix.shape)


Change = tuple[Callable[[Array], Array], Callable[[Array], Array]]
_NONE: Change = (lambda a: a, lambda a: a)


def _change(architecture: str, name: str, config: Any) -> Change:
    """Return what the converter does to a tensor of a GGUF name, and what undoes it."""
    heads, keys = config.num_attention_heads, getattr(config, "num_key_value_heads", None)
    if architecture == "llama" and (".attn_q." in name or ".attn_k." in name):
        number = heads if ".attn_q." in name else keys or heads
        return lambda a: _permute(a, number), lambda a: _unpermute(a, number)
    if architecture.startswith("gemma") and name.endswith("norm.weight"):
        return lambda a: a + 1, lambda a: a - 1
    if architecture == "bloom" and ".attn_qkv." in name:
        return lambda a: _split_heads(a, heads), lambda a: _join_heads(a, heads)
    turned = (".attn_qkv.weight", ".attn_output.weight", ".ffn_up.weight", ".ffn_down.weight")
    if architecture == "gpt2" and name.endswith(turned):
        return lambda a: a.T, lambda a: a.T
    return _NONE


def _fields(architecture: str, config: Any) -> dict[str, Any]:
    """Return what the converter writes of a config."""
    rotary = dict(getattr(config, "rope_parameters", None) or {})
    rotary = rotary.get("full_attention", rotary)
    width = config.hidden_size
    heads = config.num_attention_heads
    inner = getattr(config, "intermediate_size", None) or getattr(config, "ffn_hidden_size", None) or 4 * width
    dim = getattr(config, "head_dim", None) or width // heads
    epsilon = next(
        getattr(config, n)
        for n in ("rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps", "norm_epsilon")
        if hasattr(config, n)
    )
    fields = {
        "context_length": getattr(config, "max_position_embeddings", 128),
        "embedding_length": width,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": inner,
        "attention.head_count": heads,
        "attention.layer_norm_rms_epsilon"
        if hasattr(config, "rms_norm_eps")
        else "attention.layer_norm_epsilon": float(epsilon),
    }
    keys = 1 if architecture == "falcon" else getattr(config, "num_key_value_heads", None)
    if keys:
        fields["attention.head_count_kv"] = keys
    if rotary:
        fields["rope.freq_base"] = float(rotary["rope_theta"])
        fields["rope.dimension_count"] = round(dim * rotary.get("partial_rotary_factor", 1.0))
    if getattr(config, "sliding_window", None):
        fields["attention.sliding_window"] = config.sliding_window
    if dim * heads != width or architecture.startswith("gemma"):
        fields |= {"attention.key_length": dim, "attention.value_length": dim}
    for name in ("attn_logit_softcapping", "final_logit_softcapping"):
        if architecture == "gemma2":
            fields[name] = float(getattr(config, name))
    if rotary.get("rope_type") in ("linear", "yarn"):
        fields |= {"rope.scaling.type": rotary["rope_type"], "rope.scaling.factor": float(rotary["factor"])}
    if "original_max_position_embeddings" in rotary and rotary["rope_type"] == "yarn":
        fields["rope.scaling.original_context_length"] = rotary["original_max_position_embeddings"]
    if rotary.get("rope_type") == "longrope":
        original = config.original_max_position_embeddings
        scale = config.max_position_embeddings / original
        fields["rope.scaling.original_context_length"] = original
        fields["rope.scaling.attn_factor"] = math.sqrt(1 + math.log(scale) / math.log(original))
    return fields


def _rotary_tensors(config: Any) -> dict[str, Array]:
    rotary = getattr(config, "rope_parameters", None) or {}
    if rotary.get("rope_type") == "longrope":
        return {
            f"rope_factors_{which}.weight": np.array(rotary[f"{which}_factor"], np.float32)
            for which in ("long", "short")
        }
    if rotary.get("rope_type") != "llama3":
        return {}
    dim, old = config.head_dim, rotary["original_max_position_embeddings"]
    factors = []
    for place in range(0, dim, 2):
        length = 2 * math.pi * rotary["rope_theta"] ** (place / dim)
        if length < old / rotary["high_freq_factor"]:
            factors.append(1.0)
        elif length > old / rotary["low_freq_factor"]:
            factors.append(rotary["factor"])
        else:
            gap = rotary["high_freq_factor"] - rotary["low_freq_factor"]
            smooth = (old / length - rotary["low_freq_factor"]) / gap
            factors.append(1 / ((1 - smooth) / rotary["factor"] + smooth))
    return {"rope_freqs.weight": np.array(factors, np.float32)}


def _random_blocks(shape: Sequence[int], kind: Kind, seed: int) -> Array:
    """Return random blocks of a format that Python can only decode, scales and all of them small."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    rows, blocks = math.prod(shape[:-1]), shape[-1] // block
    data = np.random.default_rng(seed).integers(0, 256, (rows, blocks, size), np.uint8)
    scale = np.frombuffer(np.float16(0.002).tobytes(), np.uint8)
    at = {Kind.Q4_K: (0, 2), Kind.Q6_K: (208,)}[kind]
    for place in at:
        data[..., place : place + 2] = scale
    return data.reshape(*shape[:-1], blocks * size)


def _encode(array: Array, kind: Kind, seed: int) -> tuple[Array, Array]:
    """Return the bytes of a tensor in a format, and its values when decoded."""
    if array.ndim < 2 or kind == Kind.F32:
        array = array.astype(np.float32)
        return array, array
    if kind in (Kind.Q4_K, Kind.Q6_K):
        data = _random_blocks(array.shape, kind, seed)
    else:
        data = gguf.quantize(np.ascontiguousarray(array, np.float32), kind)
    return data, gguf.dequantize(data, kind).astype(np.float32).reshape(array.shape)


def vocabulary_fields(tokenizer: Any, **changed: Any) -> dict[str, Any]:
    """Return what the converter writes of a tokenizer; `changed` replaces or, by None, leaves out fields."""
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary: Mapping[str, int] = backend["model"]["vocab"]
    texts = sorted(vocabulary, key=vocabulary.__getitem__)
    merges = [
        tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in backend["model"]["merges"]
    ]
    added = {token["content"] for token in backend["added_tokens"] if token["special"]}
    is_sentencepiece = bool(backend["model"].get("byte_fallback"))
    fields: dict[str, Any] = {
        "model": "llama" if is_sentencepiece else "gpt2",
        "pre": "default" if is_sentencepiece else "gpt-2",
        "tokens": texts,
        "token_type": [int(_type(text, added)) for text in texts],
    }
    if is_sentencepiece:
        ranks = {"".join(merge): -float(rank) for rank, merge in reversed(list(enumerate(merges)))}
        fields["scores"] = [ranks.get(text, -float(len(texts))) for text in texts]
        fields["add_space_prefix"] = tokenizer.tokenize("\n")[0] == "▁"
    else:
        fields["merges"] = [" ".join(merge) for merge in merges]
    front = tokenizer("a")["input_ids"][0]
    fields["add_bos_token"] = tokenizer.bos_token_id is not None and front == tokenizer.bos_token_id
    fields["add_eos_token"] = tokenizer("a")["input_ids"][-1] == tokenizer.eos_token_id
    numbers = {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id, "unknown": tokenizer.unk_token_id}
    fields |= {f"{which}_token_id": number for which, number in numbers.items() if number is not None}
    return {f"tokenizer.ggml.{key}": value for key, value in {**fields, **changed}.items() if value is not None}


def _type(text: str, special: set[str]) -> TokenType:
    if text.startswith("<0x"):
        return TokenType.BYTE
    return TokenType.CONTROL if text in special else TokenType.NORMAL


def write_fields(writer: gguf.GGUFWriter, fields: Mapping[str, Any]) -> None:
    """Write fields, each by the type of its value."""
    adders: dict[type, Callable[[str, Any], None]] = {
        bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string,
        list: writer.add_array,
    }  # fmt: skip
    for key, value in fields.items():
        adders[type(value)](key, value)


def write_gguf(
    path: Path,
    model: PreTrainedModel,
    tokenizer: Any,
    *,
    architecture: str | None = None,
    kind: Kind = Kind.F32,
    fields: Mapping[str, Any] | None = None,
    vocabulary: Mapping[str, Any] | None = None,
    left_out: Sequence[str] = (),
) -> Path:
    """Write a model as a GGUF file, and give it the weights that the file's decode to.

    Args:
        path: the file.
        model: of one of the architectures; its matrices are changed to what the file holds.
        tokenizer: with a byte-level or a sentencepiece BPE.
        architecture: llama.cpp's name; None takes the model's.
        kind: the format of matrices.
        fields: of the architecture, that replace or add to what the config says.
        vocabulary: the same for the tokenizer.
        left_out: names of tensors that the file shall lack.
    """
    config = model.config
    name = architecture or ARCHITECTURES.get(config.model_type, config.model_type)
    writer = gguf.GGUFWriter(path, name)
    write_fields(writer, {f"{name}.{key}": value for key, value in {**_fields(name, config), **(fields or {})}.items()})
    write_fields(writer, vocabulary_fields(tokenizer, **(vocabulary or {})))
    for tensor, array in {**_tensors(model, name, kind), **_rotary_tensors(config)}.items():
        if tensor not in left_out:
            data, raw = array if isinstance(array, tuple) else (array, None)
            writer.add_tensor(tensor, np.ascontiguousarray(data), raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@torch.no_grad()
def _tensors(model: PreTrainedModel, architecture: str, kind: Kind) -> dict[str, tuple[Array, Kind]]:
    """Return the file's tensors, after setting the model's to what they decode to."""
    config = model.config
    by_value = {value: key for key, value in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(by_value[architecture], config.num_hidden_layers)
    found: dict[str, tuple[Array, Kind]] = {}
    for number, (name, parameter) in enumerate(model.named_parameters()):
        ways = (
            names.get_name(one, try_suffixes=(".weight", ".bias")) for one in (name, name.removeprefix("transformer."))
        )
        gguf_name = next(one for one in ways if one is not None)
        there, back = _change(architecture, gguf_name, config)
        values = there(parameter.numpy().astype(np.float32))
        data, decoded = _encode(values, kind, number)
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(back(decoded))))
        found[gguf_name] = (data, kind if values.ndim > 1 and kind != Kind.F32 else Kind.F32)
    return found
