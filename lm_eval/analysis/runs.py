"""Results folders → one tidy table, a row a run: settings as columns, metrics, standard errors, provenance.

What a folder holds is read once and kept as Parquet; later only files that have changed are read again.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from lm_eval.analysis.checkpoints import architecture_of, num_layers_of
from lm_eval.common.atomic import written_whole
from lm_eval.common.regular_files import is_folder, names_of_files, say_why
from lm_eval.common.text import short_name, whole
from lm_eval.config.settings import SETTING_NAMES
from lm_eval.errors import ConfigurationError
from lm_eval.models.model_list import read_model_list
from lm_eval.results.baselines import meant_bos
from lm_eval.results.identity import SAME_CONFIGURATION, fingerprint, loading_of
from lm_eval.results.result_file import FAILURE_ENDING, StoredResult, read_results
from lm_eval.tasks.registry import dataset_name

METRICS = ("acc", "acc_norm", "em", "rand_acc")
COMPRESSION = ("vectors_per_context", "tokens_per_vector")
_CACHE_VERSION = 6
"""To be raised when rows change their form."""


@dataclass(frozen=True, kw_only=True)
class Runs:
    """What results folders hold."""

    table: pd.DataFrame
    """A row a run, the newest where there are several of the same; see `describe_columns`."""
    unreadable: Mapping[Path, str] = field(default_factory=dict)
    """Files that hold no result, and why."""
    num_duplicates: int = 0
    """Rows left out because a newer one is of the same configuration."""


def describe_columns() -> dict[str, str]:
    """Return what the columns of a table mean."""
    return {
        "task": "the task's name",
        "dataset": "the dataset's name",
        "kind": "dist_sim, dist_gen or hf",
        "pretrained": "the model as it was named: a hub name or a folder",
        "model": "its last part",
        "family": "what the model's name begins with",
        "size_b": "parameters, in billions; by the result, the list of models or the name",
        "architecture": "decoder-only or encoder-decoder; by the list of models, its folder or its name",
        "num_layers": "blocks that a segment runs through; by the result, the list of models or its folder",
        "encoding_scheme": "how contexts were cut; of schemes (and settings) that mean the same, the first",
        "num_fewshot": "shots in each context",
        "limit": "the slice of documents; None is all; with --seed and its number where that isn't the usual one",
        **{name: f"the setting {name}; None where it isn't set" for name in SETTING_NAMES},
        "bos": "the value of ADD_BOS that means its tokens in front, as its baseline's; None where that is open",
        "dtype": "of the weights, where the result says it",
        "loading": "what makes another model of it, as KEY=value: revision, adapter, bits, …; None where nothing does",
        "data": "what was read: a fingerprint, the hub's name, or a folder",
        "description": "text before the shots",
        **{metric: f"the metric {metric}, a share of 1" for metric in METRICS},
        **{f"{metric}_stderr": "its standard error; unknown of one document" for metric in METRICS},
        "vectors_per_context": "concept vectors that a context becomes, on average",
        "tokens_per_vector": "tokens of all contexts over all their concept vectors",
        "num_documents": "documents scored",
        "seconds": "time taken, a pass's shared equally among its configurations",
        "finished": "when",
        "host": "where",
        "code": "version of the code",
        "path": "the file",
        "is_older": "whether the file states no identity",
    }


_COLUMNS = tuple(describe_columns())
_TEXTS = (
    *("task", "dataset", "kind", "pretrained", "model", "family", "architecture", "encoding_scheme", "limit"),
    *SETTING_NAMES,
    *("bos", "dtype", "loading", "data", "description", "finished", "host", "code", "path"),
)
_NUMBERS = (
    *("size_b", "num_layers", *METRICS, *(f"{metric}_stderr" for metric in METRICS)),
    *(*COMPRESSION, "num_documents", "seconds"),
)


def read_runs(folders: str | Path | Iterable[str | Path], *, cache: Path | None = None) -> Runs:
    """Read results folders.

    Args:
        folders: one folder or several.
        cache: a Parquet file that keeps what was read, for the next time.

    Raises:
        ConfigurationError: a folder that isn't there.
    """
    several = [folders] if isinstance(folders, str | Path) else list(folders)
    paths = list(dict.fromkeys(Path(folder).expanduser() for folder in several))
    if missing := [str(path) for path in paths if not is_folder(path)]:
        raise ConfigurationError(
            f"{', '.join(missing)}: no such folder; give the results folders of grids, which scripts/run_parallel_*.py "
            "or `make demo` fill"
        )
    files = [file for path in paths for file in _list_files(path)]
    rows, unreadable = _read_files(files, _load_cache(cache))
    if cache is not None:
        _save_cache(cache, rows)
    every_row = [row for of_file in rows.values() for row in of_file]
    newest: dict[str, dict[str, Any]] = {}
    for row in sorted(every_row, key=lambda row: (row["is_newer_form"], row["finished"] or "", row["changed"])):
        newest[row["configuration"]] = row
    table = _as_table(newest.values())
    return Runs(table=table, unreadable=unreadable, num_duplicates=len(every_row) - len(newest))


def table_of(results: Iterable[StoredResult]) -> pd.DataFrame:
    """Return the table of results that were read already, in their order; see `describe_columns`."""
    sizes = {model.name: model.size_b for model in read_model_list()}
    return _as_table(_row(stored, stored.path.stat().st_mtime, sizes) for stored in results)


def _list_files(folder: Path) -> list[Path]:
    return [folder / name for name in names_of_files(folder, ".json") if not name.endswith(FAILURE_ENDING)]


_Rows = dict[tuple[str, int, int], list[dict[str, Any]]]
"""The rows of each file, by its path, time of change and size."""


def _read_files(files: Sequence[Path], known: _Rows) -> tuple[_Rows, dict[Path, str]]:
    rows: _Rows = {}
    unreadable: dict[Path, str] = {}
    sizes = {model.name: model.size_b for model in read_model_list()}
    for file in files:
        try:
            stat = file.stat()
            key = str(file.resolve()), stat.st_mtime_ns, stat.st_size
            rows[key] = (
                known[key] if key in known else [_row(stored, stat.st_mtime, sizes) for stored in read_results(file)]
            )
        except json.JSONDecodeError as error:
            unreadable[file] = f"not JSON, or only half of it: {error}"
        except (OSError, ValueError) as error:
            unreadable[file] = say_why(error)
    return rows, unreadable


def _row(stored: StoredResult, changed: float, sizes: Mapping[str, float]) -> dict[str, Any]:
    config, run = stored.form, stored.record
    row: dict[str, Any] = {
        "task": config.task,
        "dataset": dataset_name(stored.config),
        "kind": config.model,
        "pretrained": config.pretrained,
        "model": short_name(config.pretrained),
        "family": family_of(config.pretrained),
        "size_b": _size_b(config.pretrained, run.parameters, sizes),
        "architecture": architecture_of(config.pretrained),
        "num_layers": run.num_layers or num_layers_of(config.pretrained),
        "encoding_scheme": config.encoding_scheme,
        "num_fewshot": config.num_fewshot,
        "limit": config.slice_name,
        **config.vectors.public(),
        "bos": meant_bos(stored),
        "dtype": run.dtype or config.dtype,
        "loading": loading_of(config),
        "data": _data(stored),
        "description": config.description,
        **{name: stored.metrics.get(name) for metric in METRICS for name in (metric, f"{metric}_stderr")},
        "vectors_per_context": run.vectors_per_context,
        "tokens_per_vector": run.tokens_per_vector,
        "num_documents": run.num_documents,
        "seconds": run.seconds,
        "finished": run.finished,
        "host": run.host,
        "code": None if stored.code is None else stored.code.version,
        "path": str(stored.path),
        "is_older": stored.is_older_form,
    }
    row = {key: whole(value) if isinstance(value, str) else value for key, value in row.items()}
    row["configuration"] = fingerprint({key: row[key] for key in SAME_CONFIGURATION})
    return {**row, "changed": changed, "is_newer_form": not stored.is_older_form}


def family_of(pretrained: str) -> str:
    """Return what a model's name begins with: up to its size, its version or the like."""
    name = short_name(pretrained)
    return re.split(r"[-_.](?=v?\d|small|base|large|xl|xxl|medium|mini|ul2)", name, maxsplit=1, flags=re.IGNORECASE)[0]


