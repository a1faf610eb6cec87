"""What is in a GGUF file by the slow, obvious way: llama.cpp's rules in plain Python and numpy, without the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import gguf
import numpy as np

Array = np.ndarray


def sentencepiece_tokens(fields: Mapping[str, Any], text: str) -> list[int]:
    """Tokenise without special tokens: join the two neighbours whose joint piece scores best, the first of equals."""
    numbers = {piece: number for number, piece in reversed(list(enumerate(fields["tokenizer.ggml.tokens"])))}
    scores = fields["tokenizer.ggml.scores"]
    blank = " " if fields.get("tokenizer.ggml.add_space_prefix", True) else ""
    pieces = list((blank + text).replace(" ", "▁"))
    while True:
        joint = [(scores[numbers[a + b]], -at) for at, (a, b) in enumerate(pairwise(pieces)) if a + b in numbers]
        if not joint:
            break
        at = -max(joint)[1]
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
    spelt = [[piece] if piece in numbers else [f"<0x{byte:02X}>" for byte in piece.encode()] for piece in pieces]
    return [numbers[piece] for one in spelt for piece in one]


def llama_logits(path: str, tokens: Sequence[int]) -> Array:
    """Return a Llama's predictions behind each token, out of the file's own tensors: llama.cpp rotates neighbours."""
    reader = gguf.GGUFReader(path)
    tensors = {
        tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float64) for tensor in reader.tensors
    }

    def field(name: str) -> Any:
        return reader.fields[f"llama.{name}"].contents()

    heads, keys = field("attention.head_count"), field("attention.head_count_kv")
    epsilon = field("attention.layer_norm_rms_epsilon")
    states = tensors["token_embd.weight"][list(tokens)]

    def norm(states: Array, name: str) -> Array:
        return states / np.sqrt((states**2).mean(-1, keepdims=True) + epsilon) * tensors[f"{name}.weight"]

    def rotate(vectors: Array) -> Array:
        count, _, dim = vectors.shape
        angles = np.outer(np.arange(count), field("rope.freq_base") ** (-np.arange(0, dim, 2) / dim))[:, None]
        even, odd = vectors[..., ::2], vectors[..., 1::2]
        turned = even * np.cos(angles) - odd * np.sin(angles), even * np.sin(angles) + odd * np.cos(angles)
        return np.stack(turned, -1).reshape(vectors.shape)

    for layer in range(field("block_count")):
        at = f"blk.{layer}"
        inputs = norm(states, f"{at}.attn_norm")
        query, key, value = (
            (inputs @ tensors[f"{at}.attn_{which}.weight"].T).reshape(len(tokens), number, -1)
            for which, number in (("q", heads), ("k", keys), ("v", keys))
        )
        query, key = rotate(query), np.repeat(rotate(key), heads // keys, 1)
        weights = np.einsum("qhd,khd->hqk", query, key) / np.sqrt(query.shape[-1])
        weights = np.where(np.tri(len(tokens), dtype=bool), weights, -np.inf)
        weights = np.exp(weights - weights.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        mixed = np.einsum("hqk,khd->qhd", weights, np.repeat(value, heads // keys, 1)).reshape(len(tokens), -1)
        states = states + mixed @ tensors[f"{at}.attn_output.weight"].T
        inputs = norm(states, f"{at}.ffn_norm")
        gate = inputs @ tensors[f"{at}.ffn_gate.weight"].T
        inner = gate / (1 + np.exp(-gate)) * (inputs @ tensors[f"{at}.ffn_up.weight"].T)
        states = states + inner @ tensors[f"{at}.ffn_down.weight"].T
    head = tensors.get("output.weight", tensors["token_embd.weight"])
    logits: Array = norm(states, "output_norm") @ head.T
    return logits
