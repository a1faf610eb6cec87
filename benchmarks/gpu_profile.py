"""Where time goes: the card's kernels, how long it has nothing to do, and what the host does meanwhile."""

import cProfile
import pstats
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity

from benchmarks.gpu_report import Report, Setup
from benchmarks.gpu_subjects import WORKS, GpuWork, Shape, make_subject, middle_shape, shapes
from benchmarks.subjects import Subject

TOP = 10


def profile(setup: Setup, report: Report) -> None:
    """Profile the middle shape's `cross_encoding`, and the smallest shape's works, where the host shows most."""
    small = shapes(setup)[0]
    pieces: list[tuple[Shape, tuple[GpuWork, ...]]] = [(middle_shape(setup), WORKS[:3]), (small, WORKS)]
    for shape, works in report.in_time(pieces, lambda piece: piece[0].name, 80):
        with report.part(shape.name):
            subject = make_subject(setup, shape)
            for work in report.in_time(works, lambda work: work.name, 60):
                name = f"{shape.name}: {work.name}"
                with report.part(name):
                    work.evaluate(subject, 2 if setup.tiny else 96)
                    _profile_device(name, work, subject, setup, report)
                    _profile_host(f"{name}, host", work, subject, setup, report)


def _profile_device(name: str, work: GpuWork, subject: Subject, setup: Setup, report: Report) -> None:
    activity = ProfilerActivity.CUDA if setup.on_card else ProfilerActivity.CPU
    with torch.profiler.profile(activities=[activity]) as profiler:
        wall_s, _ = work.evaluate(subject, 2 if setup.tiny else 96)
    rows = [(event.key, _self_us(event, setup)) for event in profiler.key_averages()]
    total = sum(us for _, us in rows) or 1.0
    top = [(key[:90], us / total) for key, us in sorted(rows, key=lambda row: -row[1])[:TOP]]
    spans = [(e.time_range.start, e.time_range.end) for e in profiler.events() if "CUDA" in str(e.device_type)]
    idle = None if not spans else 1 - covered(spans) / (max(end for _, end in spans) - min(start for start, _ in spans))
    figures = {"seconds": wall_s, "busy s": total / 1e6, "idle": idle, "kernels": len(spans)}
    report.row(name, figures, {"share of the kernels' time": dict(top)})
    for key, share in top:
        print(f"      {share:6.1%} {key}", flush=True)


def _self_us(event: Any, setup: Setup) -> float:  # noqa: ANN401
    return float(event.self_device_time_total if setup.on_card else event.self_cpu_time_total)


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Return how much of a line spans cover together."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _profile_host(name: str, work: GpuWork, subject: Subject, setup: Setup, report: Report) -> None:
    """Show which functions the main thread spends its time in; waiting for the card counts where it waits."""
    with cProfile.Profile() as profiler:
        work.evaluate(subject, 2 if setup.tiny else 96)
    entries: dict[tuple[str, int, str], tuple[Any, int, float, float, Any]] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    longest = sorted(entries.items(), key=lambda entry: -entry[1][2])[:TOP]
    top = {f"{Path(file).name}:{line} {function}": own_s for (file, line, function), (_, _, own_s, _, _) in longest}
    report.row(name, {"own seconds of functions": len(entries)}, {"own seconds": top})
    for key, own_s in top.items():
        print(f"      {own_s:6.3f} s {key}", flush=True)
