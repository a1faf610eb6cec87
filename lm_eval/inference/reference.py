"""The reference implementation: one segment or one choice in a forward pass of its own, as transformers runs it.

No batches, no padding, no shared contexts; every hidden state and every logit is computed. No hooks either, but that by
which vectors enter at a block (DECODING_LAYER). What the batched passes are compared with on a user's own model: by
`--verify`, and by `lm_eval.inference.conformance`.
"""

from contextlib import nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from lm_eval.inference.injection import Placed, entering
from lm_eval.inference.parameterless import parameterless_decoder
from lm_eval.models.language_model import LanguageModel
from lm_eval.vectors.aggregation import aggregate_tokens
from lm_eval.vectors.spec import Segment, VectorSpec


def encode_segment(model: LanguageModel, segment: Segment, spec: VectorSpec) -> Float[Tensor, "vector dim"]:
    """Return the vectors of one segment, from all hidden states of a pass of its own."""
    tokens = torch.tensor([segment.tokens], device=model.device)
    embeddings = model.token_embeddings(tokens)
    if segment.offset:
        position = model.embed_positions(torch.tensor(segment.offset, device=model.device))
        front, rest = embeddings.tensor_split([segment.num_front], dim=1)
        embeddings = torch.cat([front, rest + position], dim=1)
    if spec.layer == "OE":
        states = model.output_matrix[tokens.to(model.output_matrix.device)]
    elif spec.layer == "E":
        states = embeddings
    else:
        inputs = {"input_ids": tokens} if model.reads_tokens else {"inputs_embeds": embeddings}
        output = model.encoder(**inputs, output_hidden_states=True)
        states = model.layers_of(output, embeddings)[spec.layer]
    states = states[:, segment.num_front :]
    mask = torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
    return aggregate_tokens(states, mask, [spec.reduction], model.activation)[spec.reduction].cpu()


def score_choice(
    model: LanguageModel,
    context: tuple[int, ...] | Float[Tensor, "vector dim"],
    choice: tuple[int, ...],
    *,
    front: tuple[int, ...] = (),
    bare: bool,
    layer: int | None = None,
) -> float:
    """Return the log-probability of one choice behind one context, with a pass of its own.

    Args:
        model: the model.
        context: token ids, or concept vectors in place of their embeddings; cut from the left where it is too long.
        choice: token ids.
        front: token ids in front of the context, which are kept.
        bare: whether attention without parameters replaces the decoder.
        layer: the block before which vectors enter a decoder-only model; None: they are its input embeddings.
    """
    targets = torch.tensor(choice, device=model.device)
    if not model.is_encoder_decoder:
        context = context[max(0, len(context) + len(front) + len(choice) - 1 - model.max_length) :]
    if model.reads_tokens and isinstance(context, tuple) and not bare:
        logits = model.network(torch.tensor([[*front, *context, *choice[:-1]]], device=model.device)).logits[0]
    else:
        vectors = torch.cat([_embed(model, front), _embed(model, context)]).unsqueeze(0)
        output = _run_encoder_decoder if model.is_encoder_decoder else _run_decoder_only
        entry = Placed.of([(0, len(front), context)]) if isinstance(context, Tensor) and layer is not None else None
        with nullcontext() if entry is None or layer is None else entering(model, layer, entry):
            logits = output(model, vectors, targets, bare=bare)
    logits = logits.float()[-len(choice) :].log_softmax(dim=-1)
    return float(logits.gather(1, targets.to(logits.device).unsqueeze(1)).sum())


def _embed(model: LanguageModel, context: tuple[int, ...] | Tensor) -> Float[Tensor, "vector dim"]:
    """Return vectors as they are, and the embeddings of tokens."""
    if isinstance(context, Tensor):
        return context.to(model.device, model.dtype)
    embeddings: Tensor = model.token_embeddings(torch.tensor(context, dtype=torch.long, device=model.device))
    return embeddings


def _run_decoder_only(model: LanguageModel, context: Tensor, targets: Tensor, *, bare: bool) -> Tensor:
    inputs = torch.cat([context, model.token_embeddings(targets).unsqueeze(0)], dim=1)
    inputs = inputs[:, :-1]
    if bare:
        seen = torch.ones(1, inputs.shape[1], inputs.shape[1], dtype=torch.bool, device=inputs.device).tril()
        return _project_bare(model, parameterless_decoder(inputs.float(), seen, model.num_layers))
    logits: Tensor = model.network(inputs_embeds=inputs).logits[0]
    return logits


def _run_encoder_decoder(model: LanguageModel, context: Tensor, targets: Tensor, *, bare: bool) -> Tensor:
    start = targets.new_tensor([model.start_token])
    inputs = torch.cat([start, targets[:-1]]).unsqueeze(0)
    if bare:
        queries = model.choice_embeddings(inputs).float()
        seen = torch.ones(1, len(targets), len(targets), dtype=torch.bool, device=inputs.device).tril()
        seen = torch.cat([seen.new_ones(1, len(targets), context.shape[1]), seen], dim=2)
        num_layers = len(model.decoder_blocks)
        return _project_bare(model, parameterless_decoder(queries, seen, num_layers, context.float()))
    encoded: Any = BaseModelOutput(last_hidden_state=context)
    logits: Tensor = model.network(encoder_outputs=encoded, decoder_input_ids=inputs).logits[0]
    return logits


def _project_bare(
    model: LanguageModel, hidden: Float[Tensor, "1 position dim"]
) -> Float[Tensor, "position vocabulary"]:
    return hidden[0].to(model.output_matrix.device) @ model.output_matrix.float().T
