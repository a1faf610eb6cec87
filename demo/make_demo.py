"""Make the demo's data and models again.

`python -m demo.make_demo` writes everything under `demo/data` and `demo/models`; `--help` lists the options. The same
machine and versions give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from demo.documents import (
    context_with_shots,
    question_document,
    question_stream,
    seeded,
    story_document,
    story_stream,
)
from demo.evaluate import Scorer, accuracy, exact_match, gpt_scorer, t5_scorer
from demo.facts import Question, make_questions
from demo.train import Schedule, gpt_loss, make_gpt, make_t5, t5_loss, train
from demo.vocabulary import make_gpt_tokenizer, make_t5_tokenizer
from demo.world import Story, tell_story
from lm_eval.common.atomic import written_whole

NUM_TRAIN_STORIES = 400
NUM_VALIDATION_STORIES = 500
NUM_TOKENIZER_STORIES = 4000
MAX_TOKENS = 1024
MIN_ACCURACY = 0.6
NUM_THREADS = 1
"""Always the same, because sums over threads round differently."""
SHOT_COUNTS = (0, 5)
SCHEDULES = {
    "demo-gpt": Schedule(steps=1500),
    "demo-t5": Schedule(
        steps=2400,
        single_share=0.25,
        many_shots_share=0.3,
        few_shots_share=0.4,
        question_share=0.2,
        questions_per_story=3,
    ),
}


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


class WeakModelError(Exception):
    """A trained model is not good enough to be kept."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """Everything that is written under `data`."""

    train_stories: list[Story]
    validation_stories: list[Story]
    train_questions: list[Question]
    test_questions: list[Question]


def make_stories(rng: Random, number: int, excluded: Set[str]) -> list[Story]:
    """Write stories whose contexts differ from each other and from the excluded ones, with balanced labels."""
    stories: dict[str, Story] = {}
    while len(stories) < number:
        story = tell_story(rng, label=len(stories) % 4)
        if story.query not in excluded:
            stories.setdefault(story.query, story)
    shuffled = list(stories.values())
    rng.shuffle(shuffled)
    return shuffled


def make_data() -> Data:
    """Write all documents; the same ones at every call."""
    rng = seeded(2308)
    validation = make_stories(rng, NUM_VALIDATION_STORIES, set())
    train_stories = make_stories(rng, NUM_TRAIN_STORIES, {story.query for story in validation})
    train_questions, test_questions = make_questions(rng)
    return Data(
        train_stories=train_stories,
        validation_stories=validation,
        train_questions=train_questions,
        test_questions=test_questions,
    )


def story_row(number: int, story: Story) -> dict[str, object]:
    """Return a story as a row of HellaSwag."""
    return {
        "ind": number,
        "activity_label": story.activity_label,
        "ctx_a": story.ctx_a,
        "ctx_b": story.ctx_b,
        "ctx": story.ctx,
        "endings": list(story.endings),
        "label": str(story.label),
    }


def question_row(question: Question) -> dict[str, object]:
    """Return a question as a row of WebQuestions."""
    return {"url": "", "question": question.question, "answers": list(question.answers)}


def write_rows(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """Write rows as JSON lines, the file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as temporary:
        temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def write_data(data: Data, folder: Path) -> None:
    """Write the four data files."""
    stories, questions = folder / "hellaswag", folder / "webqs"
    write_rows(stories / "train.jsonl", [story_row(*item) for item in enumerate(data.train_stories)])
    write_rows(stories / "validation.jsonl", [story_row(*item) for item in enumerate(data.validation_stories)])
    write_rows(questions / "train.jsonl", [question_row(question) for question in data.train_questions])
    write_rows(questions / "test.jsonl", [question_row(question) for question in data.test_questions])


def tokenizer_texts(data: Data) -> list[str]:
    """Return the text from which the vocabulary is learnt: new stories and the questions with all their answers."""
    write = story_stream(seeded(11), {story.query for story in data.validation_stories})
    texts = [context_with_shots([write()], write()) for _ in range(NUM_TOKENIZER_STORIES)]
    for question in data.train_questions:
        document = question_document(question)
        texts += [document.context + choice for choice in document.choices] * 5
    return texts


def make_model(name: str, data: Data) -> tuple[PreTrainedModel, PreTrainedTokenizerFast, Scorer]:
    """Train one of the models and its tokenizer."""
    schedule = SCHEDULES[name]
    torch.manual_seed(schedule.seed)
    texts = tokenizer_texts(data)
    excluded = {story.query for story in data.validation_stories}
    streams = (story_stream(seeded(12), excluded), question_stream(seeded(13), data.train_questions))
    if name == "demo-gpt":
        tokenizer = make_gpt_tokenizer(texts, MAX_TOKENS)
        gpt = make_gpt(tokenizer, MAX_TOKENS)
        train(gpt, gpt_loss(gpt, tokenizer), schedule, streams, say)
        return gpt, tokenizer, gpt_scorer(gpt, tokenizer)
    tokenizer = make_t5_tokenizer(texts, MAX_TOKENS)
    t5 = make_t5(tokenizer)
    train(t5, t5_loss(t5, tokenizer), schedule, streams, say)
    return t5, tokenizer, t5_scorer(t5, tokenizer)


def check_model(name: str, scorer: Scorer, data: Data) -> None:
    """Print a model's accuracies and refuse a weak model.

    Raises:
        WeakModelError: The accuracy on the validation stories is below the least that is kept.
    """
    stories = [story_document(story) for story in data.validation_stories]
    story_shots = [story_document(story) for story in data.train_stories]
    questions = [question_document(question) for question in data.test_questions]
    question_shots = [question_document(question) for question in data.train_questions]
    reached: list[float] = []
    for num_shots in SHOT_COUNTS:
        reached.append(accuracy(scorer, stories, story_shots, num_shots))
        match = exact_match(scorer, questions, question_shots, num_shots)
        say(f"{name}, {num_shots} shots: stories {reached[-1]:.3f}, questions {match:.3f}")
    if min(reached) < MIN_ACCURACY:
        raise WeakModelError(f"{name}: accuracy must be at least {MIN_ACCURACY}, got {min(reached):.3f}; not kept")


def keep_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a model in half precision, with its tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Make the demo's data and models again.")
    parser.add_argument("--folder", type=Path, default=Path(__file__).resolve().parent, help="where to write")
    parser.add_argument("--data-only", action="store_true", help="write the data, train no model")
    parser.add_argument("--models", nargs="+", choices=SCHEDULES, default=list(SCHEDULES), help="models to train")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the data, then train, check and keep each model; return the exit status."""
    options = parse_arguments(arguments)
    data = make_data()
    write_data(data, options.folder / "data")
    if options.data_only:
        return 0
    torch.set_num_threads(NUM_THREADS)
    torch.use_deterministic_algorithms(True)
    for name in options.models:
        start = time.monotonic()
        model, tokenizer, scorer = make_model(name, data)
        say(f"{name}: trained in {time.monotonic() - start:.0f} s")
        model.half().float()
        try:
            check_model(name, scorer, data)
        except WeakModelError as error:
            say(str(error))
            return 1
        keep_model(model, tokenizer, options.folder / "models" / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
