"""From hidden states to logits, by the model's own code: it may scale, cap or shift what its output matrix gives.

The model's `forward` is run on hidden states that are there already, so that its own last steps apply to just the
positions that predict a choice's token, whatever these steps are (T5's and Cohere's scales, Gemma's caps, BART's bias).
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from lm_eval.models.language_model import LanguageModel


class _Given(BaseModelOutput):
    """What a stack gives: hidden states alone, and nothing of whatever else may be asked for."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__") or name == "to":  # accelerate moves whatever has it
            raise AttributeError(name)


@contextmanager
def _stack_gives(stack: nn.Module, hidden: Tensor) -> Iterator[None]:
    """Let a stack return given hidden states instead of running."""
    before = stack.__dict__.get("forward")  # accelerate puts one there
    stack.forward = lambda *_args, **_kwargs: _Given(last_hidden_state=hidden)
    try:
        yield
    finally:
        if before is None:
            del stack.forward
        else:
            stack.forward = before


def project(model: LanguageModel, hidden: Float[Tensor, "position dim"]) -> Float[Tensor, "position vocabulary"]:
    """Return the model's logits at positions whose last hidden states are given.

    Args:
        model: the language model.
        hidden: of the decoder's last layer, or of the only stack's.
    """
    states = hidden.unsqueeze(0)
    stacks = {id(stack): stack for stack in (model.decoder, model.network.get_decoder())}  # OPT's are two
    stacks.pop(id(model.output_head), None)  # what ModernBERT calls its decoder
    with ExitStack() as given:
        for stack in stacks.values():
            given.enter_context(_stack_gives(stack, states))
        if model.is_encoder_decoder:
            memory: Any = BaseModelOutput(last_hidden_state=states[:, :1])
            tokens = torch.zeros(states.shape[:2], dtype=torch.long, device=states.device)
            output = model.network(encoder_outputs=memory, decoder_input_ids=tokens, use_cache=False)
        else:
            output = model.network(inputs_embeds=states, use_cache=False)
    logits: Tensor = output.logits[0]
    return logits
