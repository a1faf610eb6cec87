"""Rotary positions in place: GPT-NeoX turns a part of the components, and transformers copies all of them for that."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor


def _turn(part: Tensor, cos: Tensor, sin: Tensor) -> None:
    """Turn components by their position's angle, in place."""
    first, second = part.chunk(2, dim=-1)
    half = cos.shape[-1] // 2
    turned = first * cos[..., :half] - second * sin[..., :half]
    second.copy_(second * cos[..., half:] + first * sin[..., half:])
    first.copy_(turned)


def _apply(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int = 1) -> tuple[Tensor, Tensor]:
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    for states in (q, k):
        _turn(states[..., : cos.shape[-1]], cos, sin)
    return q, k


@contextmanager
def rotary_in_place(network: Any) -> Iterator[None]:  # noqa: ANN401
    """Let a GPT-NeoX turn its queries and keys where they are; nothing changes for other networks.

    Only for passes without gradients.
    """
    if network.config.model_type != "gpt_neox":
        yield
        return
    from transformers.models.gpt_neox import modeling_gpt_neox as module  # noqa: PLC0415  (for its family alone)

    copying = module.apply_rotary_pos_emb
    module.apply_rotary_pos_emb = _apply
    try:
        yield
    finally:
        module.apply_rotary_pos_emb = copying
