"""The logit lens: which tokens' rows of the output matrix lie nearest to a vector of any layer (experiment §10).

What goes from the last block to the last hidden state is the model's own code, which its vectors go through by an
intervention: they replace what the last block gives. Those of the last layer have been through it already.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lm_eval.config.layer import ResolvedLayer
from lm_eval.inference.interventions import changing_last_block
from lm_eval.inference.token_scores import project_bare
from lm_eval.models.language_model import LanguageModel

Nearest = list[tuple[str, float]]
"""Tokens as texts, the nearest first, and their dot products with the vector."""


@torch.inference_mode()
def nearest_tokens(
    model: LanguageModel, vectors: Mapping[ResolvedLayer, Float[np.ndarray, "vector dim"]], number: int
) -> dict[ResolvedLayer, list[Nearest]]:
    """Return for each vector the tokens whose rows of the output matrix have the largest dot products with it.

    Args:
        model: the model.
        vectors: of each layer.
        number: of tokens for each.
    """
    finished = _finish(model, {layer: rows for layer, rows in vectors.items() if layer != model.num_layers})
    found: dict[ResolvedLayer, list[Nearest]] = {}
    for layer, rows in vectors.items():
        states = finished[layer] if layer in finished else _as_states(model, rows)
        products, tokens = project_bare(model, states).topk(number, dim=1)
        texts = (model.tokenizer.batch_decode([[token] for token in row]) for row in tokens.tolist())
        found[layer] = [list(zip(*pair, strict=True)) for pair in zip(texts, products.tolist(), strict=True)]
    return found


def _as_states(model: LanguageModel, rows: Float[np.ndarray, "vector dim"]) -> Float[Tensor, "vector dim"]:
    return torch.as_tensor(rows, dtype=torch.float32, device=model.device)


def _finish(model: LanguageModel, vectors: Mapping[ResolvedLayer, np.ndarray]) -> dict[ResolvedLayer, Tensor]:
    """Return what the last hidden states would be if the last block gave these vectors."""
    if not vectors:
        return {}
    states = torch.cat([_as_states(model, rows) for rows in vectors.values()]).unsqueeze(1)
    tokens = torch.zeros(states.shape[:2], dtype=torch.long, device=model.device)
    arguments = {} if model.is_encoder_decoder else {"use_cache": False}
    with changing_last_block(model, lambda hidden: states.to(hidden.device, hidden.dtype)):
        last: Tensor = model.encoder(tokens, **arguments).last_hidden_state
    parts = last[:, 0].float().split([len(rows) for rows in vectors.values()])
    return dict(zip(vectors, parts, strict=True))
