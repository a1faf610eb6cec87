"""What a run finds out, and the content of its result file (experiment §5, §7)."""

import logging
import math
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from lm_eval.common.progress import DocumentProgress
from lm_eval.config.run_config import RunConfig
from lm_eval.config.runtime import Execution
from lm_eval.contexts.streaming import tokenised_ahead, windows
from lm_eval.contexts.tokenization import TokenisedDocument, Tokeniser, count_tokens
from lm_eval.errors import RunError
from lm_eval.inference.batching import Batcher
from lm_eval.inference.memory import choose_budget, peak_memory_gib, reset_peak_memory
from lm_eval.inference.speedups import fast
from lm_eval.models.language_model import LanguageModel, dtype_name
from lm_eval.results.identity import canonical, identify
from lm_eval.results.provenance import PassRecord, code_version, command_line, now, package_versions
from lm_eval.results.result_file import config_content
from lm_eval.scoring.metrics import DocumentScores, Tally
from lm_eval.scoring.shared_pass import SharedPass
from lm_eval.tasks.documents import Document, check_differ, select_documents
from lm_eval.tasks.registry import find_task

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Evaluation:
    """What a run finds out."""

    config: RunConfig
    identity: dict[str, Any]
    """Of the configuration when the run began: data or weights may change while it runs."""
    num_kept: int | None
    """Documents whose scores are kept; None keeps all."""
    record: PassRecord
    """Of the passes that it shared with others."""
    num_documents: int = 0
    documents: list[DocumentScores] = field(default_factory=list)
    """The first ones, in document order."""
    _failure: str | None = None

    @cached_property
    def _tally(self) -> Tally:
        return Tally(find_task(self.config).metrics)

    def add(self, documents: Sequence[DocumentScores]) -> None:
        """Take the scores of the next documents."""
        self.num_documents += len(documents)
        room = len(documents) if self.num_kept is None else max(0, self.num_kept - len(self.documents))
        self.documents.extend(documents[:room])
        for document in documents:
            if self._failure is None:
                self._failure = _find_nan(self.config, document)
            self._tally.add(document)

    def metrics(self) -> Mapping[str, float | None]:
        """Return the metrics of the task and their standard errors.

        Raises:
            RunError: a score is not a number.
        """
        if self._failure is not None:
            raise RunError(self._failure)
        return self._tally.aggregate()

    def samples(self) -> list[dict[str, Any]]:
        """Return one dict a document, in document order."""
        return [_sample(document) for document in self.documents]


def _sample(document: DocumentScores) -> dict[str, Any]:
    sample: dict[str, Any] = {
        "doc_id": document.doc_id,
        "source": document.example.source,
        "gold": list(document.example.gold),
        "scores": list(document.scores),
    }
    if document.is_exact_match is not None:
        sample["is_exact_match"] = list(document.is_exact_match)
    return sample


def _find_nan(config: RunConfig, document: DocumentScores) -> str | None:
    """Return what is wrong with a document's scores, or None."""
    for index, score in enumerate(document.scores):
        if not math.isfinite(score):
            return (
                f"document {document.doc_id} ({document.example.source}): the score of choice {index} is {score}, "
                f"not a number; if {config.pretrained} overflows in its dtype, choose dtype=float32 or bfloat16"
            )
    return None


def make_result(
    evaluation: Evaluation, model: LanguageModel, execution: Execution, *, log_samples: bool
) -> dict[str, Any]:
    """Return the content of a result file (experiment §7).

    Raises:
        RunError: a score is not a number.
    """
    config = evaluation.config
    result: dict[str, Any] = {
        "results": {config.task: dict(evaluation.metrics())},
        "versions": {config.task: find_task(config).version},
        "config": config_content(config, batch_size=execution.batch_size, device=execution.device),
        "identity": {config.task: evaluation.identity},
        "run": {config.task: _run(evaluation, model)},
    }
    if log_samples:
        result["samples"] = {config.task: evaluation.samples()}
    return result


def _run(evaluation: Evaluation, model: LanguageModel) -> dict[str, Any]:
    return {
        "num_documents": evaluation.num_documents,
        **evaluation.record.content(),
        "load_s": round(model.load_seconds, 3),
        "host": platform.node(),
        "device": str(model.device),
        "gpus": [torch.cuda.get_device_name(device) for device in model.gpus],
        "dtype": dtype_name(model.dtype),
        "parameters": model.network.num_parameters(),
        "command_line": command_line(),
        "code": code_version(),
        "packages": package_versions(),
    }


_KEPT_BYTES = 1 << 29
"""Vectors of segments that are kept for later windows. Beyond the model a pass so takes about a batch
(`models/memory`), this and a window (`windows`), however many documents and configurations there are.
"""


def evaluate_many(
    configs: Sequence[RunConfig],
    model: LanguageModel,
    execution: Execution,
    *,
    keep_documents: int | None = None,
    show_progress: bool = False,
) -> list[Evaluation]:
    """Evaluate configurations that share their passes.

    Args:
        configs: configurations with equal `pass_key`.
        model: the loaded model.
        execution: how to run.
        keep_documents: of how many documents the scores are kept; None keeps all of them, however many there are.
        show_progress: whether a progress bar is drawn.

    Returns:
        One evaluation a configuration, in their order.

    Raises:
        ConfigurationError: a configuration does not fit the model or the data.
        RunError: a document cannot be scored.
    """
    began, record = time.perf_counter(), PassRecord(num_configurations=len(configs))
    reset_peak_memory(model)
    first, batcher = configs[0], Batcher(choose_budget(model, execution))
    task = find_task(first)
    tokenise = Tokeniser(model, first)
    shared = SharedPass(configs=configs, model=model, batcher=batcher, max_kept_bytes=_KEPT_BYTES, record=record)
    evaluations = [
        Evaluation(config=c, identity=_identify(c, model), num_kept=keep_documents, record=record) for c in configs
    ]
    documents = _select(first)

    def tokenise_chunk(chunk: list[Document]) -> list[TokenisedDocument]:
        with record.phase("tokenise"):
            return tokenise(chunk)

    with DocumentProgress(len(documents), task.name, shown=show_progress) as progress, fast(model):
        for window in windows(tokenised_ahead(tokenise_chunk, documents), count_tokens, shared.bytes_held):
            advance = progress.start_window(len(window), shared.work_in_tokens(window))
            for place, scores in shared.score(window, advance):
                evaluations[place].add(scores)
            progress.finish_window(len(window))
    if tokenise.num_truncated:
        logger.warning(
            "%s: %d segments were longer than the %d tokens that %s takes; they were cut from the left",
            task.name, tokenise.num_truncated, model.max_length, model.name,
        )  # fmt: skip
    record.seconds, record.finished = time.perf_counter() - began, now()
    record.phases["score"] = record.seconds - record.phases.get("encode", 0.0)
    record.num_documents, record.num_tokens = len(documents), batcher.sizes.num_tokens
    record.num_truncated, record.batches = tokenise.num_truncated, batcher.record()
    record.peak_memory_gib = peak_memory_gib(model)
    return evaluations


def _select(config: RunConfig) -> list[Document]:
    """Return the documents of a configuration, with the shots that its contexts show."""
    num_fewshot = canonical(config).num_fewshot
    documents = select_documents(find_task(config).dataset, config.data_dir, num_fewshot, config.limit)
    check_differ(documents, config.encoding_scheme)
    return documents


def _identify(config: RunConfig, model: LanguageModel) -> dict[str, Any]:
    """Identify a configuration, with the dtype that the hardware decided where none was asked for."""
    return identify(replace(config, dtype=dtype_name(model.dtype)))
