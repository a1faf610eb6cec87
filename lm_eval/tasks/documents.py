"""The documents of a run: a dataset's examples shuffled, limited, and given their shots (experiment §2).

Knows nothing of how rows are stored (`rows`) nor of how they are scored.
"""

import functools
import hashlib
import itertools
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lm_eval.common.file_state import FileState
from lm_eval.common.text import count_of
from lm_eval.config.limit import Limit
from lm_eval.config.run_config import NO_CONTEXT, SEED, RunConfig
from lm_eval.errors import ConfigurationError, DataError
from lm_eval.tasks.base import Dataset, Example, Examples, LazyExamples
from lm_eval.tasks.rows import LocalSplit, read_hub


@dataclass(frozen=True, kw_only=True)
class Document:
    """An example to be scored, with the shots that its context shows."""

    doc_id: int
    """Position in the shuffled order of all documents, from 0, whatever the limit."""
    example: Example
    shots: tuple[Example, ...]


class SplitContent(NamedTuple):
    """The examples of a split, and what identifies the bytes that they are read from."""

    fingerprint: str
    examples: Examples


@functools.lru_cache(maxsize=8)
def _read_local(local: LocalSplit, dataset: Dataset, version: tuple[FileState, ...]) -> SplitContent:  # noqa: ARG001
    rows = local.open()
    if dataset.process_rows is None:
        return SplitContent(rows.fingerprint, LazyExamples(rows, dataset.read_row))
    return SplitContent(rows.fingerprint, dataset.examples(rows.take(range(len(rows)))))


@functools.lru_cache(maxsize=8)
def _read_hub(dataset: Dataset, split: str) -> SplitContent:
    examples = dataset.examples(read_hub(dataset.hub_path, dataset.hub_name, dataset.hub_arguments, split))
    return SplitContent(_rows_fingerprint(examples), examples)


def read_content(dataset: Dataset, split: str, data_dir: str | None, needed: str = "") -> SplitContent:
    """Read a split, from a folder where one is given, else from the hub.

    Args:
        dataset: whose rows they are.
        split: its name.
        data_dir: their folder; None takes the hub.
        needed: what it is needed for, for the message; empty where every run needs it.

    Raises:
        DataError: the rows cannot be read, or one of them is invalid; the message names file and line.
    """
    if data_dir is None:
        return _read_hub(dataset, split)
    local = LocalSplit.find(data_dir, dataset.name, split, needed)
    return _read_local(local, dataset, local.version)


def read_split(dataset: Dataset, split: str, data_dir: str | None) -> Examples:
    """Return the examples of a split; see `read_content`."""
    return read_content(dataset, split, data_dir).examples


Contents = Mapping[str, SplitContent]
"""The splits that decide a run's documents, by their names, each read once."""


def read_contents(dataset: Dataset, num_fewshot: int, data_dir: str | None) -> Contents:
    """Read the splits that decide a run's documents.

    Raises:
        DataError: they can't be read.
        ConfigurationError: shots are asked for that the dataset can't give.
    """
    if num_fewshot and dataset.no_shots_because:
        raise ConfigurationError(f"num_fewshot={num_fewshot}: {dataset.no_shots_because}; use num_fewshot=0")
    return {
        split: read_content(dataset, split, data_dir, _say_need(dataset, split, num_fewshot))
        for split in needed_splits(dataset, num_fewshot)
    }


def identify_contents(contents: Contents, dataset: Dataset, data_dir: str | None) -> dict[str, str]:
    """Return what `data_identity` returns, of rows that were read."""
    prints = {split: content.fingerprint for split, content in contents.items()}
    return prints if data_dir is not None else {"hub": dataset.hub_title, **prints}


def needed_splits(dataset: Dataset, num_fewshot: int) -> tuple[str, ...]:
    """Return the splits that decide a run's documents; the training split only if shots are drawn from it."""
    if num_fewshot and dataset.training_split is not None and dataset.own_shots is None:
        return dataset.evaluation_split, dataset.training_split
    return (dataset.evaluation_split,)


