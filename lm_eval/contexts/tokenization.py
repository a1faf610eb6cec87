"""Tokenising the contexts and choices of documents (experiment §4.1).

The last module that sees text; from here on there are token ids and vectors.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from lm_eval.config.run_config import RunConfig
from lm_eval.contexts.encoding_schemes import Context, build_context
from lm_eval.contexts.joint_tokenization import encode_pairs, refuse_merging
from lm_eval.contexts.special_tokens import FrontTokens, tokenize_choices, tokenize_segments
from lm_eval.contexts.truncation import SegmentPlacer
from lm_eval.errors import RunError
from lm_eval.models.language_model import LanguageModel
from lm_eval.tasks.base import Task
from lm_eval.tasks.documents import Document
from lm_eval.vectors.spec import Samples, Segment

_Tokens = list[list[tuple[int, ...]]]
"""A context's tokens before truncation: for each sample, for each of its segments."""


@dataclass(frozen=True)
class TokenisedDocument:
    """A document in the model's tokens."""

    document: Document
    samples: Samples
    """The context; a single segment where it isn't segmented, none where choices are compared with one another."""
    choices: tuple[Segment, ...]
    parts: tuple["TokenisedDocument", ...] = ()
    """Where choices have different contexts: one document for each choice, whose samples and choices this one joins."""
    num_truncated: int = 0
    """Segments that were truncated, and contexts that are truncated together with their choices."""

    @property
    def context(self) -> tuple[Segment, ...]:
        """All segments of the context, in order."""
        return tuple(segment for sample in self.samples for segment in sample)


def _source(document: Document) -> str:
    """Return what to call a document in messages."""
    return document.example.source or f"document {document.doc_id}"


def takes_tokens(config: RunConfig, model: LanguageModel) -> bool:
    """Whether the context goes in as tokens, in one sequence with the choice (experiment §5)."""
    return config.model != "dist_sim" and not config.is_segmented and not model.is_encoder_decoder


def _by_context(document: Document) -> list[Document]:
    """Return the document, or one for each choice where choices have different contexts."""
    example = document.example
    if not example.contexts:
        return [document]
    return [replace(document, example=example.of_choice(index)) for index in range(len(example.choices))]


def _join(parts: list[TokenisedDocument], document: Document) -> TokenisedDocument:
    if not document.example.contexts:
        return parts[0]
    samples = tuple(sample for part in parts for sample in part.samples)
    choices = tuple(choice for part in parts for choice in part.choices)
    return TokenisedDocument(document, samples, choices, tuple(parts), sum(part.num_truncated for part in parts))


