#!/usr/bin/env python3
"""How many times faster the engine is than the plain way of doing the same work, measured side by side in one run.

The plain way is the judge of the tests: one document at a time, one forward a segment and a choice, the whole context
each time, every position projected to the vocabulary. Both must give the same scores.
"""

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

TOP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP)]

from benchmarks.subjects import Subject, flan_t5_base, gpt2_small  # noqa: E402
from lm_eval.common.text import format_pairs  # noqa: E402
from lm_eval.config.run_config import RunConfig  # noqa: E402
from lm_eval.config.runtime import Execution  # noqa: E402
from lm_eval.inference.speedups import fast  # noqa: E402
from lm_eval.scoring.evaluation import Evaluation, evaluate_many  # noqa: E402
from tests.support import plain  # noqa: E402
from tests.support.plain_text import read_rows  # noqa: E402

Settings = dict[str, str | int | None]
PLAIN_SHARE = 4
"""Configurations of a grid that the plain way computes; its time for the whole grid is theirs, scaled up."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """A piece of work and what is expected of it."""

    name: str
    subject: Callable[[], Subject]
    model: str
    scheme: str
    num_fewshot: int
    settings: Sequence[Settings]
    documents: int
    at_least: float
    """Times the documents a second of the plain way."""
    at_most: float | None = None
    """For a grid: times the time of its first configuration alone."""


def sim_grid() -> list[Settings]:
    """96 configurations of one pass: layers, token, segment and example aggregation, similarity."""
    lists = (
        [None, "middle", 4],
        ["mean", "w1mean", "last", "relu|mean"],
        [None, "mean"],
        [None, "mean"],
        ["dot_product", "cosine_sim"],
    )
    keys = ("ENCODING_LAYER", "WORD_AGG_SCHEME", "SEGMENT_AGG_SCHEME", "EXAMPLE_AGG_SCHEME", "SIMILARITY_FUNC")
    return [dict(zip(keys, values, strict=True)) for values in itertools.product(*lists)]


def gen_grid() -> list[Settings]:
    """24 configurations of one pass, half of them at layer 0."""
    lists = ([None, 0], ["mean", "w1mean", "last"], [None, "mean"], [None, "mean"])
    keys = ("ENCODING_LAYER", "WORD_AGG_SCHEME", "SEGMENT_AGG_SCHEME", "EXAMPLE_AGG_SCHEME")
    return [dict(zip(keys, values, strict=True)) for values in itertools.product(*lists)]


GEN, SIM = "dist_gen", "dist_sim"
SENTENCES, EACH = "sentence_level_segmentation", "concat_each_example"
MEAN: Settings = {"WORD_AGG_SCHEME": "mean"}
WORKS = (
    Work(name="cross_encoding, 5 shots", subject=gpt2_small, model=GEN, scheme="cross_encoding", num_fewshot=5,
         settings=[{}], documents=8, at_least=4.5),
    Work(name="cross_encoding, 0 shots", subject=gpt2_small, model=GEN, scheme="cross_encoding", num_fewshot=0,
         settings=[{}], documents=16, at_least=2.5),
    Work(name="dist_gen, concat_each_example, 5 shots, layer 0", subject=gpt2_small, model=GEN, scheme=EACH,
         num_fewshot=5, settings=[{**MEAN, "ENCODING_LAYER": 0}], documents=12, at_least=6),
    Work(name="dist_gen, concat_each_example, 5 shots, last layer", subject=gpt2_small, model=GEN, scheme=EACH,
         num_fewshot=5, settings=[MEAN], documents=12, at_least=1.8),
    Work(name="dist_sim, sentence_level_segmentation, 5 shots", subject=gpt2_small, model=SIM, scheme=SENTENCES,
         num_fewshot=5, settings=[{**MEAN, "SIMILARITY_FUNC": "dot_product"}], documents=12, at_least=2),
    Work(name="grid of 96 dist_sim", subject=gpt2_small, model=SIM, scheme=SENTENCES, num_fewshot=5,
         settings=sim_grid(), documents=4, at_least=100, at_most=1.5),
    Work(name="grid of 24 dist_gen", subject=gpt2_small, model=GEN, scheme=EACH, num_fewshot=5,
         settings=gen_grid(), documents=4, at_least=20, at_most=7),
    Work(name="T5: cross_encoding, 5 shots", subject=flan_t5_base, model=GEN, scheme="cross_encoding", num_fewshot=5,
         settings=[{}], documents=6, at_least=3.5),
    Work(name="T5: dist_gen, concat_each_example, 5 shots", subject=flan_t5_base, model=GEN, scheme=EACH, num_fewshot=5,
         settings=[MEAN], documents=8, at_least=1.5),
)  # fmt: skip


def make_config(work: Work, settings: Settings, data_dir: Path, documents: int) -> RunConfig:
    """Return a configuration of a piece of work."""
    return RunConfig.parse(
        model=work.model,
        model_args=format_pairs({"pretrained": "random", **settings}),
        task={GEN: "hellaswag_dg", SIM: "hellaswag_d"}[work.model],
        task_args=format_pairs({"encoding_scheme": work.scheme, "data_dir": data_dir}),
        num_fewshot=work.num_fewshot,
        limit=documents,
    )


def time_engine(subject: Subject, configs: Sequence[RunConfig]) -> tuple[float, list[Evaluation]]:
    """Return seconds and evaluations."""
    began = time.perf_counter()
    evaluations = evaluate_many(configs, subject.model, Execution())
    return time.perf_counter() - began, evaluations


def time_plain(subject: Subject, config: RunConfig) -> tuple[float, list[dict[str, list[float]]]]:
    """Return seconds and the scores of each document."""
    rows = {split: read_rows(subject.data_dir / "hellaswag" / f"{split}.jsonl") for split in ("train", "validation")}
    began = time.perf_counter()
    found = plain.evaluate(
        subject.model.network, subject.model.tokenizer, model_kind=config.model, task=config.task, rows=rows,
        num_fewshot=config.num_fewshot, limit=str(config.limit), task_args={"encoding_scheme": config.encoding_scheme},
        model_args=config.vectors.public(),
    )  # fmt: skip
    return time.perf_counter() - began, found["samples"]


def difference(evaluation: Evaluation, expected: Sequence[dict[str, list[float]]]) -> float:
    """Return the largest relative difference between scores."""
    pairs = (
        pair
        for mine, theirs in zip(evaluation.samples(), expected, strict=False)
        for pair in zip(mine["scores"], theirs["scores"], strict=True)
    )
    return max(abs(a - b) / max(1.0, abs(b)) for a, b in pairs)


def measure(work: Work, subject: Subject, repetitions: int) -> dict[str, object]:
    """Measure engine and plain way in turn, and return the medians of their ratios."""
    configs = [make_config(work, settings, subject.data_dir, work.documents) for settings in work.settings]
    step = max(1, len(configs) // PLAIN_SHARE)
    shares = [
        (index, make_config(work, work.settings[index], subject.data_dir, work.documents))
        for index in range(0, len(configs), step)
    ]
    time_engine(subject, [make_config(work, work.settings[0], subject.data_dir, 1)])
    faster, against_one, engine_times, worst = [], [], [], 0.0
    for _ in range(repetitions):
        seconds, evaluations = time_engine(subject, configs)
        plain_seconds = 0.0
        for index, config in shares:
            took, expected = time_plain(subject, config)
            plain_seconds += took
            worst = max(worst, difference(evaluations[index], expected))
        plain_per_document = plain_seconds / len(shares) * len(configs) / work.documents
        engine_times.append(seconds / work.documents)
        faster.append(plain_per_document / engine_times[-1])
        if work.at_most is not None:
            against_one.append(seconds / time_engine(subject, configs[:1])[0])
    return {
        "work": work.name,
        "times the plain way": round(statistics.median(faster), 2),
        "range": [round(min(faster), 2), round(max(faster), 2)],
        "at least": work.at_least,
        "times one configuration": round(statistics.median(against_one), 2) if against_one else None,
        "at most": work.at_most,
        "seconds a document": round(statistics.median(engine_times), 3),
        "largest difference": worst,
    }


def matrix_speed() -> float:
    """Return the machine's speed in a large matrix product, in GFLOP/s."""
    size = 2048
    a = torch.randn(size, size)
    return 2 * size**3 / _median_seconds(lambda: a @ a) / 1e9


