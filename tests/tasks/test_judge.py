"""Tasks of files in every form and encoding scheme, against the plain implementation."""

import functools
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lm_eval.common.text import format_pairs
from lm_eval.config.run_config import SEGMENTING_SCHEMES
from lm_eval.evaluator import simple_evaluate
from tests.support import plain
from tests.support.plain_text import Example, make_context
from tests.support.tiny_models import save_tiny, tiny_model
from tests.support.worlds import write_rows

TOLERANCE = 2e-5
QUIZ = """
task: quiz
dataset_path: some/quiz
training_split: train
test_split: test
output_type: multiple_choice
description: "Questions about {{topic}}.\\n"
doc_to_text: "{{passage}} Q: {{question}}\\nAnswer:"
doc_to_choice: choices
doc_to_target: "{{gold}}"
target_delimiter: " "
answer_hint: "\\nAnswer:"
"""
GAPS = """
task: gaps
dataset_path: some/gaps
training_split: train
validation_split: validation
output_type: multiple_choice
doc_to_text: "{{gold}}"
doc_to_choice: "{{[before + ' ' + one, before + ' ' + other]}}"
doc_to_target: after
"""
SIMILARITY = {
    "WORD_AGG_SCHEME": "w1mean",
    "SEGMENT_AGG_SCHEME": "mean",
    "SIMILARITY_FUNC": "cosine_sim",
    "NORM": "zNorm",
}
GENERATION = {"WORD_AGG_SCHEME": "mean", "ENCODING_LAYER": "1"}


def quiz_row(number: int) -> dict[str, Any]:
    choices = [f"It is {number}.", "No one. Never", "the red boat", "two of them"][: 2 + number % 3]
    passage = f"A man sees {number} boats. They are old."
    return {"topic": "boats", "passage": passage, "question": f"How many, {number}?", "choices": choices,
            "gold": number % len(choices)}  # fmt: skip


def gaps_row(number: int) -> dict[str, Any]:
    before = f"The man gave {number} cakes. So he saw that"
    return {
        "before": before,
        "one": "Ann",
        "other": f"Mr. Bo {number}",
        "after": "was very happy. Then",
        "gold": number % 2,
    }


def of_quiz(row) -> tuple[str, list[Example], int]:
    """Description, the example as each choice sees it, and the right one."""
    choices = tuple(" " + choice for choice in row["choices"])
    question = (f"{row['passage']} Q: {row['question']}",)
    example = Example(question, "\nAnswer:", choices, (row["gold"],))
    return "Questions about boats.\n", [example], row["gold"]


def of_gaps(row) -> tuple[str, list[Example], int]:
    questions = [f"{row['before']} {name}" for name in (row["one"], row["other"])]
    return "", [Example((text,), "", (" " + row["after"],), (0,)) for text in questions], row["gold"]


TASKS = {"quiz": (QUIZ, quiz_row, of_quiz, "test"), "gaps": (GAPS, gaps_row, of_gaps, "validation")}


ROWS, TRAINING = range(3), range(6, 12)


@functools.cache
def network_of(family: str) -> tuple[Any, Any]:
    return tiny_model(family, max_length=1024)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    for name, (text, make, _, split) in TASKS.items():
        (folder / f"{name}.yaml").write_text(text)
        write_rows(folder / name / f"{split}.jsonl", map(make, ROWS))
        write_rows(folder / name / "train.jsonl", map(make, TRAINING))
    for family in ("gpt2", "t5"):
        save_tiny(family, folder / family, max_length=1024)
    return folder


def samples_of(query: Example, shots: list[Example], scheme: str, description: str) -> list[list[str]]:
    samples = make_context(query, shots, scheme)
    if not description:
        return samples
    if scheme in ("concat_all_examples", "cross_encoding"):
        return [[description + samples[0][0]]]
    return [[description, *samples[0]]] if scheme == "merge_all_segments" else [[description], *samples]


