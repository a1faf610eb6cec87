"""From a dataset to the documents of a run: reading rows, their order, the limit, and each document's shots (SPEC §2).

Knows where rows come from (a folder of JSONL files or the hub), nothing of how they are scored.
"""

import functools
import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lm_eval.config import Limit
from lm_eval.errors import ConfigurationError, DataError
from lm_eval.hub import first_line, hub_or_cache
from lm_eval.tasks.base import Dataset, Example

SEED = 42


@dataclass(frozen=True, kw_only=True)
class Document:
    """An example to be scored, with the shots that its context shows."""

    doc_id: int
    """Place in the shuffled order of all documents, from 0, whatever the limit."""
    example: Example
    shots: tuple[Example, ...]


@dataclass(frozen=True)
class LocalFile:
    """One split of a dataset in a folder: `<data_dir>/<dataset>/<split>.jsonl`."""

    path: Path

    @classmethod
    def find(cls, data_dir: str, dataset: Dataset, split: str) -> "LocalFile":
        """Locate a split.

        Raises:
            DataError: there is no such folder or file.
        """
        path = Path(data_dir).expanduser() / dataset.name / f"{split}.jsonl"
        if not path.is_file():
            raise DataError(
                f"data_dir={data_dir}: {path} does not exist; "
                f"it must hold the {split} rows of {dataset.name}, a JSON object a line"
            )
        return cls(path)

    def fingerprint(self) -> str:
        """Return the SHA-256 of the file's content."""
        return _file_fingerprint(self.path, *_version(self.path))

    def read(self, dataset: Dataset) -> tuple[Example, ...]:
        """Return every row as an example.

        Raises:
            DataError: a line that is no JSON object, or a row with a missing or wrong field; names file and line.
        """
        return _read_file(self.path, dataset, *_version(self.path))


def _version(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


@functools.lru_cache(maxsize=64)
def _file_fingerprint(path: Path, mtime_ns: int, size: int) -> str:  # noqa: ARG001
    return hashlib.sha256(path.read_bytes()).hexdigest()


@functools.lru_cache(maxsize=8)
def _read_file(path: Path, dataset: Dataset, mtime_ns: int, size: int) -> tuple[Example, ...]:  # noqa: ARG001
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start}); save the file as UTF-8") from error
    examples = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        source = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{source}: not a JSON object ({_json_fault(error)}); correct or remove the line"
            ) from error
        if not isinstance(row, dict):
            raise DataError(f"{source}: expected a JSON object, got {line!r:.60}")
        examples.append(dataset.read_row(row, source))
    if not examples:
        raise DataError(f"{path}: the file holds no rows")
    return tuple(examples)


def _json_fault(error: Exception) -> str:
    return f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)


@functools.lru_cache(maxsize=8)
def _read_hub(dataset: Dataset, split: str) -> tuple[Example, ...]:
    import datasets  # noqa: PLC0415  (seconds to import, and only the hub needs it)

    try:
        with hub_or_cache(dataset.hub_path, "dataset"):
            rows = datasets.load_dataset(dataset.hub_path, split=split)
    except Exception as error:
        raise DataError(
            f"{dataset.hub_path}: the {split} split cannot be loaded from the dataset hub or its cache "
            f"({type(error).__name__}: {first_line(error)}); without a network give a folder of your own (data_dir= "
            "in task_args, --data_dir to a script), or fetch it while there is one (scripts/prefetch.py)"
        ) from error
    return tuple(dataset.read_row(row, f"{dataset.hub_path} {split}, row {index}") for index, row in enumerate(rows))


def read_split(dataset: Dataset, split: str, data_dir: str | None) -> tuple[Example, ...]:
    """Return all examples of a split, from a folder where one is given, else from the hub."""
    if data_dir is None:
        return _read_hub(dataset, split)
    return LocalFile.find(data_dir, dataset, split).read(dataset)


def needed_splits(dataset: Dataset, num_fewshot: int) -> tuple[str, ...]:
    """Return the splits that decide a run's documents: without shots the training rows don't."""
    if num_fewshot and dataset.training_split is not None:
        return dataset.evaluation_split, dataset.training_split
    return (dataset.evaluation_split,)


