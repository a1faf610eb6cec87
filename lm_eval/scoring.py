"""Concept vectors → scores: both tests and the baseline, for all configurations that share a pass (SPEC §4, §5)."""

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from lm_eval.aggregation import TokenAggregation, aggregate_context
from lm_eval.config import RunConfig
from lm_eval.metrics import DocumentScores
from lm_eval.models.batching import BatchBudget
from lm_eval.models.decoder import Prompt, score_prompts
from lm_eval.models.encoder import Layer, Segment, VectorSpec, encode_segments
from lm_eval.models.families import resolve_layer
from lm_eval.models.loading import LanguageModel
from lm_eval.similarity import score_similarity
from lm_eval.tokenised import TokenisedDocument

Scores = list[list[DocumentScores]]
"""For each configuration, for each document."""
OnBatch = Callable[[int], None]


def context_spec(config: RunConfig, model: LanguageModel) -> VectorSpec:
    """Return which vectors of a segment a configuration's contexts are made of."""
    vectors = config.vectors
    if not config.is_segmented:  # the ordinary way, said in the terms of the experiment (SPEC §5)
        layer: Layer = model.num_layers if model.is_encoder_decoder else "E"
        return VectorSpec(layer, TokenAggregation("", "concat", None))
    layer = resolve_layer(vectors.encoding_layer, model.num_layers)
    return VectorSpec(layer, TokenAggregation.parse(str(vectors.word_agg_scheme), vectors.norm))


def choice_spec(config: RunConfig, model: LanguageModel) -> VectorSpec:
    """Return which vector of a choice `dist_sim` compares; what isn't set equals the context's."""
    vectors = config.vectors
    layer = resolve_layer(vectors.out_encoding_layer or vectors.encoding_layer, model.num_layers)
    scheme = vectors.out_word_agg_scheme or vectors.word_agg_scheme
    return VectorSpec(layer, TokenAggregation.parse(str(scheme), vectors.norm))


def _concept_vectors(
    configs: Sequence[RunConfig],
    model: LanguageModel,
    documents: Sequence[TokenisedDocument],
    budget: BatchBudget,
    on_batch: OnBatch,
) -> list[list[Float[Tensor, "vector dim"]]]:
    """Return the concept vectors of each document's context, for each configuration, from one pass."""
    specs = [context_spec(config, model) for config in configs]
    segments = [segment for document in documents for segment in document.context]
    vectors = encode_segments(model, segments, set(specs), budget, on_batch)
    return [
        [
            aggregate_context(
                [[vectors[segment][spec] for segment in sample] for sample in document.samples],
                config.vectors.segment_agg_scheme,
                config.vectors.example_agg_scheme,
                config.vectors.norm,
            )
            for document in documents
        ]
        for config, spec in zip(configs, specs, strict=True)
    ]


def score_similarities(
    configs: Sequence[RunConfig],
    model: LanguageModel,
    documents: Sequence[TokenisedDocument],
    budget: BatchBudget,
    on_batch: OnBatch,
) -> Scores:
    """Test 2: score each choice by the similarity of its vector to the context's."""
    contexts = _concept_vectors(configs, model, documents, budget, on_batch)
    specs = [choice_spec(config, model) for config in configs]
    segments = [choice for document in documents for choice in document.choices]
    vectors = encode_segments(model, segments, set(specs), budget, on_batch)

    def scores() -> Iterator[list[DocumentScores]]:
        for config, spec, of_config in zip(configs, specs, contexts, strict=True):
            similarity, example_agg = str(config.vectors.similarity_func), config.vectors.example_agg_scheme
            choices = [torch.cat([vectors[choice][spec] for choice in document.choices]) for document in documents]
            found = [score_similarity(c, x, similarity, example_agg) for c, x in zip(of_config, choices, strict=True)]
            yield [_collect(document, row.tolist()) for document, row in zip(documents, found, strict=True)]

    return list(scores())


def score_generations(
    configs: Sequence[RunConfig],
    model: LanguageModel,
    documents: Sequence[TokenisedDocument],
    budget: BatchBudget,
    on_batch: OnBatch,
) -> Scores:
    """Test 1 and ordinary scoring: score each choice by its log-probability behind the context."""
    contexts: Sequence[Sequence[tuple[int, ...] | Tensor]]
    if takes_tokens(configs[0], model):
        contexts = [[document.context[0].tokens for document in documents]] * len(configs)
    else:
        contexts = _concept_vectors(configs, model, documents, budget, on_batch)
    prompts = [
        Prompt(
            context=context,
            choices=tuple(choice.tokens for choice in document.choices),
            parameterless=config.vectors.decoding_scheme is not None,
        )
        for config, of_config in zip(configs, contexts, strict=True)
        for document, context in zip(documents, of_config, strict=True)
    ]
    found = iter(score_prompts(model, prompts, budget, on_batch))

    def collect(document: TokenisedDocument) -> DocumentScores:
        scores = next(found)
        return _collect(document, [s.log_probability for s in scores], tuple(s.is_exact_match for s in scores))

    return [[collect(document) for document in documents] for _ in configs]


def takes_tokens(config: RunConfig, model: LanguageModel) -> bool:
    """Whether the context goes in as tokens, in one sequence with the choice."""
    return not config.is_segmented and not model.is_encoder_decoder


def _collect(
    document: TokenisedDocument, scores: Sequence[float], is_exact_match: tuple[bool, ...] | None = None
) -> DocumentScores:
    original = document.document
    return DocumentScores(
        doc_id=original.doc_id, example=original.example, scores=tuple(scores), is_exact_match=is_exact_match
    )


def work_in_tokens(configs: Sequence[RunConfig], model: LanguageModel, documents: Sequence[TokenisedDocument]) -> int:
    """Return about how many tokens scoring will report, so that progress can be shown within a window of documents."""
    choices = sum(len(choice.tokens) for document in documents for choice in document.choices)
    segments: set[Segment] = {segment for document in documents for segment in document.context}
    if configs[0].model == "dist_sim":
        return choices + sum(len(segment.tokens) for segment in segments)
    if takes_tokens(configs[0], model):
        return choices * len(configs)
    return choices * len(configs) + sum(len(segment.tokens) for segment in segments)
