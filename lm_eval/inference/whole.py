"""Passes of whole networks, from the embeddings to the logits: for those that carry code of their user's (`given`).

Each choice has a row of its own, as transformers would run it; nothing is shared, cut short or put in another place, so
that whatever hangs on a module sees and changes what it would in an ordinary pass.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from lm_eval.models.language_model import LanguageModel

Logits = Float[Tensor, "batch position vocabulary"]


def run_decoder_only(model: LanguageModel, inputs: Mapping[str, Tensor]) -> Logits:
    """Return the logits of right-padded rows.

    Args:
        model: a decoder-only model.
        inputs: `input_ids`, or `inputs_embeds`.
    """
    logits: Tensor = model.network(**inputs, use_cache=False).logits
    return logits.to(model.device)


def run_encoder_decoder(
    model: LanguageModel,
    tokens: Int[Tensor, "batch position"],
    memory: Float[Tensor, "batch vector dim"],
    mask: Bool[Tensor, "batch vector"],
) -> Logits:
    """Return the logits of the decoder.

    Args:
        model: an encoder-decoder.
        tokens: what goes into the decoder, right-padded.
        memory: what stands in for the encoder's output, right-padded.
        mask: which of it is no padding.
    """
    encoded: Any = BaseModelOutput(last_hidden_state=memory)
    output = model.network(
        encoder_outputs=encoded, attention_mask=mask.to(torch.long), decoder_input_ids=tokens, use_cache=False
    )
    logits: Tensor = output.logits
    return logits.to(tokens.device)


def given(_model: LanguageModel, logits: Float[Tensor, "position vocabulary"]) -> Float[Tensor, "position vocabulary"]:
    """Return logits that are there already."""
    return logits
