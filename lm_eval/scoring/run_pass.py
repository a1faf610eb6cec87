"""`evaluate_many`: evaluate runs that share a pass, from documents to evaluations."""

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice

from lm_eval.common.progress import DocumentProgress
from lm_eval.common.text import say_cut
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
from lm_eval.errors import ConfigurationError
from lm_eval.inference.batching import Batcher
from lm_eval.inference.interventions import find_interventions
from lm_eval.inference.memory import choose_budget, peak_memory_gib, reset_peak_memory
from lm_eval.inference.speedups import fast
from lm_eval.models.compatibility import check_use
from lm_eval.models.language_model import LanguageModel, dtype_name
from lm_eval.results.identity import Read, Run, identify_now
from lm_eval.results.provenance import PassRecord, now
from lm_eval.scoring.blocks import Block
from lm_eval.scoring.evaluation import Evaluation
from lm_eval.scoring.shared_pass import SharedPass
from lm_eval.tasks.documents import Document, identify_contents, read_contents
from lm_eval.tasks.row_files import ChangedDataError
from lm_eval.vectors.compression import Compression

logger = logging.getLogger(__name__)

_ATTEMPTS = 5
"""How often data are read that change meanwhile."""
_KEPT_BYTES = 1 << 29
"""Bytes of segment vectors that are kept for later windows. Besides the model, a pass thus takes the memory of a batch
(`inference/memory`), this, and a window (`contexts/streaming`), for any number of documents and configurations.
"""
_CHECKED_TOGETHER = 256
"""Documents that are looked through at once."""


def evaluate_many(
    runs: Sequence[Run],
    model: LanguageModel,
    execution: Execution,
    *,
    keep_documents: int | None = None,
    blocks: Sequence[Block] = (),
    progress: DocumentProgress | None = None,
) -> list[Evaluation]:
    """Evaluate runs that share their passes; return an evaluation of each, of the documents asked for, in order.

    Args:
        runs: runs with equal `pass_key`; they are identified again, by what was loaded and read.
        model: the loaded model.
        execution: how to run.
        keep_documents: how many documents' scores are kept; None keeps all of them.
        blocks: the documents to score, in blocks that share nothing; all of them in one, where none is given.
        progress: counts the documents.

    Raises:
        ConfigurationError: a configuration does not fit the model or the data.
        RunError: a document cannot be scored.
    """
    began, record = time.perf_counter(), PassRecord(num_configurations=len(runs))
    reset_peak_memory(model)
    runs, documents = read_now(runs, model)
    blocks, batcher = blocks or [(0, len(documents))], Batcher(choose_budget(model, execution))
    evaluations = [Evaluation(run=run, num_kept=keep_documents, record=record) for run in runs]
    with fast(model):
        for alike in _alike_in_front(evaluations, model):
            shared = SharedPass(
                runs=[one.run for one in alike], model=model, batcher=batcher, max_kept_bytes=_KEPT_BYTES, record=record
            )
            record.num_truncated = max(record.num_truncated, _score(documents, blocks, shared, alike, progress))
    _warn_of_cuts(record.num_truncated, runs[0], model)
    record.seconds, record.num_documents = time.perf_counter() - began, sum(end - start for start, end in blocks)
    _finish(record, batcher, model)
    return evaluations


def _finish(record: PassRecord, batcher: Batcher, model: LanguageModel) -> None:
    record.finished, record.num_tokens = now(), batcher.sizes.num_tokens
    record.phases["score"] = record.seconds - record.phases.get("encode", 0.0)
    record.batches, record.peak_memory_gib = batcher.record(), peak_memory_gib(model)


