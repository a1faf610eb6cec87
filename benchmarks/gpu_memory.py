"""Memory on the card: what the batch budget finds, a lack of memory that is real, and what each phase takes."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from benchmarks.compare import Scores, relative_difference
from benchmarks.engine import scores_of
from benchmarks.gpu_parity import count_flips
from benchmarks.gpu_report import Report, Setup
from benchmarks.gpu_subjects import CROSS, WORKS, GpuWork, Shape, free_memory, make_subject, middle_shape, shapes
from benchmarks.subjects import Subject
from lm_eval.config.runtime import Execution
from lm_eval.errors import MemoryShortageError
from lm_eval.inference.loading import load_model
from lm_eval.inference.memory import choose_budget
from lm_eval.models.families import find_family
from lm_eval.models.size import count_parameters
from lm_eval.scheduling.memory_need import memory_gib

GIB = 1 << 30
TOLERANCE = 1e-4
SEVERAL_ROWS = 1_000


# --- The budget -------------------------------------------------------------------------------------------------------


def budget(setup: Setup, report: Report) -> None:
    """Show which batches the budget allows, what they take, and whether others would be faster."""
    subject = make_subject(setup, middle_shape(setup))
    documents = 2 if setup.tiny else 192
    CROSS.evaluate(subject, 4)
    for work in WORKS:
        with report.part(f"budget, {work.name}"):
            _show_budget(work, subject, documents, report)
    if setup.on_card:
        with report.part("budget, a small share of the card"):
            _show_share(subject, documents, report)
    for rows in report.in_time((2, 4) if setup.tiny else (4, 8, 16, 32, 64, 128), lambda n: f"{n} rows a batch", 40):
        with report.part(f"{rows} rows a batch"):
            seconds, evaluation = CROSS.evaluate(subject, documents, Execution(batch_size=rows))
            record = evaluation.record
            figures = {"documents/s": documents / seconds, "peak GiB": record.peak_memory_gib}
            report.row(f"{rows} rows a batch", {**figures, "tokens": record.batches["most_tokens"]})


def _show_budget(work: GpuWork, subject: Subject, documents: int, report: Report) -> None:
    chosen = choose_budget(subject.model, Execution())
    before, free = _allocated(subject), _free(subject)
    seconds, evaluation = work.evaluate(subject, documents)
    batches, peak = evaluation.record.batches, evaluation.record.peak_memory_gib
    taken = peak - before
    figures = {
        "max tokens": chosen.max_tokens, "most tokens": batches["most_tokens"], "most rows": batches["most_rows"],
        "batches": batches["num_batches"], "halved": batches["num_halved"], "peak GiB": peak,
        "GiB of batches": taken, "share of what was free": taken / free if free else None,
        "documents/s": documents / seconds,
    }  # fmt: skip
    report.row(f"budget, {work.name}", figures, {"budget": str(chosen), "batches": batches})


def _show_share(subject: Subject, documents: int, report: Report) -> None:
    total = torch.cuda.mem_get_info()[1] / GIB
    share = (_allocated(subject) + 4.0) / total
    chosen = choose_budget(subject.model, Execution(gpu_share=share))
    _, evaluation = CROSS.evaluate(subject, documents, Execution(gpu_share=share))
    peak = evaluation.record.peak_memory_gib
    figures = {"share GiB": share * total, "max tokens": chosen.max_tokens, "peak GiB": peak}
    report.row("budget, a small share of the card", {**figures, "ok": peak <= share * total})


def _allocated(subject: Subject) -> float:
    return sum(torch.cuda.memory_allocated(device) for device in subject.model.gpus) / GIB


def _free(subject: Subject) -> float:
    cached = sum(map(torch.cuda.memory_reserved, subject.model.gpus)) / GIB - _allocated(subject)
    return sum(torch.cuda.mem_get_info(device)[0] for device in subject.model.gpus) / GIB + cached


# --- A lack of memory -------------------------------------------------------------------------------------------------


@contextmanager
def _memory_for(subject: Subject, gib: float, rehearsed_tokens: int) -> Iterator[None]:
    """Leave so much memory beside the model; without a card, let a pass of too many tokens raise torch's error."""
    if subject.model.gpus:
        torch.cuda.empty_cache()
        total = torch.cuda.mem_get_info()[1] / GIB
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() / GIB + gib) / total)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return

    def refuse(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:  # noqa: ANN401
        if kwargs["inputs_embeds"].shape[:2].numel() > rehearsed_tokens:
            raise torch.OutOfMemoryError("a rehearsal")

    hook = subject.model.encoder.register_forward_pre_hook(refuse, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collect what the package warns of."""
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("lm_eval")
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)


def oom(setup: Setup, report: Report) -> None:
    """Provoke a lack of memory in each way of scoring: batches are halved, and the scores stay."""
    subject = make_subject(setup, shapes(setup)[0], torch.float32)
    documents = 8 if setup.tiny else 128
    for work in report.in_time(WORKS, lambda work: f"too little memory, {work.name}", 60):
        with report.part(f"too little memory, {work.name}"):
            expected = scores_of(work.evaluate(subject, documents, Execution(batch_size=4))[1])
            for name, execution in (("budget", Execution()), ("1,000 rows", Execution(batch_size=SEVERAL_ROWS))):
                label = f"too little memory, {work.name}, {name}"
                with report.part(label):
                    report.row(label, *_halve(work, subject, documents, execution, expected))
    with report.part("no memory for a single row"), _memory_for(subject, 0.01, 10):
        try:
            CROSS.evaluate(subject, 4)
        except MemoryShortageError as error:
            report.row("no memory for a single row", {"refused": str(error), "ok": True})
        else:
            report.row("no memory for a single row", {"refused": "not at all", "ok": False})
    with report.part("after that"):
        _, evaluation = CROSS.evaluate(subject, 4)
        halved = evaluation.record.batches["num_halved"]
        report.row("after that", {"halved": halved, "ok": halved == 0})


def _halve(
    work: GpuWork, subject: Subject, documents: int, execution: Execution, expected: Scores
) -> tuple[dict[str, object], dict[str, object]]:
    """Evaluate with too little memory; return figures and details."""
    with _memory_for(subject, 0.4, 1_200), _warnings() as warned:
        chosen = choose_budget(subject.model, execution)
        seconds, evaluation = work.evaluate(subject, documents, execution)
    batches, scores = evaluation.record.batches, scores_of(evaluation)
    difference = relative_difference(scores, expected)
    was_halved = bool(batches["num_halved"]) or execution.batch_size is None
    figures: dict[str, object] = {
        "halved": batches["num_halved"], "most tokens": batches["most_tokens"], "seconds": seconds,
        "peak GiB": evaluation.record.peak_memory_gib, "difference": difference,
        "flips": count_flips(scores, expected),
        "ok": difference <= TOLERANCE and was_halved,
    }  # fmt: skip
    return figures, {"budget": str(chosen), "batches": batches, "warnings": warned}


# --- Memory by phase --------------------------------------------------------------------------------------------------


class _Phases:
    """The most memory in blocks, in the projection to the vocabulary, and in what comes behind each."""

    def __init__(self, subject: Subject) -> None:
        self.most: dict[str, float] = {}
        self._next = "between"
        model = subject.model
        self._hooks = [
            model.blocks[0].register_forward_pre_hook(lambda *_: self._change("blocks")),
            model.output_head.register_forward_pre_hook(lambda *_: self._change("head")),
            model.output_head.register_forward_hook(lambda *_: self._change("log-probabilities")),
        ]

    def _change(self, phase: str) -> None:
        self.end()
        torch.cuda.reset_peak_memory_stats()
        self._next = phase

    def end(self) -> None:
        peak = torch.cuda.max_memory_allocated() / GIB
        self.most[self._next] = max(peak, self.most.get(self._next, 0.0))

    def remove(self) -> None:
        """Take the hooks away."""
        self.end()
        for hook in self._hooks:
            hook.remove()


def memory(setup: Setup, report: Report) -> None:
    """Compare what phases take with what the project expects before it loads a model."""
    for shape in report.in_time(shapes(setup), lambda shape: shape.name, 60):
        with report.part(shape.name):
            _compare_with_estimate(shape, setup, report)
        free_memory(setup)
    for name in report.in_time(("loading from a folder",), str, 60):
        with report.part(name):
            _load(setup, report)


def _compare_with_estimate(shape: Shape, setup: Setup, report: Report) -> None:
    subject = make_subject(setup, shape)
    config = subject.model.network.config.to_dict()
    counted = count_parameters(config, find_family(config, shape.name))
    real, loaded = subject.model.network.num_parameters(), _allocated(subject)
    phases = {work.name: _phases_of(work, subject, 2 if setup.tiny else 96) for work in WORKS[:3]}
    peaks = {work: peak for work, (_, peak) in phases.items()}
    figures = {
        "parameters": real, "counted": counted / real,
        "expected GiB": memory_gib(counted, "bfloat16", on_gpu=setup.on_card), "loaded GiB": loaded,
        "most reserved GiB": torch.cuda.max_memory_reserved() / GIB if setup.on_card else None,
        "peak by work": [round(peak, 2) for peak in peaks.values()],
        "ok": abs(counted / real - 1) < 0.01 or setup.tiny,
    }  # fmt: skip
    report.row(shape.name, figures, {"GiB by phase": {work: most for work, (most, _) in phases.items()}, "peak": peaks})


def _phases_of(work: GpuWork, subject: Subject, documents: int) -> tuple[dict[str, float], float]:
    """Return the most memory of each phase, and of all."""
    phases = _Phases(subject) if subject.model.gpus else None
    _, evaluation = work.evaluate(subject, documents)
    if phases is None:
        return {}, evaluation.record.peak_memory_gib
    phases.remove()
    return phases.most, max(phases.most.values())


def _load(setup: Setup, report: Report) -> None:
    """Write the middle shape's weights, and load them as any model is loaded."""
    subject = make_subject(setup, middle_shape(setup))
    folder = setup.folder / "checkpoint"
    subject.model.network.save_pretrained(folder)
    subject.model.tokenizer.save_pretrained(folder)
    expected = scores_of(CROSS.evaluate(subject, 4)[1])
    for name, options in (("device", {"device": setup.device}), ("device_map=auto", {"spread": True})):
        with report.part(f"loading, {name}"):
            if setup.on_card:
                torch.cuda.reset_peak_memory_stats()
            began, before = time.perf_counter(), _allocated(subject)
            model = load_model(str(folder), dtype="bfloat16", **options)
            seconds = time.perf_counter() - began
            peak = torch.cuda.max_memory_allocated() / GIB - before if setup.on_card else None
            _, evaluation = CROSS.evaluate(Subject(model, subject.data_dir), 4)
            difference = relative_difference(scores_of(evaluation), expected)
            figures = {"seconds": seconds, "peak GiB": peak, "weights GiB": _allocated(subject) - before}
            report.row(f"loading, {name}", {**figures, "difference": difference, "ok": difference <= TOLERANCE})
            del model, evaluation
