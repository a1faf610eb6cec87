"""`--verify N`: the first documents of a run once more, in the plain way, to be held against what the engine found.

The plain way: a segment and a choice at a time, each with a whole forward pass of the model as transformers runs it; no
batches, no padding, no shared contexts, no hooks, every logit computed. Only the arithmetic on vectors is the engine's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from lm_eval.aggregation import Contexts, aggregate_contexts, aggregate_tokens
from lm_eval.config import RunConfig
from lm_eval.documents import Document
from lm_eval.metrics import DocumentScores
from lm_eval.models.encoder import Segment, VectorSpec
from lm_eval.models.loading import LanguageModel
from lm_eval.models.parameterless import parameterless_decoder
from lm_eval.scoring import choice_spec, context_spec
from lm_eval.similarity import score_similarity
from lm_eval.tokenised import TokenisedDocument, Tokeniser, takes_tokens


@dataclass(kw_only=True)
class Verification:
    """How far a run's scores are from the plain way's."""

    num_documents: int = 0
    largest_difference: float = 0.0
    """Of a score; relative where the score is larger than 1."""
    flipped: list[int] = field(default_factory=list)
    """Documents, by `doc_id`, whose best choice is another."""

    def compare(self, doc_id: int, scores: Sequence[float], plain: Sequence[float]) -> None:
        """Take a document's scores."""
        self.num_documents += 1
        differences = (abs(a - b) / max(1.0, abs(b)) for a, b in zip(scores, plain, strict=True))
        self.largest_difference = max(self.largest_difference, *differences)
        if scores.index(max(scores)) != plain.index(max(plain)):
            self.flipped.append(doc_id)

    def __str__(self) -> str:
        flipped = f"other answers for documents {self.flipped}" if self.flipped else "no other answer"
        documents = f"{self.num_documents} documents"
        return f"verified {documents} the plain way: largest difference {self.largest_difference:.1e}, {flipped}"


@torch.inference_mode()
def verify(
    config: RunConfig, model: LanguageModel, documents: Sequence[Document], found: Sequence[DocumentScores]
) -> Verification:
    """Score documents in the plain way and compare.

    Args:
        config: the configuration of the run.
        model: its model.
        documents: the run's first documents.
        found: what the run found about them, in the same order.
    """
    verification, tokenise = Verification(), Tokeniser(model, config)
    for document, scores in zip(documents, found, strict=True):
        (tokenised,) = tokenise([document])
        verification.compare(document.doc_id, list(scores.scores), _score(config, model, tokenised))
    return verification


def _score(config: RunConfig, model: LanguageModel, document: TokenisedDocument) -> list[float]:
    parts = document.parts or (document,)
    if config.model == "dist_sim":
        return _score_similarity(config, model, parts)
    return [score for part in parts for score in _score_generation(config, model, part)]


def _score_similarity(config: RunConfig, model: LanguageModel, parts: Sequence[TokenisedDocument]) -> list[float]:
    spec, vectors = choice_spec(config, model), config.vectors
    choices = torch.cat([_encode(model, choice, spec) for part in parts for choice in part.choices])
    compared = Contexts(choices, torch.tensor([len(part.choices) for part in parts]))
    if config.has_context:
        made = [_make_context(config, model, part) for part in parts]
        contexts = Contexts(torch.cat([one.vectors for one in made]), torch.cat([one.counts for one in made]))
    else:
        contexts = compared.means()
    similarity, example_agg = str(vectors.similarity_func), vectors.example_agg_scheme
    (row,) = score_similarity(contexts, compared, similarity, example_agg, [len(parts)])
    return [float(score) for score in row]


def _score_generation(config: RunConfig, model: LanguageModel, document: TokenisedDocument) -> list[float]:
    if takes_tokens(config, model):
        context = model.token_embeddings(torch.tensor(document.context[0].tokens, device=model.device))
    else:
        context = _make_context(config, model, document).vectors
    bare = config.vectors.decoding_scheme is not None
    return [_log_probability(model, context, choice.tokens, bare=bare) for choice in document.choices]


