"""Rotary positions in place: GPT-NeoX turns a part of the components, and transformers copies all of them for that."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def _turn(part: Tensor, cos: Tensor, sin: Tensor) -> None:
    """Turn components by their position's angle, in place."""
    first, second = part.chunk(2, dim=-1)
    half = cos.shape[-1] // 2
    turned = first * cos[..., :half] - second * sin[..., :half]
    second.copy_(second * cos[..., half:] + first * sin[..., half:])
    first.copy_(turned)


def turn_in_place() -> Callable[[], None]:
    """Let GPT-NeoX turn queries and keys where they are, in inference mode alone; return what undoes that."""
    from transformers.models.gpt_neox import modeling_gpt_neox as module  # noqa: PLC0415  (for its family alone)

    copying: Callable[..., Any] = module.apply_rotary_pos_emb

    def apply(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int = 1) -> Any:  # noqa: ANN401
        if not torch.is_inference_mode_enabled():  # of another thread, which may need gradients
            return copying(q, k, cos, sin, unsqueeze_dim)
        cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
        for states in (q, k):
            _turn(states[..., : cos.shape[-1]], cos, sin)
        return q, k

    def undo() -> None:
        module.apply_rotary_pos_emb = copying

    module.apply_rotary_pos_emb = apply
    return undo
