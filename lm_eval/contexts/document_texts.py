"""A document as text, as a configuration's scheme cuts it: for samples that are kept, and for readers.

Knows nothing of tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lm_eval.config.run_config import RunConfig
from lm_eval.contexts.encoding_schemes import Context, build_context
from lm_eval.tasks.base import Task
from lm_eval.tasks.documents import Document


@dataclass(frozen=True, kw_only=True)
class DocumentTexts:
    """What a model gets of a document."""

    contexts: tuple[Context, ...]
    """One; one for each choice where choices have different contexts; none without a context."""
    choices: tuple[str, ...]
    gold: tuple[int, ...]

    @classmethod
    def of(cls, config: RunConfig, task: Task, document: Document) -> "DocumentTexts":
        """Cut a document by a configuration's scheme.

        Args:
            config: the configuration.
            task: its task.
            document: one of its documents.
        """
        example, scheme = document.example, config.encoding_scheme or "cross_encoding"
        queries = [example]
        if example.contexts:
            queries = [example.of_choice(index) for index in range(len(example.choices))]
        contexts = [
            build_context(task.dataset, query, document.shots, scheme, config.description)
            for query in queries
            if config.has_context
        ]
        return cls(contexts=tuple(contexts), choices=example.choices, gold=example.gold)

    def content(self) -> dict[str, Any]:
        """Return it as a result file states it: samples of segments, and the choices."""
        contexts = [[list(sample) for sample in context.samples] for context in self.contexts]
        several = len(contexts) > 1
        return {
            "contexts" if several else "context": contexts if several else (contexts[0] if contexts else []),
            "choices": list(self.choices),
        }


def with_texts(
    samples: Sequence[Mapping[str, Any]], config: RunConfig, task: Task, documents: Sequence[Document]
) -> list[dict[str, Any]]:
    """Return the samples of a result, each with its document's texts.

    Args:
        samples: a dict a document, with its `doc_id`.
        config: the configuration.
        task: its task.
        documents: those that it scores.
    """
    by_id = {document.doc_id: document for document in documents}
    return [{**sample, **DocumentTexts.of(config, task, by_id[sample["doc_id"]]).content()} for sample in samples]
