"""The judge in `plain.py` against the reference scores, contexts and cases that lie beside the repository."""

from __future__ import annotations

import functools
import json
import math
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from tests.support.paths import REFERENCE
from tests.support.plain import evaluate
from tests.support.plain_text import Row, clean, draw_documents, make_context, read_rows, split_sentences

TOLERANCE = 5e-5
"""Absolute, or relative where a score is larger than 1: what `shared/tools/parity.py` allows."""
NUM_RECORDS = 15

pytestmark = [
    pytest.mark.reference,
    pytest.mark.skipif(not REFERENCE.is_dir(), reason="needs the reference material in ../shared/reference"),
]


def load_json(name: str) -> Any:
    """Read a file of the reference; an empty list where it is absent, so that collection works without it."""
    path = REFERENCE / name
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def spread_records(number: int) -> list[Row]:
    """Choose records evenly from all score files."""
    names = sorted(path.name for path in (REFERENCE / "scores").glob("*.json"))
    records = [record for name in names for record in load_json(f"scores/{name}")]
    return [records[index * len(records) // number] for index in range(number)] if records else []


def describe(record: Row) -> str:
    """Name a record by its settings that are not None."""
    settings = {**record["task_args"], **record["model_args"]}
    named = ",".join(f"{name}={value}" for name, value in settings.items() if value is not None)
    return f"{record['pretrained']}-{record['task']}-{record['num_fewshot']}shot-{named}"


@functools.cache
def load_rows(folder: str, task: str) -> dict[str, list[Row]]:
    """Read the splits of a dataset."""
    dataset = task.split("_", maxsplit=1)[0]
    return {path.stem: read_rows(path) for path in (REFERENCE / folder / dataset).glob("*.jsonl")}


@functools.cache
def load_checkpoint(name: str) -> tuple[Any, Any]:
    """Load a checkpoint in fp32 and its tokenizer."""
    folder = REFERENCE / "models" / name
    config = AutoConfig.from_pretrained(folder)
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    return auto.from_pretrained(folder, dtype=torch.float32), AutoTokenizer.from_pretrained(folder)


def expected_documents(record: Row) -> list[Row]:
    """The scores and exact matches of each document; ordinary scoring was recorded flat, four choices a document."""
    flat = record["per_doc"]
    if record["model"] != "gpt2":
        return [{"scores": document["scores"], "is_exact_match": document.get("em")} for document in flat]
    fours = [flat[start : start + 4] for start in range(0, len(flat), 4)]
    return [{"scores": [score for score, _ in four], "is_exact_match": [exact for _, exact in four]} for four in fours]


def ties(scores: list[float]) -> bool:
    """Whether the two best scores are so close that rounding could exchange them."""
    best = sorted(scores, reverse=True)[:2]
    return len(best) > 1 and math.isclose(best[0], best[1], rel_tol=2 * TOLERANCE, abs_tol=2 * TOLERANCE)


def test_cleaning_agrees_with_every_reference_case() -> None:
    cases = load_json("clean.json")
    assert cases
    for text, expected in cases:
        assert clean(text) == expected


def test_sentences_agree_with_every_reference_case() -> None:
    cases = load_json("sentences.json")
    assert cases
    for text, expected in cases:
        assert split_sentences(text) == expected


def test_contexts_agree_in_every_scheme() -> None:
    contexts = load_json("contexts.json")
    assert contexts
    for expected in contexts:
        rows = load_rows("data", expected["task"])
        document = expected["document"]
        limit = f"{document}:{document + 1}"
        [(doc_id, query, shots)] = draw_documents(expected["task"], rows, expected["num_fewshot"], limit)
        assert doc_id == document
        assert make_context(query, shots, expected["encoding_scheme"]) == expected["samples"]
        assert list(query.choices) == expected["choices"]
        assert list(query.gold) == expected["gold"]


@pytest.mark.parametrize("record", spread_records(NUM_RECORDS), ids=describe)
def test_scores_and_metrics_agree_with_a_reference_record(record: Row) -> None:
    model, tokenizer = load_checkpoint(record["pretrained"])
    got = evaluate(
        model,
        tokenizer,
        model_kind="hf" if record["model"] == "gpt2" else record["model"],
        task=record["task"],
        rows=load_rows(record.get("data", "data"), record["task"]),
        num_fewshot=record["num_fewshot"],
        limit=record["limit"],
        task_args=record["task_args"],
        model_args=record["model_args"],
    )
    expected = expected_documents(record)
    assert [sample["doc_id"] for sample in got["samples"]] == list(range(len(expected)))
    for sample, document in zip(got["samples"], expected, strict=True):
        # pytest.approx takes the larger of the two tolerances, as parity.py does
        assert sample["scores"] == pytest.approx(document["scores"], rel=TOLERANCE, abs=TOLERANCE)
        if document["is_exact_match"] is not None:
            assert sample["is_exact_match"] == document["is_exact_match"]
    assert set(got["results"]) == set(record["results"])
    num_ties = sum(ties(document["scores"]) for document in expected)
    for name, value in record["results"].items():
        if not (name.endswith("_stderr") and num_ties):
            assert got["results"][name] == pytest.approx(value, rel=0, abs=1e-9 + num_ties / len(expected))