def _make_context(config: RunConfig, model: LanguageModel, document: TokenisedDocument) -> Contexts:
    spec, vectors = context_spec(config, model), config.vectors
    samples = [torch.cat([_encode(model, segment, spec) for segment in sample]) for sample in document.samples]
    return aggregate_contexts(
        torch.cat(samples),
        torch.tensor([len(sample) for sample in samples]),
        torch.tensor([len(samples)]),
        segment_agg=vectors.segment_agg_scheme,
        example_agg=vectors.example_agg_scheme,
        norm=vectors.norm,
    )


def _encode(model: LanguageModel, segment: Segment, spec: VectorSpec) -> Float[Tensor, "vector dim"]:
    """Return the vectors of one segment, from all hidden states of a pass of its own."""
    tokens = torch.tensor([segment.tokens], device=model.device)
    embeddings = model.token_embeddings(tokens)
    if segment.offset:
        embeddings = embeddings + model.position_embedding(torch.tensor(segment.offset, device=model.device))
    if spec.layer == "OE":
        states = model.output_matrix[tokens.to(model.output_matrix.device)]
    elif spec.layer == "E":
        states = embeddings
    else:
        states = model.encoder(inputs_embeds=embeddings, output_hidden_states=True).hidden_states[spec.layer]
    mask = torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
    return aggregate_tokens(states, mask, [spec.aggregation], model.activation)[spec.aggregation].cpu()


def _log_probability(
    model: LanguageModel, context: Float[Tensor, "vector dim"], choice: tuple[int, ...], *, bare: bool
) -> float:
    """Return the log-probability of one choice behind one context, with a pass of its own."""
    targets = torch.tensor(choice, device=model.device)
    context = context.to(model.device, model.dtype).unsqueeze(0)
    output = _run_encoder_decoder if model.is_encoder_decoder else _run_decoder_only
    logits = output(model, context, targets, bare=bare).float()[-len(choice) :].log_softmax(dim=-1)
    return float(logits.gather(1, targets.to(logits.device).unsqueeze(1)).sum())


def _run_decoder_only(model: LanguageModel, context: Tensor, targets: Tensor, *, bare: bool) -> Tensor:
    inputs = torch.cat([context, model.token_embeddings(targets).unsqueeze(0)], dim=1)
    inputs = inputs[:, -(model.max_length + 1) :][:, :-1]
    if bare:
        seen = torch.ones(1, inputs.shape[1], inputs.shape[1], dtype=torch.bool, device=inputs.device).tril()
        return _project_bare(model, parameterless_decoder(inputs.float(), seen, model.num_layers))
    logits: Tensor = model.network(inputs_embeds=inputs).logits[0]
    return logits


def _run_encoder_decoder(model: LanguageModel, context: Tensor, targets: Tensor, *, bare: bool) -> Tensor:
    start = targets.new_tensor([model.network.config.decoder_start_token_id])
    inputs = torch.cat([start, targets[:-1]]).unsqueeze(0)
    if bare:
        queries = model.token_embeddings(inputs).float()
        seen = torch.ones(1, len(targets), len(targets), dtype=torch.bool, device=inputs.device).tril()
        seen = torch.cat([seen.new_ones(1, len(targets), context.shape[1]), seen], dim=2)
        num_layers = len(model.network.get_decoder().block)
        return _project_bare(model, parameterless_decoder(queries, seen, num_layers, context.float()))
    encoded: Any = BaseModelOutput(last_hidden_state=context)
    logits: Tensor = model.network(encoder_outputs=encoded, decoder_input_ids=inputs).logits[0]
    return logits


def _project_bare(
    model: LanguageModel, hidden: Float[Tensor, "1 position dim"]
) -> Float[Tensor, "position vocabulary"]:
    return hidden[0].to(model.output_matrix.device) @ model.output_matrix.float().T