@torch.no_grad()
def judge(name: str, family: str, kind: str, scheme: str, num_fewshot: int, settings) -> list[list[float]]:
    _, make, read, _ = TASKS[name]
    judging = plain.Plain(*network_of(family))
    judging.reuse_passes()
    settings = plain.check_settings(kind, scheme, settings)
    rows, training = [make(number) for number in ROWS], [make(number) for number in TRAINING]
    rnd = random.Random(42)
    rnd.shuffle(rows)
    found = []
    for row in rows:
        shots = []
        for shot in rnd.sample(training, num_fewshot) if num_fewshot else ():
            _, seen, gold = read(shot)
            one = seen[gold] if len(seen) > 1 else replace(seen[0], gold=(gold,))
            shots.append(one)
        description, seen, _ = read(row)
        contexts = [samples_of(one, shots, scheme, description) for one in seen]
        if kind == "dist_sim":
            parts = zip(seen, contexts, strict=True)
            raw = [judging.raw_similarities(context, one.choices, settings) for one, context in parts]
            found.append(torch.cat(raw).softmax(0).tolist())
            continue
        scores = []
        for one, context in zip(seen, contexts, strict=True):
            source = context[0][0] if scheme == "cross_encoding" else judging.encode_context(context, settings)[0]
            scores += [judging.generation(source, choice, settings)[0] for choice in one.choices]
        found.append(scores)
    return found


CASES = [
    *(("dist_sim", "_d", scheme, SIMILARITY) for scheme in SEGMENTING_SCHEMES),
    *(
        ("dist_sim", "_d", scheme, {**SIMILARITY, "EXAMPLE_AGG_SCHEME": "soft_cluster"})
        for scheme in SEGMENTING_SCHEMES[-1:]
    ),
    *(("dist_gen", "_dg", scheme, GENERATION) for scheme in SEGMENTING_SCHEMES),
    ("dist_gen", "_dg", "cross_encoding", {}),
]


@pytest.mark.parametrize("num_fewshot", [0, 2])
@pytest.mark.parametrize(("kind", "suffix", "scheme", "settings"), CASES)
@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_every_form_and_scheme_of_a_task_file_agrees_with_the_plain_way(
    family, kind, suffix, scheme, settings, num_fewshot, world
):
    result = simple_evaluate(
        model=kind,
        model_args=format_pairs({"pretrained": world / family, "dtype": "float32", **settings}),
        tasks=[name + suffix for name in TASKS],
        task_args=f"encoding_scheme={scheme},data_dir={world},include_path={world}",
        num_fewshot=num_fewshot,
        log_samples=True,
        verify=2,
    )
    for name in TASKS:
        expected = judge(name, family, kind, scheme, num_fewshot, settings)
        found = [sample["scores"] for sample in result["samples"][name + suffix]]
        for scores, wanted in zip(found, expected, strict=True):
            assert scores == pytest.approx(wanted, rel=TOLERANCE, abs=TOLERANCE)
        assert result["verification"][name + suffix]["largest_difference"] < TOLERANCE
        assert f"include_path={world}" in result["config"]["task_args"]


@pytest.mark.parametrize("name", TASKS)
def test_without_shots_description_question_and_choice_stand_together(name, world):
    result = simple_evaluate(
        model="hf", model_args=f"pretrained={world / 'gpt2'},dtype=float32", tasks=name,
        task_args=f"data_dir={world}", include_path=str(world), log_samples=True,
    )  # fmt: skip
    judging = plain.Plain(*network_of("gpt2"))
    judging.reuse_passes()
    _, make, read, _ = TASKS[name]
    settings = plain.check_settings("hf", "cross_encoding", {})
    rows = [make(number) for number in ROWS]
    random.Random(42).shuffle(rows)
    for sample, row in zip(result["samples"][name], rows, strict=True):
        description, seen, gold = read(row)
        with torch.no_grad():
            wanted = [
                judging.generation(description + one.question[0] + one.hint, choice, settings)[0]
                for one in seen
                for choice in one.choices
            ]
        assert sample["scores"] == pytest.approx(wanted, rel=TOLERANCE, abs=TOLERANCE)
        assert sample["gold"] == [gold]


def test_without_a_context_choices_of_one_text_are_refused_before_a_model_is_loaded(world):
    with pytest.raises(ValueError, match=r"no_context: the choices of .*gaps.validation.jsonl, line \d are one text"):
        simple_evaluate(
            model="dist_gen", model_args=f"pretrained={world / 'gpt2'}", tasks="gaps_dg",
            task_args=f"encoding_scheme=no_context,data_dir={world}", include_path=str(world),
        )  # fmt: skip