def pass_speed(subject: Subject, rows: int = 2, tokens: int = 512) -> float:
    """Return the speed of a long batch's forward pass through GPT-2's body, in GFLOP/s."""
    model = subject.model
    inputs = torch.randn(rows, tokens, model.hidden_size)
    weights = sum(parameter.numel() for block in model.blocks for parameter in block.parameters())
    attention = model.num_layers * 4 * model.hidden_size * tokens / 2
    with fast(model):
        seconds = _median_seconds(lambda: model.encoder(inputs_embeds=inputs, use_cache=False))
    return rows * tokens * (2 * weights + attention) / seconds / 1e9


def _median_seconds(work: Callable[[], object], times: int = 7) -> float:
    work()
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def format_row(row: dict[str, object]) -> str:
    """Return a measurement as a line."""
    low, high = row["range"]  # type: ignore[misc]
    line = f"{row['work']:52} {row['times the plain way']:7} ({low} to {high}) times the plain way"
    line += f", wanted {row['at least']}"
    if row["at most"] is not None:
        line += f"; {row['times one configuration']} times one configuration, wanted ≤ {row['at most']}"
    return f"{line}; {row['seconds a document']} s a document; largest difference {row['largest difference']:.1e}"


def main() -> int:
    """Measure everything and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="measure only what has this text in its name")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the table to this JSON file")
    args = parser.parse_args()
    subjects: dict[Callable[[], Subject], Subject] = {}
    rows = []
    for work in (work for work in WORKS if args.only in work.name):
        if work.subject not in subjects:
            subjects.clear()
            subjects[work.subject] = work.subject()
        with torch.inference_mode():
            rows.append(measure(work, subjects[work.subject], args.repetitions))
        print(format_row(rows[-1]), flush=True)
    with torch.inference_mode():
        product, passes = matrix_speed(), pass_speed(gpt2_small())
    print(f"matrix product {product:.0f} GFLOP/s; forward passes of long batches reach {passes / product:.0%} of it")
    if args.out is not None:
        speeds = {"matrix product, GFLOP/s": round(product), "forward pass, GFLOP/s": round(passes)}
        args.out.write_text(json.dumps({"threads": torch.get_num_threads(), **speeds, "rows": rows}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
