"""WebQuestions: short factual questions with a list of accepted answers (Berant et al. 2013; experiment §2)."""

from lm_eval.tasks.base import Dataset, Example, Row, as_choices, require, require_texts


def read_row(row: Row, source: str) -> Example:
    """Make an example of a hub row (`question`, `answers`); every accepted answer is a right choice."""
    question = require(row, "question", str, source)
    choices = as_choices(require_texts(row, "answers", 1, source), "answers", source)
    return Example(question=(f"Question: {question}",), choices=choices, gold=tuple(range(len(choices))), source=source)


WEBQS = Dataset(
    name="webqs",
    hub_path="stanfordnlp/web_questions",
    training_split="train",
    evaluation_split="test",
    read_row=read_row,
    answer_hint="Answer:",
    hint_delimiter="\n",
    question_is_one_segment=False,
)
