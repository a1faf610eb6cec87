"""The activations of a model's MLP, in one kernel where transformers spells them out in several steps."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import activations
from transformers.models.bloom.modeling_bloom import BloomGelu

_SPELT_OUT = (activations.NewGELUActivation, activations.FastGELUActivation, BloomGelu)
"""All of them the GELU with the tanh, over half a dozen passes through memory."""


def fuse(activation: nn.Module) -> nn.Module:
    """Return the same function as one kernel, or the activation itself where it is one; equal to rounding."""
    return nn.GELU(approximate="tanh") if isinstance(activation, _SPELT_OUT) else activation


@contextmanager
def fused_activations(network: Any) -> Iterator[None]:  # noqa: ANN401
    """Exchange the activations of a network for fused ones, and put them back at the end."""
    places = [
        (parent, name, child)
        for parent in network.modules()
        for name, child in parent.named_children()
        if isinstance(child, _SPELT_OUT)
    ]
    for parent, name, child in places:
        setattr(parent, name, fuse(child))
    try:
        yield
    finally:
        for parent, name, child in places:
            setattr(parent, name, child)
