"""`Evaluation`: the scores and metrics of a run, and the content of its result file (experiment §5, §7)."""

import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import torch

from lm_eval.config.run_config import RunConfig
from lm_eval.config.runtime import Execution
from lm_eval.errors import RunError
from lm_eval.models.language_model import LanguageModel, dtype_name
from lm_eval.results.identity import Run
from lm_eval.results.pieces import BlockCounts, Part, Span
from lm_eval.results.provenance import PassRecord, code_digest, code_version, command_line, package_versions
from lm_eval.results.result_file import config_content
from lm_eval.scoring.metrics import DocumentScores, Tally, columns_of
from lm_eval.vectors.compression import Compression


@dataclass(kw_only=True)
class Evaluation:
    """The scores of a run, collected document by document."""

    run: Run
    """Identified when the pass began: data or weights may change while it runs."""
    num_kept: int | None
    """Documents whose scores are kept; None keeps all."""
    record: PassRecord
    """The record of its passes, shared with other runs."""
    compression: Compression = field(default_factory=Compression)
    """What its contexts became; empty where they aren't vectors."""
    blocks: list[BlockCounts] = field(default_factory=list)
    """What was counted of each block."""
    num_documents: int = 0
    documents: list[DocumentScores] = field(default_factory=list)
    """The scores of the first `num_kept` documents, in document order."""
    _failure: str | None = None

    @cached_property
    def _tally(self) -> Tally:
        return Tally(self.run.task.metrics, self.run.task.own)

    def add(self, documents: Sequence[DocumentScores]) -> None:
        """Add the scores of the next documents."""
        self.num_documents += len(documents)
        num_free = len(documents) if self.num_kept is None else max(0, self.num_kept - len(self.documents))
        self.documents.extend(documents[:num_free])
        for document in documents:
            if self._failure is None:
                self._failure = _find_nan(self.run.config, document)
            self._tally.add(document)

    def end_block(self, block: Span, compression: Compression, num_truncated: int) -> None:
        """Take what was counted of a block whose documents were added."""
        self.compression.join(compression)
        counts = compression.num_contexts, compression.num_tokens, compression.num_vectors
        self.blocks.append(BlockCounts(*block, *counts, num_truncated))

    def metrics(self) -> Mapping[str, float | None]:
        """Return the metrics of the task and their standard errors.

        Raises:
            RunError: a score is not a number.
        """
        if self._failure is not None:
            raise RunError(self._failure)
        return self._tally.aggregate()

    def samples(self) -> list[dict[str, Any]]:
        """Return one dict per document, in document order."""
        return [document.sample() for document in self.documents]


def _find_nan(config: RunConfig, document: DocumentScores) -> str | None:
    """Return an error message if one of a document's scores is not finite, or None."""
    for index, score in enumerate(document.scores):
        if not math.isfinite(score):
            return (
                f"document {document.doc_id} ({document.example.source}): the score of choice {index} is {score}, "
                f"not a number; if {config.pretrained} overflows in its dtype, choose dtype=float32 or bfloat16"
            )
    return None


def make_result(evaluation: Evaluation, model: LanguageModel, execution: Execution) -> dict[str, Any]:
    """Return the content of a result file (experiment §7).

    Raises:
        RunError: a score is not a number.
    """
    config = evaluation.run.config
    result: dict[str, Any] = {
        "results": {config.task: dict(evaluation.metrics())},
        "versions": {config.task: evaluation.run.task.version},
        "config": config_content(config, batch_size=execution.batch_size, device=execution.device),
        "identity": {config.task: dict(evaluation.run.identity)},
        "run": {config.task: _run(evaluation, model)},
    }
    if execution.log_samples:
        result["samples"] = {config.task: evaluation.samples()}
    return result


def make_part(evaluation: Evaluation, model: LanguageModel, execution: Execution, span: Span) -> Part:
    """Return what has been done of a run, to be put together with the rest.

    Args:
        evaluation: with the scores of all documents of the piece.
        model: the model.
        execution: how it ran.
        span: the places of these documents among the run's.

    Raises:
        RunError: a score is not a number.
    """
    evaluation.metrics()
    return Part(
        start=span[0],
        end=span[1],
        identity=dict(evaluation.run.identity),
        documents=columns_of(evaluation.documents),
        blocks=tuple(evaluation.blocks),
        shared=asdict(evaluation.record),
        made_on=_made_on(model),
        asked={"batch_size": execution.batch_size, "device": execution.device},
        worker=f"{platform.node()}-{os.getpid()}",
        code=code_digest(),
    )


def _run(evaluation: Evaluation, model: LanguageModel) -> dict[str, Any]:
    return {
        "num_documents": evaluation.num_documents,
        "num_documents_resumed": 0,
        "num_workers": 1,
        **evaluation.compression.content(),
        **evaluation.record.content(),
        **_made_on(model),
    }


def _made_on(model: LanguageModel) -> dict[str, Any]:
    """Return what a result file states of the machine, the model as it was loaded, and the code."""
    return {
        "load_s": round(model.load_seconds, 3),
        "host": platform.node(),
        "device": str(model.device),
        "gpus": [torch.cuda.get_device_name(device) for device in model.gpus],
        "dtype": dtype_name(model.dtype),
        "parameters": model.network.num_parameters(),
        "num_layers": model.num_layers,
        "command_line": command_line(),
        "code": code_version(),
        "packages": package_versions(),
    }
