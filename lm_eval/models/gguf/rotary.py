"""Rotary positions of a GGUF file: transformers' `rope_parameters`, also those that stand in tensors alone.

Llama 3.1 and later scale frequencies by a rule of four numbers, LongRoPE by a list; GGUF keeps what comes out, in
tensors that transformers leaves unread.
"""

import math
from collections.abc import Mapping
from typing import Any

from lm_eval.models.gguf.fields import Fields

_BASE = 10_000.0
_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
"""Of all models that were published with this rule; the factor is the largest one in the tensor."""
_EXACT = 1e-4


def read_rotary(fields: Fields, head_dim: int) -> dict[str, Any]:
    """Return how positions are rotated.

    Args:
        fields: of the file.
        head_dim: components of a head.

    Raises:
        ConfigurationError: it can't be told from the file, or transformers has no such rule.
    """
    base = float(fields.find("rope.freq_base", _BASE))
    part = fields.number("rope.dimension_count", head_dim)
    rotary = {"rope_type": "default", "rope_theta": base, **_read_scaling(fields)}
    if part != head_dim:
        rotary["partial_rotary_factor"] = part / head_dim
    if fields.has("rope_freqs.weight"):
        rotary |= _llama3(fields, base, part)
    if fields.has("rope_factors_long.weight"):
        rotary |= _longrope(fields)
    return rotary


def _read_scaling(fields: Fields) -> dict[str, Any]:
    kind, factor = fields.find("rope.scaling.type", "none"), fields.find("rope.scaling.factor", 0.0)
    original = fields.find("rope.scaling.original_context_length")
    if kind == "linear" and factor not in (0.0, 1.0):
        return {"rope_type": "linear", "factor": float(factor)}
    if kind == "yarn":
        before = {} if original is None else {"original_max_position_embeddings": int(original)}
        return {"rope_type": "yarn", "factor": float(factor), **before}
    if kind not in ("none", "linear", "longrope"):
        raise fields.refusal("rope.scaling.type", "only none, linear, yarn and longrope can be loaded")
    return {}


def _llama3(fields: Fields, base: float, dim: int) -> dict[str, Any]:
    """Return the rule that makes the divisors of frequencies that the file holds."""
    stated = fields.header.values("rope_freqs.weight")
    rule: dict[str, Any] = {"rope_type": "llama3", "factor": max(stated), **_LLAMA3}
    made = [_divisor(base ** (-2 * place / dim), rule) for place in range(dim // 2)]
    if len(made) != len(stated) or any(
        not math.isclose(one, other, rel_tol=_EXACT) for one, other in zip(made, stated, strict=True)
    ):
        raise fields.refusal("rope.freq_base", "the frequencies in rope_freqs.weight follow no known rule")
    return rule


def _divisor(frequency: float, rule: Mapping[str, Any]) -> float:
    """Return what Llama 3.1 divides a frequency by."""
    factor, low, high = rule["factor"], rule["low_freq_factor"], rule["high_freq_factor"]
    turns = rule["original_max_position_embeddings"] * frequency / (2 * math.pi)
    if turns > high:
        return 1.0
    share = max(0.0, (turns - low) / (high - low))
    return float(1 / ((1 - share) / factor + share))


def _longrope(fields: Fields) -> dict[str, Any]:
    rotary = {
        "rope_type": "longrope",
        "long_factor": fields.header.values("rope_factors_long.weight"),
        "short_factor": fields.header.values("rope_factors_short.weight"),
        "original_max_position_embeddings": fields.number("rope.scaling.original_context_length"),
    }
    attention = fields.find("rope.scaling.attn_factor")
    return rotary if attention is None else {**rotary, "attention_factor": float(attention)}
