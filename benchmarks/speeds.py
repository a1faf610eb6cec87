"""A machine's own speed: what a large matrix product reaches, and a long forward pass beside it."""

import statistics
import time
from collections.abc import Callable

import torch

from benchmarks.subjects import Subject
from lm_eval.inference.speedups import fast


def matrix_speed(size: int = 2048, dtype: torch.dtype = torch.float32, device: str = "cpu") -> float:
    """Return a device's speed in a square matrix product of random numbers, in GFLOP/s."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    seconds = median_seconds(lambda: torch.matmul(a, b, out=out), on_card=device.startswith("cuda"))
    return 2 * size**3 / seconds / 1e9


def pass_speed(subject: Subject, rows: int = 2, tokens: int = 512) -> float:
    """Return the speed of a long batch's forward pass through GPT-2's body, in GFLOP/s."""
    model = subject.model
    inputs = torch.randn(rows, tokens, model.hidden_size)
    weights = sum(parameter.numel() for block in model.blocks for parameter in block.parameters())
    attention = model.num_layers * 4 * model.hidden_size * tokens / 2
    with fast(model):
        seconds = median_seconds(lambda: model.encoder(inputs_embeds=inputs, use_cache=False))
    return rows * tokens * (2 * weights + attention) / seconds / 1e9


def median_seconds(work: Callable[[], object], *, on_card: bool = False, times: int = 9) -> float:
    """Return the median time of some work after it has warmed up, by a card's own clock where it runs on one."""
    for _ in range(2):
        work()
    times_s: list[float] = []
    for _ in range(times):
        if on_card:
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            work()
            end.record()
            end.synchronize()
            times_s.append(start.elapsed_time(end) / 1e3)
        else:
            began = time.perf_counter()
            work()
            times_s.append(time.perf_counter() - began)
    return statistics.median(times_s)