def data_identity(dataset: Dataset, num_fewshot: int, data_dir: str | None) -> dict[str, str]:
    """Return what identifies the rows a run reads: the content of local files, or the hub's name and its rows' content.

    Where the hub's rows are not available, their content is left out.
    """
    splits = needed_splits(dataset, num_fewshot)
    if data_dir is None:
        return {"hub": dataset.hub_title, **_hub_fingerprints(dataset, splits)}
    needs = {split: _say_need(dataset, split, num_fewshot) for split in splits}
    return {split: LocalSplit.find(data_dir, dataset.name, split, need).fingerprint() for split, need in needs.items()}


def _say_need(dataset: Dataset, split: str, num_fewshot: int) -> str:
    return "" if split == dataset.evaluation_split else count_of(num_fewshot, "shot")


@functools.lru_cache(maxsize=16)
def _hub_fingerprints(dataset: Dataset, splits: tuple[str, ...]) -> dict[str, str]:
    try:
        return {split: _read_hub(dataset, split).fingerprint for split in splits}
    except DataError:
        return {}


def _rows_fingerprint(examples: Sequence[Example]) -> str:
    total = hashlib.sha256()
    for example in examples:
        own = [example.contexts, example.description] if example.contexts or example.description else []
        total.update(json.dumps([example.question, example.choices, example.gold, *own]).encode())
    return total.hexdigest()


def count_documents(dataset: Dataset, data_dir: str | None, limit: Limit) -> int:
    """Return how many documents a run scores.

    Raises:
        DataError: the data cannot be read.
    """
    return len(range(len(read_split(dataset, dataset.evaluation_split, data_dir)))[limit.start : limit.end])


def select_documents(
    dataset: Dataset,
    data_dir: str | None,
    num_fewshot: int,
    limit: Limit,
    contents: Contents | None = None,
    seed: int = SEED,
) -> list[Document]:
    """Return the documents of a run, in order, each with its shots.

    Documents are shuffled once, and the same random generator draws the shots document by document from the first, so
    that neither depends on the limit (experiment §2).

    Args:
        dataset: whose rows they are.
        data_dir: their folder; None takes the hub.
        num_fewshot: shots a document.
        limit: the slice of documents.
        contents: the splits, where they were read already.
        seed: of the random generator.

    Raises:
        ConfigurationError: no data (a DataError), a limit that selects nothing, or fewer rows than shots.
    """
    contents = contents or read_contents(dataset, num_fewshot, data_dir)
    evaluation = contents[dataset.evaluation_split].examples
    pool, spare = _pool_of(dataset, contents, num_fewshot)
    wanted = num_fewshot + spare if num_fewshot and not dataset.shots_in_order else 0
    order, drawn = _draw(len(evaluation), limit.end, len(pool), wanted, seed)
    doc_ids = _doc_ids(len(order), limit, f"{dataset.name} {dataset.evaluation_split}")
    _read_ahead(evaluation, [order[doc_id] for doc_id in doc_ids])
    _read_ahead(pool, itertools.chain.from_iterable(drawn[limit.start :]))

    def shots_of(doc_id: int, example: Example) -> tuple[Example, ...]:
        if drawn:
            return _choose_shots(example, pool, drawn[doc_id], num_fewshot, seed)
        return tuple(itertools.islice((row for row in pool if row != example), num_fewshot))

    chosen = {doc_id: evaluation[order[doc_id]] for doc_id in doc_ids}
    return [Document(doc_id=doc_id, example=one, shots=shots_of(doc_id, one)) for doc_id, one in chosen.items()]


