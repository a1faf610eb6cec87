"""Padding hidden from T5's encoder by its relative position bias, which the first block makes for all others too.

An attention mask would do the same, but transformers joins mask and bias anew in every block.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from lm_eval.models.language_model import LanguageModel


@contextmanager
def padding_hidden(model: LanguageModel, mask: Bool[Tensor, "batch token"]) -> Iterator[None]:
    """Let an encoder that is called without attention mask see real tokens only.

    Args:
        model: an encoder-decoder with relative positions.
        mask: True at real tokens.
    """
    attention = attrgetter(str(model.family.relative_bias))(model.encoder)
    make_bias, own = attention.compute_bias, attention.__dict__.get("compute_bias")

    made = False

    def make_masked_bias(*args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401
        nonlocal made
        made = True
        bias: Tensor = make_bias(*args, **kwargs)
        if mask.is_cuda or not mask.all():  # to look at it would wait for the GPU
            bias = bias.masked_fill(~mask[:, None, None, :].to(bias.device), torch.finfo(bias.dtype).min)
        return bias.contiguous()

    attention.compute_bias = make_masked_bias
    try:
        yield
    finally:
        if own is None:
            del attention.compute_bias
        else:
            attention.compute_bias = own
    if not made:
        raise RuntimeError(
            "the encoder made no position bias, so its padding was not hidden; install another transformers"
        )
