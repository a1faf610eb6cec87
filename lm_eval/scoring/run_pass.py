"""`evaluate_many`: evaluate runs that share a pass, from documents to evaluations."""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace

from lm_eval.common.progress import DocumentProgress
from lm_eval.config.runtime import Execution
from lm_eval.contexts.special_tokens import FrontTokens
from lm_eval.contexts.streaming import tokenised_ahead, windows
from lm_eval.contexts.tokenization import (
    TokenisedDocument,
    Tokeniser,
    count_tokens,
    has_unknown_tokens,
    refuse_unknown_tokens,
)
from lm_eval.inference.batching import Batcher
from lm_eval.inference.memory import choose_budget, peak_memory_gib, reset_peak_memory
from lm_eval.inference.speedups import fast
from lm_eval.models.language_model import LanguageModel, dtype_name
from lm_eval.results.identity import Run, identify_now
from lm_eval.results.provenance import PassRecord, now
from lm_eval.scoring.evaluation import Evaluation
from lm_eval.scoring.shared_pass import SharedPass
from lm_eval.tasks.documents import Document

logger = logging.getLogger(__name__)

_KEPT_BYTES = 1 << 29
"""Bytes of segment vectors that are kept for later windows. Besides the model, a pass thus takes the memory of a batch
(`inference/memory`), this, and a window (`contexts/streaming`), for any number of documents and configurations.
"""


def evaluate_many(
    runs: Sequence[Run],
    model: LanguageModel,
    execution: Execution,
    *,
    keep_documents: int | None = None,
    show_progress: bool = False,
) -> list[Evaluation]:
    """Evaluate runs that share their passes.

    Args:
        runs: runs with equal `pass_key`; they are identified again, by the current content of model and data.
        model: the loaded model.
        execution: how to run.
        keep_documents: how many documents' scores are kept; None keeps all of them.
        show_progress: whether a progress bar is drawn.

    Returns:
        One evaluation per run, in the same order.

    Raises:
        ConfigurationError: a configuration does not fit the model or the data.
        RunError: a document cannot be scored.
    """
    began, record = time.perf_counter(), PassRecord(num_configurations=len(runs))
    reset_peak_memory(model)
    runs = identify_now(runs, dtype_name(model.dtype))
    documents, batcher = runs[0].documents(), Batcher(choose_budget(model, execution))
    evaluations = [Evaluation(run=run, num_kept=keep_documents, record=record) for run in runs]
    passes = _alike_in_front(evaluations, model)
    with (
        DocumentProgress(len(documents) * len(passes), runs[0].task.name, shown=show_progress) as progress,
        fast(model),
    ):
        for alike in passes:
            together = [evaluation.run for evaluation in alike]
            tokenise = Tokeniser(model, together[0].config, together[0].task)
            if has_unknown_tokens(model):  # so that nothing is computed in vain
                refuse_unknown_tokens(model, tokenised_ahead(replace(tokenise), documents))
            shared = SharedPass(runs=together, model=model, batcher=batcher, max_kept_bytes=_KEPT_BYTES, record=record)
            _score(documents, tokenise, shared, alike, progress)
            record.num_truncated = max(record.num_truncated, tokenise.num_truncated)
    _warn_of_cuts(record.num_truncated, runs[0], model)
    record.seconds, record.finished = time.perf_counter() - began, now()
    record.phases["score"] = record.seconds - record.phases.get("encode", 0.0)
    record.num_documents, record.num_tokens = len(documents), batcher.sizes.num_tokens
    record.batches = batcher.record()
    record.peak_memory_gib = peak_memory_gib(model)
    return evaluations


def _alike_in_front(evaluations: Sequence[Evaluation], model: LanguageModel) -> list[list[Evaluation]]:
    """Group evaluations by the tokens that stand in front of their texts, which cannot share a pass otherwise."""
    groups: dict[FrontTokens, list[Evaluation]] = {}
    for evaluation in evaluations:
        groups.setdefault(FrontTokens.of(evaluation.run.config, model), []).append(evaluation)
    return list(groups.values())


def _score(
    documents: Sequence[Document],
    tokenise: Tokeniser,
    shared: SharedPass,
    evaluations: Sequence[Evaluation],
    progress: DocumentProgress,
) -> None:
    def tokenise_chunk(chunk: list[Document]) -> list[TokenisedDocument]:
        with shared.record.phase("tokenise"):
            return tokenise(chunk)

    for window in windows(tokenised_ahead(tokenise_chunk, documents), count_tokens, shared.bytes_held):
        advance = progress.start_window(len(window), shared.work_in_tokens(window))
        for index, scores in shared.score(window, advance):
            evaluations[index].add(scores)
        progress.finish_window(len(window))


def _warn_of_cuts(num_truncated: int, run: Run, model: LanguageModel) -> None:
    if num_truncated:
        logger.warning(
            "%s: %d segments were longer than the %d tokens that %s takes; they were cut from the left",
            run.task.name, num_truncated, model.max_length, model.name,
        )  # fmt: skip
