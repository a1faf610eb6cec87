"""`DECODING_SCHEME=parameterless_attention`: a decoder of nothing but attention without parameters (experiment §5)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def parameterless_decoder(
    inputs: Float[Tensor, "batch query dim"],
    visible: Bool[Tensor, "batch query memory"],
    num_layers: int,
    context: Float[Tensor, "batch vector dim"] | None = None,
) -> Float[Tensor, "batch query dim"]:
    """Run layers of out = softmax(Q Mᵀ) M: unscaled, without projections, residuals, positions or norms.

    Args:
        inputs: what Q starts as, right-padded.
        visible: which of M's vectors each position attends to.
        num_layers: how often.
        context: an encoder-decoder's concept vectors, right-padded: then M = [context; Q], else M = Q.
    """
    for _ in range(num_layers):
        memory = inputs if context is None else torch.cat([context, inputs], dim=1)
        weights = (inputs @ memory.transpose(1, 2)).masked_fill(~visible, float("-inf")).softmax(dim=-1)
        inputs = weights @ memory
    return inputs
