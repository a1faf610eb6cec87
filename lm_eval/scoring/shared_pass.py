"""`SharedPass`: score documents for all configurations that share a pass, in both tests (experiment §4, §5)."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from lm_eval.config.run_config import RunConfig
from lm_eval.config.settings import VectorSettings
from lm_eval.contexts.special_tokens import FrontTokens, count_text_tokens
from lm_eval.contexts.tokenization import TokenisedDocument, takes_tokens
from lm_eval.inference.batching import Batcher
from lm_eval.inference.decoder import ChoiceScore, Prompt, score_prompts
from lm_eval.inference.encoder import SegmentEncoder
from lm_eval.inference.injection import refuse_unhidden
from lm_eval.models.language_model import LanguageModel
from lm_eval.results.identity import Run
from lm_eval.results.provenance import PassRecord
from lm_eval.scoring.metrics import DocumentScores
from lm_eval.vectors.aggregation import Contexts, Reduction
from lm_eval.vectors.compression import Compression
from lm_eval.vectors.pipeline import Recipe
from lm_eval.vectors.similarity import Compared, score_similarity
from lm_eval.vectors.spec import Segment, Vectors, VectorSpec

OnBatch = Callable[[int], None]
Scored = tuple[int, list[DocumentScores]]
"""The index of a configuration among those that share the pass, and its scores of a window of documents."""


def choice_spec(config: RunConfig, model: LanguageModel) -> VectorSpec:
    """Return which vector of a choice `dist_sim` compares; what isn't set equals the context's."""
    vectors = config.vectors
    layer = vectors.choice_layer.resolve(model.num_layers)
    return VectorSpec(layer, Reduction.of(vectors.choice_aggregation, vectors.norm))


def entry_layer(vectors: VectorSettings, model: LanguageModel) -> int | None:
    """Return the block before which vectors enter a model; None where they are its input embeddings."""
    layer = None if vectors.entry_layer is None else vectors.entry_layer.resolve(model.num_layers, "DECODING_LAYER")
    return layer if isinstance(layer, int) else None


@dataclass(frozen=True, kw_only=True)
class SharedPass:
    """The forward passes that configurations share, for one window of documents after another."""

    runs: Sequence[Run]
    """Runs with equal `pass_key` and tokens in front."""
    model: LanguageModel
    batcher: Batcher
    max_kept_bytes: int
    """Bytes of segment vectors that are kept from one window to the next."""
    record: PassRecord
    """Records the time of encoding."""
    compression: dict[int, Compression] = field(default_factory=dict)
    """What the contexts of each configuration became, by its index; configurations may share one."""
    _tried: set[int] = field(default_factory=set)

    def anew(self) -> "SharedPass":
        """Return the same pass with empty caches, for another block of documents."""
        return replace(self, compression={})

    def score(self, documents: Sequence[TokenisedDocument], on_batch: OnBatch) -> Iterator[Scored]:
        """Score a window of documents for each configuration.

        Args:
            documents: the window.
            on_batch: called with the tokens of each finished batch, `work_in_tokens` in total.
        """
        if self._first.is_segmented:
            self._measure_compression(_parts(documents))
        if self._first.model == "dist_sim":
            return self._score_similarities(documents, on_batch)
        return self._score_generations(documents, on_batch)

    @property
    def _first(self) -> RunConfig:
        """The first configuration; settings that all share are read from it."""
        return self.runs[0].config

    @cached_property
    def _by_recipe(self) -> list[tuple[Recipe, list[int]]]:
        """The distinct recipes, each with the indices of its configurations."""
        indices: dict[Recipe, list[int]] = defaultdict(list)
        for index, run in enumerate(self.runs):
            indices[Recipe.of(run.form, self.model)].append(index)
        return list(indices.items())

    @cached_property
    def _by_decoding(self) -> dict[tuple[Recipe, bool, int | None], list[int]]:
        """The indices of configurations by what is decoded: which vectors, in which way, from which block."""
        wanted: dict[tuple[Recipe, bool, int | None], list[int]] = defaultdict(list)
        for recipe, indices in self._by_recipe:
            for index in indices:
                vectors = self.runs[index].config.vectors
                wanted[recipe, vectors.decoding_scheme is not None, entry_layer(vectors, self.model)].append(index)
        return wanted

    @cached_property
    def _encode(self) -> SegmentEncoder:
        specs = {recipe.spec for recipe, _ in self._by_recipe}
        return SegmentEncoder(self.model, specs, self.batcher, self.max_kept_bytes)

    @cached_property
    def _encode_choices(self) -> SegmentEncoder:
        specs = {choice_spec(run.config, self.model) for run in self.runs}
        return SegmentEncoder(self.model, specs, self.batcher, 0)

    def _measure_compression(self, documents: Sequence[TokenisedDocument]) -> None:
        """Count the tokens of contexts, and the vectors that each recipe makes of them; alike ones are counted once."""
        alike: dict[tuple[object, ...], list[tuple[Recipe, list[int]]]] = defaultdict(list)
        for recipe, indices in self._by_recipe:
            alike[recipe.shape].append((recipe, indices))
        numbers = [count_text_tokens(self.model, document.context) for document in documents]
        for recipes in alike.values():
            recipe, first = recipes[0][0], recipes[0][1][0]
            found = self.compression.setdefault(first, Compression())
            for document, number in zip(documents, numbers, strict=True):
                found.add(number, recipe.num_of_context(document.samples))
            self.compression.update((index, found) for _, indices in recipes for index in indices)

    def _score_similarities(self, documents: Sequence[TokenisedDocument], on_batch: OnBatch) -> Iterator[Scored]:
        """Test 2: score each choice by the similarity of its vector to the context's."""
        whole, documents = documents, _parts(documents)
        numbers = [len(document.parts) or 1 for document in whole]
        with self.record.phase("encode"):
            vectors = self._encode([segment for document in documents for segment in document.context], on_batch)
            choices_of = [choice for document in documents for choice in document.choices]
            of_choices = self._encode_choices(choices_of, on_batch)
        counts = torch.tensor([len(document.choices) for document in documents])
        choices = {
            spec: Contexts(torch.cat([of_choices[c][spec] for document in documents for c in document.choices]), counts)
            for spec in self._encode_choices.specs
        }
        for contexts, indices in self._compared(documents, vectors, choices):
            for index in indices:
                config = self.runs[index].config
                similarity, example_agg = config.vectors.similarity, config.vectors.example_agg_scheme
                compared = choices[choice_spec(config, self.model)]
                rows = score_similarity(contexts, compared, similarity, example_agg, numbers)
                yield index, [_collect_compared(d, row) for d, row in zip(whole, rows, strict=True)]

    def _compared(
        self,
        documents: Sequence[TokenisedDocument],
        vectors: dict[Segment, Vectors],
        choices: dict[VectorSpec, Contexts],
    ) -> Iterator[tuple[Contexts, list[int]]]:
        """Yield the vectors that choices are compared with, and the indices of the configurations that use them."""
        if self._first.has_context:
            samples = [document.samples for document in documents]
            yield from ((recipe.make(samples, vectors), indices) for recipe, indices in self._by_recipe)
            return
        for index, run in enumerate(self.runs):
            yield choices[choice_spec(run.config, self.model)].means(), [index]

    def _score_generations(self, documents: Sequence[TokenisedDocument], on_batch: OnBatch) -> Iterator[Scored]:
        """Test 1 and ordinary scoring: score each choice by its log-probability after the context."""
        whole, documents = documents, _parts(documents)
        wanted = self._by_decoding
        if self.model.family.is_generic or self.model.care is not None:
            self._try_entries({layer for _, _, layer in wanted if layer is not None})
        front = FrontTokens.of(self._first, self.model).decoder if self._first.has_context else ()
        prompts = [
            Prompt(
                front=front,
                context=context,
                choices=tuple(choice.tokens for choice in document.choices),
                parameterless=bare,
                layer=layer,
            )
            for (_, bare, layer), contexts in zip(wanted, self._make_contexts(wanted, documents, on_batch), strict=True)
            for document, context in zip(documents, contexts, strict=True)
        ]
        prompt_scores = iter(score_prompts(self.model, prompts, self.batcher, on_batch))
        for indices in wanted.values():
            scores = [
                _collect_choices(document, [s for _ in document.parts or (document,) for s in next(prompt_scores)])
                for document in whole
            ]
            yield from ((index, scores) for index in indices)

    def _try_entries(self, layers: set[int]) -> None:
        """See once that vectors can enter the model at these blocks."""
        for layer in layers - self._tried:
            refuse_unhidden(self.model, layer)
            self._tried.add(layer)

    def _make_contexts(
        self,
        wanted: Iterable[tuple[Recipe, bool, int | None]],
        documents: Sequence[TokenisedDocument],
        on_batch: OnBatch,
    ) -> list[Sequence[tuple[int, ...] | Tensor]]:
        if takes_tokens(self._first, self.model):
            return [[document.context[0].tokens for document in documents] for _ in wanted]
        with self.record.phase("encode"):
            vectors = self._encode([segment for document in documents for segment in document.context], on_batch)
        samples = [document.samples for document in documents]
        made = {recipe: recipe.make(samples, vectors).split() for recipe, _ in self._by_recipe}
        return [made[recipe] for recipe, *_ in wanted]

    def work_in_tokens(self, documents: Sequence[TokenisedDocument]) -> int:
        """Estimate how many tokens scoring a window will report, to show progress within it."""
        choices = sum(len(choice.tokens) for document in documents for choice in document.choices)
        segments: set[Segment] = {segment for document in documents for segment in document.context}
        encoded = sum(len(segment.tokens) for segment in segments)
        if self._first.model == "dist_sim":
            return choices + encoded
        if takes_tokens(self._first, self.model):
            return choices
        return choices * len(self._by_decoding) + encoded

    def bytes_held(self, document: TokenisedDocument) -> int:
        """Estimate the bytes that a document's vectors take."""
        if takes_tokens(self._first, self.model):
            return 0
        size = {
            recipe: sum(recipe.num_vectors(segment.num_kept) for segment in document.context)
            for recipe, _ in self._by_recipe
        }
        numbers = sum({recipe.spec: count for recipe, count in size.items()}.values())
        if self._first.model == "dist_sim":  # the contexts of one recipe after the other
            numbers += max(size.values()) + len(self._encode_choices.specs) * len(document.choices)
        else:
            numbers += sum(size.values())
        return 4 * self.model.hidden_size * numbers


def _parts(documents: Sequence[TokenisedDocument]) -> list[TokenisedDocument]:
    """Return documents with one context each: the parts of a document whose choices have different contexts."""
    return [part for document in documents for part in document.parts or (document,)]


def _collect(
    document: TokenisedDocument, scores: Sequence[float], is_exact_match: tuple[bool, ...] | None = None
) -> DocumentScores:
    original = document.document
    return DocumentScores(
        doc_id=original.doc_id, example=original.example, scores=tuple(scores), is_exact_match=is_exact_match
    )


def _collect_compared(document: TokenisedDocument, compared: Compared) -> DocumentScores:
    return replace(_collect(document, compared.scores.tolist()), similarities=tuple(compared.similarities.tolist()))


def _collect_choices(document: TokenisedDocument, scores: Sequence[ChoiceScore]) -> DocumentScores:
    return _collect(document, [s.log_probability for s in scores], tuple(s.is_exact_match for s in scores))