def data_identity(dataset: Dataset, num_fewshot: int, data_dir: str | None) -> dict[str, str]:
    """Return what identifies the rows a run reads: the content of local files, or the hub's name and its rows' content.

    Where the hub's rows are not to be had, their content is left out.
    """
    splits = needed_splits(dataset, num_fewshot)
    if data_dir is None:
        return {"hub": dataset.hub_path, **_hub_fingerprints(dataset, splits)}
    return {split: LocalFile.find(data_dir, dataset, split).fingerprint() for split in splits}


@functools.lru_cache(maxsize=16)
def _hub_fingerprints(dataset: Dataset, splits: tuple[str, ...]) -> dict[str, str]:
    try:
        return {split: _rows_fingerprint(_read_hub(dataset, split)) for split in splits}
    except DataError:
        return {}


def _rows_fingerprint(examples: Sequence[Example]) -> str:
    total = hashlib.sha256()
    for example in examples:
        total.update(json.dumps([example.question, example.choices, example.gold]).encode())
    return total.hexdigest()


def count_documents(dataset: Dataset, data_dir: str | None, limit: Limit) -> int:
    """Return how many documents a run scores.

    Raises:
        DataError: the data cannot be read.
    """
    return len(read_split(dataset, dataset.evaluation_split, data_dir)[limit.start : limit.end])


def select_documents(dataset: Dataset, data_dir: str | None, num_fewshot: int, limit: Limit) -> list[Document]:
    """Return the documents of a run, in order, each with its shots.

    Documents are shuffled once, and the same random generator draws the shots document by document from the first, so
    that neither depends on the limit (SPEC §2).

    Raises:
        DataError: the data cannot be read.
        ConfigurationError: the limit selects nothing, or there are fewer rows than shots.
    """
    evaluation = list(read_split(dataset, dataset.evaluation_split, data_dir))
    rnd = random.Random(SEED)  # noqa: S311
    order = evaluation.copy()
    rnd.shuffle(order)
    if limit.start >= len(order):
        raise ConfigurationError(
            f"limit {limit} selects no document; there are {len(order)} in {dataset.name} {dataset.evaluation_split}"
        )
    pool, spare = evaluation, 1
    if num_fewshot and dataset.training_split is not None:
        pool, spare = list(read_split(dataset, dataset.training_split, data_dir)), 0
    if num_fewshot and num_fewshot + spare > len(pool):
        raise ConfigurationError(
            f"num_fewshot={num_fewshot}: {dataset.name} has only {len(pool)} rows to draw shots from"
        )
    documents = []
    for doc_id, example in enumerate(order[: limit.end]):
        shots = _draw_shots(example, pool, num_fewshot, spare, rnd) if num_fewshot else ()
        if doc_id >= limit.start:
            documents.append(Document(doc_id=doc_id, example=example, shots=shots))
    return documents


def _draw_shots(
    example: Example, pool: list[Example], num_fewshot: int, spare: int, rnd: random.Random
) -> tuple[Example, ...]:
    """Draw the shots of one document, which is never among them.

    Args:
        example: the document.
        pool: rows to draw from.
        num_fewshot: shots wanted.
        spare: rows drawn beyond that, so that the document can be dropped (1 where the pool holds it, else 0).
        rnd: the generator that all documents share.
    """
    drawn = rnd.sample(range(len(pool)), num_fewshot + spare)
    shots = [index for index in drawn if pool[index] != example][:num_fewshot]
    if len(shots) < num_fewshot:
        others = [index for index, row in enumerate(pool) if row != example and index not in shots]
        if len(others) < num_fewshot - len(shots):
            raise ConfigurationError(
                f"num_fewshot={num_fewshot}: only {len(others) + len(shots)} rows differ from {example.source}"
            )
        # from a generator of its own: later documents' shots must not depend on it
        own = random.Random(f"{SEED} {shots} {example.question}")  # noqa: S311
        shots += own.sample(others, num_fewshot - len(shots))
    return tuple(pool[index] for index in shots)
