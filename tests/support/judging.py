"""The plain way as a judge: configurations drawn at random, what the plain way says of them, and the comparison."""

import functools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lm_eval.common.text import format_pairs
from lm_eval.config.run_config import RunConfig
from lm_eval.config.token_aggregation import ACTIVATION_PREFIXES, SINGLE_VECTOR_AGGREGATIONS
from lm_eval.inference.loading import wrap_model
from lm_eval.models.language_model import LanguageModel
from lm_eval.scoring.evaluation import Evaluation
from tests.support import plain
from tests.support.plain_text import read_rows
from tests.support.tiny_models import TWO_STACKS, tiny_model

TOLERANCE = 2e-5
LONG, SHORT = 2048, 96
"""Positions: enough for every context here, and too few for most."""


@functools.cache
def load(family: str, max_length: int = LONG) -> LanguageModel:
    network, tokenizer = tiny_model(family, max_length=max_length)
    return wrap_model(network, tokenizer, name=family)


def make_config(
    data_dir, model: str, task: str, scheme: str | None, settings: dict[str, Any], **named: Any
) -> RunConfig:
    task_args = {"data_dir": data_dir, **({} if scheme is None else {"encoding_scheme": scheme})}
    fields = {"num_fewshot": 2, "limit": "2", **named}
    return RunConfig.parse(
        model=model,
        model_args=format_pairs({"pretrained": "tiny", **settings}),
        task=task,
        task_args=format_pairs(task_args),
        **fields,
    )


def judge(config: RunConfig, model: LanguageModel) -> dict[str, Any]:
    """What the plain implementation says of a configuration."""
    dataset = config.task.partition("_")[0]
    folder = f"{config.data_dir}/{dataset}"
    splits = {"hellaswag": ("train", "validation"), "webqs": ("train", "test")}[dataset]
    return plain.evaluate(
        model.network,
        model.tokenizer,
        model_kind=config.model,
        task=config.task,
        rows={split: read_rows(Path(folder) / f"{split}.jsonl") for split in splits},
        num_fewshot=config.num_fewshot,
        limit=None if str(config.limit) == "None" else str(config.limit),
        task_args={"encoding_scheme": config.encoding_scheme},
        model_args=config.vectors.public(),
        description=config.description or None,
        reuse_passes=True,
    )


def assert_agrees(evaluation: Evaluation, expected: dict[str, Any]) -> None:
    samples = evaluation.samples()
    assert [sample["doc_id"] for sample in samples] == [sample["doc_id"] for sample in expected["samples"]]
    for sample, wanted in zip(samples, expected["samples"], strict=True):
        assert sample["scores"] == pytest.approx(wanted["scores"], rel=TOLERANCE, abs=TOLERANCE), evaluation.run.config
        assert sample.get("is_exact_match") == wanted.get("is_exact_match")
    assert dict(evaluation.metrics()) == pytest.approx(expected["results"], nan_ok=False)
    compression = {key: value for key, value in expected.items() if key in ("vectors_per_context", "tokens_per_vector")}
    assert evaluation.compression.content() == pytest.approx(compression)


def random_settings(rnd: random.Random, family: str, model: str) -> dict[str, Any]:
    """Draw a value for every setting that the model kind has."""
    bases = (*SINGLE_VECTOR_AGGREGATIONS, "concat", "chunk3") if model == "dist_gen" else SINGLE_VECTOR_AGGREGATIONS
    layers = [None, "middle", "E", "0", "1", "-2", "-1", "3"]

    def aggregation() -> str:
        return rnd.choice(ACTIVATION_PREFIXES) + rnd.choice(bases)

    drawn: dict[str, Any] = {
        "WORD_AGG_SCHEME": aggregation(),
        "SEGMENT_AGG_SCHEME": rnd.choice([None, "mean"]),
        "EXAMPLE_AGG_SCHEME": rnd.choice([None, "mean"]),
        "NORM": rnd.choice([None, "L2", "varNorm", "zNorm"]),
        "ENCODING_LAYER": rnd.choice(layers),
        "ADD_POS": rnd.choice(["True", "False", None]) if family in ("gpt2", "gpt_neo") else None,
    }
    if model == "dist_gen":
        scheme = rnd.choice([None, None, "parameterless_attention"])
        entries = [None, "0", "1", "2", "-2", "middle"]
        if drawn["ENCODING_LAYER"] not in (None, "-1", "3"):  # the last state of three blocks
            entries.append("same")
        takes_entry = scheme is None and family not in TWO_STACKS
        return {**drawn, "DECODING_SCHEME": scheme, "DECODING_LAYER": rnd.choice(entries) if takes_entry else None}
    return {
        **drawn,
        "EXAMPLE_AGG_SCHEME": rnd.choice([None, "mean", "soft_cluster"]),
        "SIMILARITY_FUNC": rnd.choice(["dot_product", "cosine_sim"]),
        "OUT_WORD_AGG_SCHEME": rnd.choice([None, aggregation()]),
        "OUT_ENCODING_LAYER": rnd.choice([None, "OE", *layers]),
    }


def scores_of(evaluations: Sequence[Evaluation]) -> list[float]:
    return [score for evaluation in evaluations for sample in evaluation.samples() for score in sample["scores"]]