def _size_b(pretrained: str, parameters: object, sizes: Mapping[str, float]) -> float | None:
    if isinstance(parameters, int):
        return parameters / 1e9
    if pretrained in sizes:
        return sizes[pretrained]
    size = re.search(r"(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", short_name(pretrained), re.IGNORECASE)
    return None if size is None else float(size[1]) / (1 if size[2].lower() == "b" else 1000)


def _data(stored: StoredResult) -> str:
    """Return a short name of what was read."""
    if not stored.is_older_form:
        data = stored.identity["data"]
        return str(data.get("hub") or fingerprint(data)[:12])
    if stored.config.data_dir is not None:
        return stored.config.data_dir
    return stored.config.task if stored.task is None else stored.task.dataset.hub_title


def _as_table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame([{column: row[column] for column in _COLUMNS} for row in rows], columns=list(_COLUMNS))
    for column in _TEXTS:
        table[column] = table[column].astype("object").where(table[column].notna(), None)
    for column in _NUMBERS:
        table[column] = pd.to_numeric(table[column]).astype("float64")
    table["num_fewshot"] = table["num_fewshot"].astype("int64")
    table["is_older"] = table["is_older"].astype("bool")
    return table.reset_index(drop=True)


def _load_cache(cache: Path | None) -> _Rows:
    """Return the rows that were kept; a cache of another form or a broken one holds nothing."""
    if cache is None or not cache.is_file():
        return {}
    try:
        kept = pd.read_parquet(cache)
        if not {"cache_version", "file", "file_mtime_ns", "file_size", "row"} <= set(kept.columns):
            return {}
        rows: _Rows = {}
        for version, file, mtime, size, row in kept.itertuples(index=False):
            if version != _CACHE_VERSION:
                return {}
            rows.setdefault((file, mtime, size), []).append(json.loads(row))
        return rows
    except (OSError, ValueError):
        return {}


def _save_cache(cache: Path, rows: _Rows) -> None:
    kept = [(_CACHE_VERSION, *key, json.dumps(row)) for key, of_file in rows.items() for row in of_file]
    columns = ["cache_version", "file", "file_mtime_ns", "file_size", "row"]
    cache.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(cache) as temporary:
        pd.DataFrame(kept, columns=columns).to_parquet(temporary)
