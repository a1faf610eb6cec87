"""The machine's own speed: what a large matrix product reaches, and a long forward pass beside it."""

import statistics
import time
from collections.abc import Callable

import torch

from benchmarks.subjects import Subject
from lm_eval.inference.speedups import fast


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
    times_s = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        times_s.append(time.perf_counter() - began)
    return statistics.median(times_s)
