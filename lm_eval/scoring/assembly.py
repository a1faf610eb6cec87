"""Assembly: the parts of a run, computed piece by piece, put together to the result that one pass would have given.

Needs no model and no torch, so that a driver can do it.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lm_eval.common.text import count_of
from lm_eval.config.run_config import RunConfig
from lm_eval.errors import RunError
from lm_eval.results.identity import Run, fingerprint, is_same_run
from lm_eval.results.pieces import Part, Span
from lm_eval.results.provenance import PassRecord
from lm_eval.results.result_file import config_content
from lm_eval.scoring.metrics import DocumentScores, Tally
from lm_eval.tasks.documents import Document, identify_contents, read_contents
from lm_eval.vectors.compression import Compression


def fitting(parts: Iterable[Part], run: Run) -> list[Part]:
    """Return the parts that belong to a run and to one another: of one identity, the one that most documents have."""
    own = [part for part in parts if is_same_run(part.identity, run.identity)]
    number = Counter[str]()
    for part in own:
        number[fingerprint(part.identity)] += part.end - part.start
    if len(number) > 1:
        chosen = max(sorted(number), key=number.__getitem__)
        own = [part for part in own if fingerprint(part.identity) == chosen]
    return own


def gaps(spans: Iterable[Span], num_documents: int) -> list[Span]:
    """Return the documents that no span covers."""
    missing, done = [], 0
    for start, end in sorted(spans):
        if start > done:
            missing.append((done, start))
        done = max(done, end)
    return [*missing, *([(done, num_documents)] if done < num_documents else [])]


def assemble(run: Run, parts: Sequence[Part], *, log_samples: bool, num_resumed: int) -> dict[str, Any]:
    """Return the content of a run's result file.

    Args:
        run: the run.
        parts: `fitting` ones that together hold all of its documents; of one that two hold, the first counts.
        log_samples: whether the result states the scores of every document.
        num_resumed: documents that an earlier call had done.

    Raises:
        RunError: a document is in none of them, or the data isn't what they were computed from.
    """
    config, documents = run.config, documents_of_identity(run, parts[0].identity)
    scored = join(parts, documents)
    tally = Tally(run.task.metrics, run.task.own)
    for document in scored:
        tally.add(document)
    result: dict[str, Any] = {
        "results": {config.task: tally.aggregate()},
        "versions": {config.task: run.task.version},
        "config": config_content(config, **_asked(parts)),
        "identity": {config.task: dict(parts[0].identity)},
        "run": {config.task: _run(config, parts, len(documents), num_resumed)},
    }
    if log_samples:
        result["samples"] = {config.task: [document.sample() for document in scored]}
    return result


def documents_of_identity(run: Run, identity: Mapping[str, Any]) -> list[Document]:
    """Return the documents of a run, if they still are those that it was computed from.

    Args:
        run: the run.
        identity: by what was read when it was computed.

    Raises:
        RunError: the data has changed since.
    """
    form, dataset = run.form, run.task.dataset
    contents = read_contents(dataset, form.num_fewshot, form.data_dir)
    if identify_contents(contents, dataset, form.data_dir) != dict(identity["data"]):
        raise RunError("the data has changed since its first documents were scored; call again to score all of them")
    return run.documents(contents)


def join(parts: Sequence[Part], documents: Sequence[Document]) -> list[DocumentScores]:
    """Return the scores of all documents, in order.

    Raises:
        RunError: a document is in none of the parts.
    """
    scored: dict[int, DocumentScores] = {}
    for part in parts:
        for row, place in enumerate(range(part.start, min(part.end, len(documents)))):
            if place not in scored:
                known: dict[str, Any] = {name: tuple(rows[row]) for name, rows in part.documents.items()}
                document = documents[place]
                scored[place] = DocumentScores(doc_id=document.doc_id, example=document.example, **known)
    if len(scored) < len(documents):
        raise RunError(
            f"{count_of(len(documents) - len(scored), 'document')} that were scored vanished from the results folder; "
            "call again to score them"
        )
    return [scored[place] for place in range(len(documents))]


def _run(config: RunConfig, parts: Sequence[Part], num_documents: int, num_resumed: int) -> dict[str, Any]:
    blocks = {(one.start, one.end): one for part in reversed(parts) for one in part.blocks}
    compression = Compression()
    for one in blocks.values():
        compression.join(
            Compression(num_contexts=one.num_contexts, num_tokens=one.num_tokens, num_vectors=one.num_vectors)
        )
    record = _join_records([part.shared for part in parts])
    record.num_truncated = sum(one.num_truncated for one in blocks.values())
    loads = {part.worker: float(part.made_on["load_s"]) for part in parts}
    return {
        "num_documents": num_documents,
        "num_documents_resumed": num_resumed,
        "num_workers": len(loads),
        **(compression.content() if config.is_segmented else {}),
        **record.content(),
        **parts[0].made_on,
        "load_s": max(loads.values()),
        "gpus": [name for gpus in dict.fromkeys(tuple(part.made_on["gpus"]) for part in parts) for name in gpus],
        **{key: _all_of(parts, key) for key in ("host", "device")},
    }


def _all_of(parts: Sequence[Part], key: str) -> str:
    """Return what the parts state of a key, each value once."""
    return ", ".join(dict.fromkeys(str(part.made_on[key]) for part in parts))


def _asked(parts: Sequence[Part]) -> dict[str, Any]:
    """Return what was asked for of batch size and device; where it differs between the parts, each value once."""
    values = {key: list(dict.fromkeys(part.asked[key] for part in parts)) for key in parts[0].asked}
    return {
        key: found[0] if len(found) == 1 else ", ".join("auto" if one is None else str(one) for one in found)
        for key, found in values.items()
    }


def _join_records(records: Sequence[Mapping[str, Any]]) -> PassRecord:
    """Return the record of all pieces together: seconds are added up over workers."""
    phases, batches = Counter[str](), dict(records[0]["batches"])
    for record in records:
        phases.update(record["phases"])
    for key in ("num_batches", "num_tokens", "num_halved"):
        batches[key] = sum(record["batches"][key] for record in records)
    for key in ("most_rows", "most_tokens"):
        batches[key] = max(record["batches"][key] for record in records)
    return PassRecord(
        num_configurations=max(record["num_configurations"] for record in records),
        started=min(record["started"] for record in records),
        finished=max(record["finished"] for record in records),
        seconds=math.fsum(record["seconds"] for record in records),
        phases=dict(phases),
        num_documents=sum(record["num_documents"] for record in records),
        num_tokens=sum(record["num_tokens"] for record in records),
        batches=batches,
        peak_memory_gib=max(record["peak_memory_gib"] for record in records),
    )