@dataclass
class Tokeniser:
    """Turns documents into tokens by the rules of one configuration."""

    model: LanguageModel
    config: RunConfig
    task: Task

    @cached_property
    def _placer(self) -> SegmentPlacer:
        cuts = not takes_tokens(self.config, self.model)
        return SegmentPlacer(self.model, self.config.vectors.add_pos, self.front.context, cuts)

    @cached_property
    def _choice_placer(self) -> SegmentPlacer:
        return SegmentPlacer(self.model, self.config.vectors.add_pos, self.front.choice)

    @cached_property
    def front(self) -> FrontTokens:
        """The tokens in front."""
        return FrontTokens.of(self.config, self.model)

    def __call__(self, documents: Sequence[Document]) -> list[TokenisedDocument]:
        """Tokenise documents together.

        Raises:
            RunError: a segment or choice without tokens, or an ADD_POS offset beyond the model's positions.
        """
        alone = [one for document in documents for one in _by_context(document)]
        tokenised = iter(self._tokenise(alone))
        return [_join([next(tokenised) for _ in _by_context(document)], document) for document in documents]

    def _tokenise(self, documents: Sequence[Document]) -> list[TokenisedDocument]:
        """Tokenise documents that have one context each."""
        if self.config.model == "hf":
            contexts, choices = self._pairs(documents)
        else:
            contexts, choices = self._contexts(documents), self._separate_choices(documents)
        tokenised = []
        for document, context in zip(documents, contexts, strict=True):
            source, before = _source(document), self._num_cut
            samples, end = self._place(context, source)
            one = TokenisedDocument(document, samples, self._choices(choices, document, end, source))
            num_truncated = self._num_cut - before + self._is_cut_with_choice(one)
            tokenised.append(replace(one, num_truncated=num_truncated) if num_truncated else one)
        return tokenised

    @property
    def _num_cut(self) -> int:
        return self._placer.num_truncated + self._choice_placer.num_truncated

    def _separate_choices(self, documents: Sequence[Document]) -> Iterator[tuple[int, ...]]:
        texts = [choice for document in documents for choice in document.example.choices]
        return iter(tokenize_choices(self.model, texts, are_segments=self.config.model == "dist_sim"))

    def refuse_merging(self, documents: Sequence[Document]) -> None:
        """Refuse documents with a choice that merges with its context, where both are tokenised together.

        Raises:
            RunError: a document has one; names it.
        """
        if self.config.model == "hf":
            alone = [one for document in documents for one in _by_context(document)]
            refuse_merging(self.model, *self._texts_of_pairs(alone))

    def _texts_of_pairs(self, documents: Sequence[Document]) -> tuple[list[tuple[str, str]], list[str]]:
        """Return the context and the text of each choice, and what to call it."""
        texts = ["".join(text for sample in context.samples for text in sample) for context in self._build(documents)]
        pairs, names = [], []
        for text, document in zip(texts, documents, strict=True):
            for index, choice in enumerate(document.example.choices):
                pairs.append((text, choice))
                names.append(f"{_source(document)}: choice {index}")
        return pairs, names

    def _pairs(self, documents: Sequence[Document]) -> tuple[list[_Tokens], Iterator[tuple[int, ...]]]:
        """Return contexts and choices as the upstream harness tokenises them."""
        tokens = encode_pairs(self.model, *self._texts_of_pairs(documents))
        contexts, position = [], 0
        for document in documents:
            contexts.append([[tokens[position][0]]])
            position += len(document.example.choices)
        return contexts, iter([choice for _, choice in tokens])

    def _contexts(self, documents: Sequence[Document]) -> list[_Tokens]:
        """Return the tokens of each document's context before truncation, as a list of samples of segments."""
        if not self.config.has_context:  # `dist_sim` compares choices with one another
            empty = [] if self.config.model == "dist_sim" else [[self.front.decoder or self.model.empty_context]]
            return [empty for _ in documents]
        contexts = self._build(documents)
        texts = [text for context in contexts for sample in context.samples for text in sample]
        segments = iter(tokenize_segments(self.model, texts))
        return [[[next(segments) for _ in sample] for sample in context.samples] for context in contexts]

    def _build(self, documents: Sequence[Document]) -> list[Context]:
        dataset = self.task.dataset
        scheme = self.config.encoding_scheme or "cross_encoding"
        return [
            build_context(dataset, document.example, document.shots, scheme, self.config.description)
            for document in documents
        ]

    def _place(self, samples: _Tokens, source: str) -> tuple[Samples, int]:
        """Truncate the segments of a context and give them offsets; also return the context's length in tokens."""
        if not samples and self.config.has_context:
            raise RunError(f"{source}: the context is empty; there is nothing to score the choices against")
        return self._placer.place(samples, source)

    def _choices(
        self, choices: Iterator[tuple[int, ...]], document: Document, end: int, source: str
    ) -> tuple[Segment, ...]:
        row = []
        for index in range(len(document.example.choices)):
            tokens = next(choices)
            if not tokens:
                raise RunError(f"{source}: choice {index} has no tokens, so it cannot be scored")
            if self.config.model == "dist_sim":
                row.append(self._choice_placer.make(tokens, end, source))
                continue
            most = self.model.max_length + 1 - max(1, len(self.front.decoder))
            if len(tokens) > most:
                raise RunError(f"{source}: choice {index} has {len(tokens)} tokens, but the model takes {most}")
            row.append(Segment(tokens))
        return tuple(row)

    def _is_cut_with_choice(self, document: TokenisedDocument) -> bool:
        if not takes_tokens(self.config, self.model):
            return False
        longest = max(len(choice.tokens) for choice in document.choices)
        front = len(self.front.decoder) if self.config.has_context else 0
        return front + len(document.context[0].tokens) + longest > self.model.max_length + 1


def refuse_unknown_tokens(model: LanguageModel, documents: Iterable[TokenisedDocument]) -> None:
    """Refuse documents with tokens that the model has no embedding of; a tokenizer may have more than the model.

    Raises:
        RunError: a document has some; names them.
    """
    size = len(model.token_embeddings.weight)  # type: ignore[arg-type]
    for document in documents:
        segments = (*document.context, *document.choices)
        unknown = sorted({token for segment in segments for token in segment.tokens if token >= size})
        if unknown:
            texts = ", ".join(f"{model.tokenizer.convert_ids_to_tokens(token)!r} ({token})" for token in unknown[:3])
            raise RunError(
                f"{_source(document.document)}: the tokenizer of {model.name} makes tokens of it that the model, with "
                f"{size} embeddings, doesn't know: {texts}; load the tokenizer that belongs to the model (tokenizer= "
                "in model_args)"
            )


def has_unknown_tokens(model: LanguageModel) -> bool:
    """Whether a model's tokenizer has tokens beyond the model's embeddings, which may or may not occur in data."""
    return len(model.tokenizer) > len(model.token_embeddings.weight)  # type: ignore[arg-type]


def count_tokens(document: TokenisedDocument) -> int:
    """Return the tokens of a document's context."""
    return sum(len(segment.tokens) for segment in document.context)
