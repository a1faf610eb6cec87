"""Model FLOP/s: the least work that scores take, a second, as a share of the card's own matrix product."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from benchmarks.bench import time_plain
from benchmarks.compare import relative_difference
from benchmarks.engine import SIM, scores_of
from benchmarks.gpu_card import PRODUCT
from benchmarks.gpu_parity import count_flips
from benchmarks.gpu_report import Report, Setup
from benchmarks.gpu_subjects import (
    MOST_DOCUMENTS,
    WORKS,
    GpuWork,
    Shape,
    free_memory,
    make_subject,
    plain_ready,
    shapes,
)
from benchmarks.speeds import matrix_speed
from benchmarks.subjects import Subject
from lm_eval.contexts.tokenization import Tokeniser
from lm_eval.models.language_model import LanguageModel
from lm_eval.results.identity import Run

GOALS = {"0.4 B": 0.30, "1.4 B": 0.50, "6.9 B": 0.65}
"""Wanted share of the matrix product's speed, of each work but dist_gen of layer 0, which is nearly all head."""
TARGET_S, PLAIN_S = 5.0, 2.5
"""How long a measurement should take, of the engine and of the plain way."""


@dataclass(frozen=True)
class Sizes:
    """What the work of a decoder-only model is counted by."""

    layers: int
    hidden: int
    matrix: int
    """Weights in a block's matrices."""
    vocabulary: int

    @classmethod
    def of(cls, model: LanguageModel) -> "Sizes":
        """Read them off a model."""
        matrix = sum(weight.numel() for weight in model.blocks[0].parameters() if weight.ndim > 1)
        return cls(model.num_layers, model.hidden_size, matrix, len(model.output_matrix))

    def encoding(self, tokens: int) -> float:
        """Return the FLOPs of a segment's last layer: 2 a weight and token, 4 · hidden a pair that attention sees."""
        return self.layers * (2 * self.matrix * tokens + 4 * self.hidden * tokens * (tokens + 1) / 2)

    def scoring(self, context: int, choices: Iterable[int]) -> float:
        """Return the FLOPs of scoring choices of so many tokens behind one context, which is read once.

        Of the context but its last position the last block gives keys and values alone (2 · hidden² of its weights).
        Choices go in without their last token; the head projects the positions that predict a token, each once.
        """
        branches = [choice - 1 for choice in choices]
        positions, d = sum(branches), self.hidden
        whole = 2 * self.matrix * (self.layers * (context + positions) - (context - 1)) + 4 * d * d * (context - 1)
        pairs = (self.layers - 1) * context * (context + 1) / 2 + context
        pairs += self.layers * sum(length * context + length * (length + 1) / 2 for length in branches)
        return whole + 4 * d * pairs + 2 * d * self.vocabulary * (1 + positions)


def least_flops(model: LanguageModel, run: Run) -> float:
    """Return the FLOPs that a run's scores take at least: each distinct segment encoded once, no padding."""
    sizes = Sizes.of(model)
    documents = Tokeniser(model, run.config, run.task)(run.documents())
    segments = {segment for document in documents for segment in document.context}
    if run.config.model == SIM:
        segments |= {choice for document in documents for choice in document.choices}
        return sum(sizes.encoding(len(segment.tokens)) for segment in segments)
    is_segmented, is_deep = run.config.is_segmented, run.config.vectors.encoding_layer is None
    encoding = sum(sizes.encoding(len(segment.tokens)) for segment in segments) if is_segmented and is_deep else 0.0
    scoring = sum(
        sizes.scoring(
            len(document.context) if is_segmented else len(document.context[0].tokens),
            [len(choice.tokens) for choice in document.choices],
        )
        for document in documents
    )
    return encoding + scoring


def measure_plain(subject: Subject, work: GpuWork, engine_s: float, *, is_rehearsal: bool) -> dict[str, object]:
    """Measure the plain way on as many documents as there is time for, and compare the scores."""
    with plain_ready(subject), torch.inference_mode():
        time_plain(subject, work.run(subject, 1).config)
        one_s, _ = time_plain(subject, work.run(subject, 1).config)
        number = 2 if is_rehearsal else max(1, min(32, int(PLAIN_S / one_s)))
        plain_s, expected = time_plain(subject, work.run(subject, number).config)
    _, evaluation = work.evaluate(subject, number)
    scores = scores_of(evaluation)
    return {
        "times the plain way": plain_s / number / engine_s,
        "plain documents": number,
        "largest difference": relative_difference(scores, expected),
        "flips": count_flips(scores, expected),
    }


def measure(
    setup: Setup, subject: Subject, work: GpuWork, peak: float
) -> tuple[dict[str, object], dict[str, object], float]:
    """Measure a piece of work; return figures, details and seconds a document."""
    few, some = (1, 2) if setup.tiny else (16, 64)
    work.evaluate(subject, few)
    some_s, _ = work.evaluate(subject, some)
    documents = some if setup.tiny else max(some, min(MOST_DOCUMENTS, int(TARGET_S * some / some_s)))
    seconds, evaluation = work.evaluate(subject, documents)
    flops = least_flops(subject.model, work.run(subject, documents))
    record = evaluation.record
    figures: dict[str, object] = {
        "share of the matrix product": flops / seconds / 1e12 / peak,
        "TFLOP/s": flops / seconds / 1e12,
        "documents/s": documents / seconds,
        "tokens/s": record.num_tokens / seconds,
        "peak GiB": record.peak_memory_gib,
    }
    details = {"documents": documents, "seconds": seconds, "least FLOPs": flops, "pass": record.content()}
    return figures, details, seconds / documents


def _goal(shape: Shape, work: GpuWork) -> float | None:
    return None if work.name.endswith("layer 0") else GOALS.get(shape.name)


def speed(setup: Setup, report: Report) -> None:
    """Measure each work on each shape, then the plain way on a few of the same documents."""
    peak = report.figure("card", PRODUCT, "TFLOP/s")
    peak = peak or matrix_speed(256 if setup.tiny else 8192, torch.bfloat16, setup.device) / 1e3
    for shape in report.in_time(shapes(setup), lambda shape: shape.name, 200):
        with report.part(shape.name):
            _measure_shape(shape, setup, report, peak)
        free_memory(setup)


def _measure_shape(shape: Shape, setup: Setup, report: Report, peak: float) -> None:
    subject = make_subject(setup, shape)
    attention = getattr(subject.model.network.config, "_attn_implementation", None)
    parameters = subject.model.network.num_parameters()
    report.row(shape.name, {"parameters": parameters, "attention": attention, "matrix product": peak})
    for work in report.in_time(WORKS, lambda work: f"{shape.name}: {work.name}", 100):
        name = f"{shape.name}: {work.name}"
        with report.part(name):
            figures, details, engine_s = measure(setup, subject, work, peak)
            report.row(name, {**figures, "goal": _goal(shape, work)}, details)
            with report.part(f"{name}, plain"):
                report.row(f"{name}, plain", measure_plain(subject, work, engine_s, is_rehearsal=setup.tiny))
