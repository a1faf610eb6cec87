"""What a model's config says of its attention and of its output, whatever its family."""

from collections.abc import Mapping
from typing import Any

_DECODERS, _ENCODER_DECODERS = ("ForCausalLM", "LMHeadModel"), ("ForConditionalGeneration", "ForSeq2SeqLM", "MTModel")
"""How the names of classes end that score text."""


def scores_text(config: Mapping[str, Any]) -> bool:
    """Whether a checkpoint's classes, where its config names any, have an output that predicts tokens."""
    classes = [str(one) for one in config.get("architectures") or ()]
    return not classes or any(one.endswith((*_DECODERS, *_ENCODER_DECODERS)) for one in classes)


def attends_both_ways(config: Mapping[str, Any]) -> bool:
    """Whether a decoder-only model's config says that positions see what is behind them, as in models of embeddings."""
    return config.get("is_causal") is False or config.get("use_bidirectional_attention") in (True, "all")


_IN_PART = ("window", "chunk", "sparse", "radius", "block_size")
"""What the names of config fields have in them that limit what is attended to."""


def attends_in_part(config: Any) -> bool:  # noqa: ANN401
    """Whether some layer may see a part of what stands before it: a window, a chunk, or a state in place of keys."""
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    names = (name for name in config.to_dict() if any(part in name for part in _IN_PART) and "layers" not in name)
    return bool(kinds) or any(getattr(config, name) for name in names)
