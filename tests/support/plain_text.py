"""The judge's text side: documents, shots and encoding schemes, computed plainly from docs/experiment.md, §2 and §3.

It imports nothing from `lm_eval`, and knows nothing of models and tokens.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Samples = list[list[str]]

SHOT_DELIMITER = "\n\n"
SCHEMES = (
    "concat_all_examples",
    "concat_each_example",
    "segment_each_example",
    "merge_all_segments",
    "sentence_level_segmentation",
    "cross_encoding",
)


# --- Documents, shots, order: experiment §2 ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Example:
    """One row in the form in which it is segmented and scored."""

    question: tuple[str, ...]
    hint: str
    """The delimiter and the hint that stand before an answer, or nothing."""
    choices: tuple[str, ...]
    """The choices as they are scored, each with its leading blank."""
    gold: tuple[int, ...]

    @property
    def answer(self) -> str:
        """What a shot gives as its answer: the (first) gold choice."""
        return self.choices[self.gold[0]]


def read_rows(path: Path) -> list[Row]:
    """Read a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def clean(text: str) -> str:
    """Clean a HellaSwag text (experiment §2)."""
    text = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")


def make_example(task: str, row: Row) -> Example:
    """Make a row of HellaSwag or WebQuestions an example (experiment §2)."""
    if task.startswith("hellaswag"):
        query = clean(row["activity_label"] + ": " + row["ctx_a"] + " " + row["ctx_b"].capitalize())
        endings = tuple(" " + clean(ending) for ending in row["endings"])
        return Example((query,), "", endings, (int(row["label"]),))
    answers = tuple(" " + answer for answer in row["answers"])
    return Example(("Question: " + row["question"],), "\nAnswer:", answers, tuple(range(len(answers))))


def limit_bounds(limit: str | int | None, size: int) -> range:
    """The places, in the shuffled order, of the documents that a limit keeps."""
    start, colon, end = str(limit).partition(":") if limit is not None else ("0", ":", "")
    first, last = (int(start or 0), int(end) if end else size) if colon else (0, int(start))
    if first < 0 or last < 0 or first >= min(last, size):
        raise ValueError(f"limit {limit!r} keeps none of {size} documents")
    return range(first, min(last, size))


def draw_documents(
    task: str, rows: Mapping[str, list[Row]], num_fewshot: int, limit: str | int | None = None
) -> list[tuple[int, Example, list[Example]]]:
    """Shuffle, cut and draw: (doc_id, document, its shots) for every document that is evaluated (experiment §2)."""
    evaluation = rows["test"] if "test" in rows else rows["validation"]
    rnd = random.Random(42)
    shuffled = list(evaluation)
    rnd.shuffle(shuffled)
    kept = limit_bounds(limit, len(shuffled))
    drawn = []
    for doc_id, row in enumerate(shuffled):
        shots: list[Row] = []
        if num_fewshot and "train" in rows:
            shots = rnd.sample(rows["train"], num_fewshot)
        elif num_fewshot:
            shots = [shot for shot in rnd.sample(evaluation, num_fewshot + 1) if shot != row][:num_fewshot]
        if doc_id in kept:
            drawn.append((doc_id, make_example(task, row), [make_example(task, shot) for shot in shots]))
    return drawn


# --- Encoding schemes: experiment §3 ----------------------------------------------------------------------------------


def split_sentences(text: str) -> list[str]:
    """Cut behind every "." that white space follows; the white space opens the next sentence."""
    return re.split(r"(?<=\.)(?=\s)", text)


def make_sample(example: Example, scheme: str, answer: str) -> list[str]:
    """Cut one example into the segments of its sample; a query's answer is empty."""
    if scheme in ("segment_each_example", "merge_all_segments"):
        segments = [*example.question, example.hint + answer]
    elif scheme == "sentence_level_segmentation":
        texts = (*example.question, example.hint, answer)
        segments = [sentence for text in texts for sentence in split_sentences(text)]
    else:
        segments = ["".join(example.question) + example.hint + answer]
    return [segment for segment in segments if segment]


def make_context(query: Example, shots: Sequence[Example], scheme: str, description: str | None = None) -> Samples:
    """Build the context of a query as the encoding scheme cuts it: a list of samples, each a list of segments."""
    if scheme not in SCHEMES:
        raise ValueError(f"unknown encoding scheme {scheme!r}; choose from {', '.join(SCHEMES)}")
    samples = [[description]] if description else []
    samples += [make_sample(shot, scheme, shot.answer) for shot in shots]
    samples += [make_sample(query, scheme, "")]
    if scheme in ("concat_all_examples", "cross_encoding"):
        return [[SHOT_DELIMITER.join("".join(sample) for sample in samples)]]
    if scheme == "merge_all_segments":
        return [[segment for sample in samples for segment in sample]]
    return samples
