"""`--verify N`: score the first documents of a run again in the plain way, and compare.

The plain way: one segment or choice at a time, each with a complete forward pass of the model as transformers runs it;
no batches, no padding, no shared contexts, no hooks, every logit computed. Only the arithmetic on vectors is shared.
"""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lm_eval.common.text import count_of
from lm_eval.config.run_config import RunConfig
from lm_eval.contexts.special_tokens import FrontTokens
from lm_eval.contexts.tokenization import TokenisedDocument, Tokeniser, takes_tokens
from lm_eval.errors import RunError
from lm_eval.inference.reference import encode_segment, score_choice
from lm_eval.inference.untouched import untouched
from lm_eval.models.language_model import LanguageModel
from lm_eval.results.identity import Run
from lm_eval.scoring.metrics import DocumentScores
from lm_eval.scoring.shared_pass import choice_spec, entry_layer
from lm_eval.tasks.documents import Document
from lm_eval.vectors.aggregation import Contexts, aggregate_contexts
from lm_eval.vectors.pipeline import context_spec
from lm_eval.vectors.similarity import score_similarity


@dataclass(kw_only=True)
class Verification:
    """How much a run's scores differ from those of the plain way."""

    num_documents: int = 0
    largest_difference: float = 0.0
    """Largest difference of a score; relative where the score is larger than 1."""
    flipped: list[int] = field(default_factory=list)
    """The `doc_id` of documents whose best choice differs."""

    def compare(self, doc_id: int, scores: Sequence[float], plain: Sequence[float]) -> None:
        """Compare the scores of a document.

        Raises:
            RunError: a score of the plain way is not a number.
        """
        if not all(map(math.isfinite, plain)):
            raise RunError(
                f"document {doc_id}: the plain way scores its choices {list(plain)}, which are not all numbers"
            )
        self.num_documents += 1
        differences = (abs(a - b) / max(1.0, abs(b)) for a, b in zip(scores, plain, strict=True))
        self.largest_difference = max(self.largest_difference, *differences)
        if scores.index(max(scores)) != plain.index(max(plain)):
            self.flipped.append(doc_id)

    def __str__(self) -> str:
        flipped = f"different answers for documents {self.flipped}" if self.flipped else "the same answers"
        documents = count_of(self.num_documents, "document")
        return f"verified {documents} the plain way: largest difference {self.largest_difference:.1e}, {flipped}"


def verify(
    run: Run, model: LanguageModel, documents: Sequence[Document], scores: Sequence[DocumentScores]
) -> Verification:
    """Score documents in the plain way and compare.

    Args:
        run: the run.
        model: its model.
        documents: the run's first documents.
        scores: the run's scores of them, in the same order.
    """
    verification, tokenise = Verification(), Tokeniser(model, run.config, run.task)
    with nullcontext() if model.care is None else untouched(model.network), torch.inference_mode():
        for document, scored in zip(documents, scores, strict=True):
            (tokenised,) = tokenise([document])
            verification.compare(document.doc_id, list(scored.scores), _score(run.config, model, tokenised))
    return verification


def _score(config: RunConfig, model: LanguageModel, document: TokenisedDocument) -> list[float]:
    parts = document.parts or (document,)
    if config.model == "dist_sim":
        return _score_similarity(config, model, parts)
    return [score for part in parts for score in _score_generation(config, model, part)]


def _score_similarity(config: RunConfig, model: LanguageModel, parts: Sequence[TokenisedDocument]) -> list[float]:
    spec, vectors = choice_spec(config, model), config.vectors
    choices = torch.cat([encode_segment(model, choice, spec) for part in parts for choice in part.choices])
    compared = Contexts(choices, torch.tensor([len(part.choices) for part in parts]))
    if config.has_context:
        made = [_make_context(config, model, part) for part in parts]
        contexts = Contexts(torch.cat([one.vectors for one in made]), torch.cat([one.counts for one in made]))
    else:
        contexts = compared.means()
    similarity, example_agg = vectors.similarity, vectors.example_agg_scheme
    (row,) = score_similarity(contexts, compared, similarity, example_agg, [len(parts)])
    return [float(score) for score in row.scores]


def _score_generation(config: RunConfig, model: LanguageModel, document: TokenisedDocument) -> list[float]:
    context: tuple[int, ...] | Tensor = document.context[0].tokens
    if not takes_tokens(config, model):
        context = _make_context(config, model, document).vectors
    bare = config.vectors.decoding_scheme is not None
    front = FrontTokens.of(config, model).decoder if config.has_context else ()
    layer = entry_layer(config.vectors, model)
    return [
        score_choice(model, context, choice.tokens, front=front, bare=bare, layer=layer) for choice in document.choices
    ]


def _make_context(config: RunConfig, model: LanguageModel, document: TokenisedDocument) -> Contexts:
    spec, vectors = context_spec(config, model), config.vectors
    samples = [torch.cat([encode_segment(model, segment, spec) for segment in sample]) for sample in document.samples]
    return aggregate_contexts(
        torch.cat(samples),
        torch.tensor([len(sample) for sample in samples]),
        torch.tensor([len(samples)]),
        segment_agg=vectors.segment_agg_scheme,
        example_agg=vectors.example_agg_scheme,
        norm=vectors.norm,
    )
