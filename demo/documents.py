"""Documents as the models read them: a context, its possible answers, and shots before it.

The text follows the harness: a story's query and " " + ending, or a question with the hint "Answer:" and " " + answer;
shots are joined by an empty line, and the last answer is tokenised apart from its context.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from random import Random

from demo.facts import Question
from demo.world import Story, tell_story

DELIMITER = "\n\n"
"""Text between two shots."""


def seeded(seed: int) -> Random:
    """Return a source of repeatable choices."""
    return Random(seed)


@dataclass(frozen=True, kw_only=True)
class Document:
    """A context and its possible answers."""

    context: str
    """Text before the answer."""
    choices: tuple[str, ...]
    """Answers as scored, each with its leading blank."""
    gold: int
    """Index of the answer that a shot shows."""

    @property
    def answer(self) -> str:
        """The answer that a shot shows."""
        return self.choices[self.gold]


def story_document(story: Story) -> Document:
    """Return a story as the models read it."""
    return Document(context=story.query, choices=tuple(f" {ending}" for ending in story.endings), gold=story.label)


def question_document(question: Question) -> Document:
    """Return a question as the models read it."""
    context = f"Question: {question.question}\nAnswer:"
    return Document(context=context, choices=tuple(f" {answer}" for answer in question.answers), gold=0)


def context_with_shots(shots: Sequence[Document], document: Document) -> str:
    """Return the document's context behind its shots."""
    return DELIMITER.join([*(shot.context + shot.answer for shot in shots), document.context])


def story_stream(rng: Random, excluded: Set[str]) -> Callable[[], Document]:
    """Return a function that writes a new story document at each call, never one whose context is excluded."""

    def write() -> Document:
        while True:
            document = story_document(tell_story(rng))
            if document.context not in excluded:
                return document

    return write


def question_stream(rng: Random, questions: Sequence[Question]) -> Callable[[], Document]:
    """Return a function that draws a question document at each call."""
    documents = [question_document(question) for question in questions]
    return lambda: rng.choice(documents)