def read_now(runs: Sequence[Run], model: LanguageModel) -> tuple[list[Run], list[Document]]:
    """Read the documents of runs that the model can do, and identify these by what was loaded and read.

    Raises:
        ConfigurationError: a configuration does not fit the model or the data.
    """
    if model.care is None and (done := find_interventions(model.network)):
        raise ConfigurationError(
            f"{model.name}: an intervention is at work ({'; '.join(done)}), which an identity of files doesn't state; "
            "give simple_evaluate the network and its tokenizer"
        )
    for run in runs:
        check_use(run.config, model.name, sees_behind=model.attends_both_ways, reads_tokens=model.reads_tokens)
    for _ in range(_ATTEMPTS - 1):
        with suppress(ChangedDataError):
            return _read_once(runs, model)
    return _read_once(runs, model)


def _read_once(runs: Sequence[Run], model: LanguageModel) -> tuple[list[Run], list[Document]]:
    form, dataset = runs[0].form, runs[0].task.dataset
    contents = read_contents(dataset, form.num_fewshot, form.data_dir)
    read = replace(read_of(model), data=identify_contents(contents, dataset, form.data_dir))
    identified = identify_now(runs, dtype_name(model.dtype), read)
    return identified, identified[0].documents(contents)


def read_of(model: LanguageModel) -> Read:
    """Return what was read when a model was loaded."""
    content = model.content
    return Read() if content is None else Read(weights=content.weights, borders=content.borders, family=content.family)


def _alike_in_front(evaluations: Sequence[Evaluation], model: LanguageModel) -> list[list[Evaluation]]:
    """Group evaluations by the tokens that stand in front of their texts, which cannot share a pass otherwise."""
    groups: dict[FrontTokens, list[Evaluation]] = {}
    for evaluation in evaluations:
        groups.setdefault(FrontTokens.of(evaluation.run.config, model), []).append(evaluation)
    return list(groups.values())


def _score(
    documents: Sequence[Document],
    blocks: Sequence[Block],
    shared: SharedPass,
    evaluations: Sequence[Evaluation],
    progress: DocumentProgress | None,
) -> int:
    """Score blocks of documents for evaluations that share a pass; return how many segments were truncated."""
    model, first = shared.model, shared.runs[0]
    tokenise = Tokeniser(model, first.config, first.task)
    wanted = [document for start, end in blocks for document in documents[start:end]]
    _refuse_in_time(documents if blocks[0][0] == 0 else wanted, tokenise)  # of a whole pass, with its first piece

    def tokenise_chunk(chunk: list[Document]) -> list[TokenisedDocument]:
        with shared.record.phase("tokenise"):
            return tokenise(chunk)

    num_truncated = 0
    progress, stream = progress or DocumentProgress(0, "", shown=False), tokenised_ahead(tokenise_chunk, wanted)
    for start, end in blocks:
        alone, num_cut = shared.anew(), 0
        for window in windows(islice(stream, end - start), count_tokens, alone.bytes_held):
            advance = progress.start_window(len(window), alone.work_in_tokens(window))
            for index, scores in alone.score(window, advance):
                evaluations[index].add(scores)
            progress.finish_window(len(window))
            num_cut += sum(document.num_truncated for document in window)
        for index, evaluation in enumerate(evaluations):
            evaluation.end_block((start, end), alone.compression.get(index, Compression()), num_cut)
        num_truncated += num_cut
    return num_truncated


def _refuse_in_time(documents: Sequence[Document], tokenise: Tokeniser) -> None:
    """Look through all documents for what can't be scored, before anything is computed in vain."""
    for start in range(0, len(documents), _CHECKED_TOGETHER):
        tokenise.refuse_merging(documents[start : start + _CHECKED_TOGETHER])
    if has_unknown_tokens(tokenise.model):
        refuse_unknown_tokens(tokenise.model, tokenised_ahead(replace(tokenise), documents))


def _warn_of_cuts(num_truncated: int, run: Run, model: LanguageModel) -> None:
    if num_truncated:
        most = f"the {model.max_length:,} tokens that {model.name} takes"
        logger.warning("%s: %s", run.task.name, say_cut(num_truncated, most))