def _draw(number: int, end: int | None, pool: int, wanted: int, seed: int) -> tuple[list[int], list[list[int]]]:
    """Return the shuffled order of documents, and the places of the shots drawn for each up to an end.

    Args:
        number: of documents.
        end: how many of them get shots; also those before the first that is scored, for the generator goes on.
        pool: rows that shots are drawn from.
        wanted: rows drawn a document; 0 draws none.
        seed: of the generator.
    """
    rnd = random.Random(seed)  # noqa: S311
    order = list(range(number))
    rnd.shuffle(order)
    return order, [rnd.sample(range(pool), wanted) for _ in order[:end] if wanted]


def _doc_ids(number: int, limit: Limit, split: str) -> range:
    """Return the places of a run's documents among all of a split."""
    doc_ids = range(number)[limit.start : limit.end]
    if not doc_ids:
        raise ConfigurationError(f"limit {limit} selects no document; there are {number} in {split}")
    return doc_ids


def _read_ahead(examples: Examples, places: Iterable[int]) -> None:
    if isinstance(examples, LazyExamples):
        examples.read_ahead(places)


def _pool_of(dataset: Dataset, contents: Contents, num_fewshot: int) -> tuple[Examples, int]:
    """Return the rows that shots are drawn from, and how many to draw beyond those that are wanted."""
    pool, spare = contents[dataset.evaluation_split].examples, 1
    if num_fewshot and dataset.own_shots is not None:
        pool, spare = dataset.own_shots, 0
    elif num_fewshot and dataset.training_split is not None:
        pool, spare = contents[dataset.training_split].examples, 0
    if num_fewshot and num_fewshot + spare > len(pool):
        raise ConfigurationError(
            f"num_fewshot={num_fewshot}: {dataset.name} has only {len(pool)} rows to draw shots from"
        )
    return pool, spare


def documents_of(form: RunConfig, dataset: Dataset, contents: Contents | None = None) -> list[Document]:
    """Return the documents that a configuration scores; see `select_documents` and `check_differ`.

    Args:
        form: the configuration.
        dataset: its task's.
        contents: the splits, where they were read already.
    """
    documents = select_documents(dataset, form.data_dir, form.num_fewshot, form.limit, contents, form.seed)
    check_differ(documents, form.encoding_scheme)
    if dataset.try_scoring is not None:
        for document in documents:
            dataset.try_scoring(document.example)
    return documents


def check_differ(documents: Sequence[Document], scheme: str | None) -> None:
    """Refuse `no_context` where the choices differ in their contexts alone.

    Raises:
        ConfigurationError: `no_context`, with choices that are the same text after different contexts.
    """
    with_contexts = next((document for document in documents if document.example.contexts), None)
    if scheme == NO_CONTEXT and with_contexts is not None:
        raise ConfigurationError(
            f"encoding_scheme={NO_CONTEXT}: the choices of {with_contexts.example.source} are one text after different "
            "contexts, so nothing is left to compare; choose another scheme"
        )


def _choose_shots(
    example: Example, pool: Examples, drawn: Sequence[int], num_fewshot: int, seed: int
) -> tuple[Example, ...]:
    """Return the shots of one document, which is never among them.

    Args:
        example: the document.
        pool: the rows that shots were drawn from.
        drawn: their places; one more than is wanted where the pool holds the document, so that it can be dropped.
        num_fewshot: shots wanted.
        seed: of the generator that drew them.
    """
    shots = [index for index in drawn if pool[index] != example][:num_fewshot]
    if len(shots) < num_fewshot:
        unused = [index for index, row in enumerate(pool) if row != example and index not in shots]
        if len(unused) < num_fewshot - len(shots):
            raise ConfigurationError(
                f"num_fewshot={num_fewshot}: only {len(unused) + len(shots)} rows differ from {example.source}"
            )
        # a separate generator: later documents' shots must not depend on this draw
        separate = random.Random(f"{seed} {shots} {example.question}")  # noqa: S311
        shots += separate.sample(unused, num_fewshot - len(shots))
    return tuple(pool[index] for index in shots)
