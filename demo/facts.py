"""Questions and answers about the people of the demo's town, in WebQuestions' form.

The facts are fixed. Every fact is asked in several ways; some ways of asking a fact are kept for the test split, so
that a model can know the answer without having seen the question.

This module knows no file, tokenizer or model.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

PEOPLE = (
    "Anna", "Bruno", "Clara", "David", "Emma", "Felix", "Greta", "Henry", "Ida", "Jonas",
    "Karin", "Leo", "Martha", "Nico", "Olga", "Peter", "Rosa", "Simon", "Tilda", "Victor",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Relation:
    """One thing that is known of every person."""

    values: tuple[tuple[str, ...], ...]
    """Accepted answers of each possible value; the first is the one that is taught."""
    questions: tuple[str, ...]
    """Ways of asking, with `{name}` for the person."""


RELATIONS = (
    Relation(
        values=(
            ("baker",), ("pilot",), ("nurse",), ("farmer",), ("teacher",), ("painter",), ("sailor",), ("gardener",),
        ),
        questions=(
            "what is the job of {name}?",
            "what does {name} do for a living?",
            "what does {name} work as?",
            "what did {name} learn to be?",
            "what kind of work does {name} do?",
            "which job does {name} have?",
        ),
    ),
    Relation(
        values=(
            ("Elm Hill", "Elm Hill Farm"), ("Stone Bay",), ("Green Valley",), ("North Pier", "the North Pier"),
            ("Mill Lane",), ("Old Harbour", "the Old Harbour"), ("Fern Wood",), ("High Street", "the High Street"),
        ),
        questions=(
            "where does {name} live?",
            "where is the house of {name}?",
            "what is the home of {name}?",
            "in which part of town does {name} live?",
            "where can you visit {name} at home?",
            "where does {name} go home to?",
        ),
    ),
    Relation(
        values=(
            ("a grey cat", "a cat"), ("a brown dog", "a dog"), ("a white goose", "a goose"),
            ("a black horse", "a horse"), ("a small goat", "a goat"), ("a green parrot", "a parrot"),
        ),
        questions=(
            "what pet does {name} have?",
            "which animal lives with {name}?",
            "what animal does {name} keep?",
            "what kind of pet does {name} own?",
            "which animal does {name} feed every morning?",
            "what is the pet of {name}?",
        ),
    ),
    Relation(
        values=(("flute",), ("drum",), ("violin",), ("piano",), ("guitar",), ("trumpet",), ("harp",)),
        questions=(
            "what instrument does {name} play?",
            "what does {name} play in the town band?",
            "which instrument did {name} learn?",
            "what kind of music does {name} make?",
            "what instrument is {name} known for?",
            "what does {name} practise in the evening?",
        ),
    ),
    Relation(
        values=(("red",), ("blue",), ("yellow",), ("green",), ("purple",), ("orange",)),
        questions=(
            "what is the favourite colour of {name}?",
            "which colour does {name} like best?",
            "what colour is the coat of {name}?",
            "what colour is the front door of {name}?",
            "which colour does {name} always wear?",
            "in what colour did {name} paint the boat?",
        ),
    ),
)  # fmt: skip

NUM_TEST_QUESTIONS = 2
"""Ways of asking kept for the test split, of every fact."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One row of the question data."""

    question: str
    answers: tuple[str, ...]


def make_questions(rng: Random) -> tuple[list[Question], list[Question]]:
    """Fix the facts and return the questions of the train split and of the test split, each shuffled."""
    train: list[Question] = []
    test: list[Question] = []
    for relation in RELATIONS:
        for number, name in enumerate(rng.sample(PEOPLE, len(PEOPLE))):
            answers = relation.values[number % len(relation.values)]
            ways = rng.sample(relation.questions, len(relation.questions))
            asked = [Question(question=way.format(name=name), answers=answers) for way in ways]
            test += asked[:NUM_TEST_QUESTIONS]
            train += asked[NUM_TEST_QUESTIONS:]
    rng.shuffle(train)
    rng.shuffle(test)
    return train, test
