"""Prefetching: fetch the models and datasets of grids into the hub's cache, so that they run without a network.

Fetches files and prepares datasets on disk; loads no model and no rows.
"""

import runpy
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lm_eval.common.hub import answers, cached_snapshot, lacking, needed_files, offline
from lm_eval.common.text import say_cause
from lm_eval.errors import ConfigurationError
from lm_eval.grid.availability import attempt
from lm_eval.grid.grid import CommonOptions, Grid, expand
from lm_eval.models.info import is_local, read_facts
from lm_eval.tasks.base import Dataset, Task
from lm_eval.tasks.documents import data_identity, needed_splits
from lm_eval.tasks.rows import is_local_data

_TIMEOUT_S = 10


def grids_of(script: Path) -> list[Grid]:
    """Return the grid that a script's `run` returns; grids of its switches use the same models and data.

    Raises:
        ConfigurationError: it is not a grid script, or its grid cannot be made.
    """
    if not script.is_file():
        raise ConfigurationError(f"{script}: no such grid script")
    try:
        run = runpy.run_path(str(script)).get("run")
        grid = run() if callable(run) else None
    except ConfigurationError:
        raise
    except Exception as error:  # whatever a user's script raises
        raise ConfigurationError(f"{script}: cannot be read ({type(error).__name__}: {error})") from error
    if not isinstance(grid, Grid):
        raise ConfigurationError(f"{script}: it has no function `run` that returns a Grid")
    return [grid]


@dataclass(frozen=True)
class Requirements:
    """The models and datasets that grids read."""

    models: tuple[str, ...]
    """Models on the hub, each once."""
    folders: tuple[str, ...]
    """Models in folders."""
    datasets: tuple[Dataset, ...]
    """Datasets on the hub."""
    data_dir: str | None

    @classmethod
    def of(
        cls,
        grids: Sequence[tuple[Grid, Task]],
        models: Sequence[str],
        data_dir: str | None,
        include_path: str | None = None,
    ) -> "Requirements":
        """Collect the requirements of grids.

        Args:
            grids: the grids, each with its task.
            models: used in place of the grids' models, unless empty.
            data_dir: folder used in place of the dataset hub; None takes the hub.
            include_path: folder of task files.

        Raises:
            ConfigurationError: a grid that cannot be run.
        """
        names = tuple(dict.fromkeys(models or [name for grid, _ in grids for name in grid.models]))
        for grid, _ in grids:
            expand(grid, CommonOptions(include_path=include_path))  # refuses a grid that cannot be run
        datasets = {task.dataset.name: task.dataset for _, task in grids}
        folders = tuple(name for name in names if is_local(name))
        return cls(tuple(name for name in names if name not in folders), folders, tuple(datasets.values()), data_dir)

    @property
    def hub_datasets(self) -> tuple[Dataset, ...]:
        """The datasets that are read from the hub."""
        if self.data_dir is not None:
            return ()
        return tuple(data for data in self.datasets if not is_local_data(data.hub_path))

    def check_local(self) -> list[str]:
        """Return what is wrong with folders of models and data."""
        checks: list[Callable[[], object]] = [partial(read_facts, name) for name in self.folders]
        if self.data_dir is not None:
            checks += [partial(data_identity, data, 1, self.data_dir) for data in self.datasets]
        return attempt(checks)


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model at a commit, and which of them the cache lacks."""

    name: str
    commit: str
    sizes: dict[str, int]
    """In bytes, of the files that loading needs."""
    absent: tuple[str, ...]

    @property
    def bytes_to_fetch(self) -> int:
        """Bytes of the files that the cache lacks."""
        return sum(self.sizes[name] for name in self.absent)

    def __str__(self) -> str:
        num_cached = len(self.sizes) - len(self.absent)
        state = f"{self.name} ({self.commit[:12]}): {num_cached} of {len(self.sizes)} files in the cache"
        if not self.absent:
            return state
        return f"{state}, {describe_bytes(self.bytes_to_fetch)} of {describe_bytes(sum(self.sizes.values()))} to fetch"


def describe_bytes(number: int) -> str:
    """Format a number of bytes in MB or GB."""
    return f"{number / 1e9:.2f} GB" if number >= 10_000_000 else f"{number / 1e6:.2f} MB"


def look_at_model(name: str) -> ModelFiles:
    """Ask the hub for the files of a model's newest commit.

    Raises:
        ConfigurationError: the hub doesn't answer, doesn't know the model, or it has no weights that can be loaded.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache  # noqa: PLC0415  (only hub names need it)

    if (fault := answers(name, "model")) is not None:
        raise ConfigurationError(_cannot(name, "model", fault))
    try:
        info = HfApi().model_info(name, files_metadata=True, timeout=_TIMEOUT_S)
    except Exception as error:
        raise ConfigurationError(_cannot(name, "model", error)) from error
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    needed, commit = needed_files(sizes), str(info.sha)
    if not any(file.endswith((".safetensors", ".bin")) for file in needed):
        raise ConfigurationError(f"{name}: the model hub has no weights of it as safetensors or .bin")
    absent = [f for f in needed if not isinstance(try_to_load_from_cache(name, f, revision=commit), str)]
    return ModelFiles(name, commit, {file: sizes[file] for file in needed}, tuple(absent))


def _cannot(name: str, kind: str, error: Exception, where: str = "the hub") -> str:
    return f"{name}: the {kind} is not available from {where} ({say_cause(error)})"


def fetch_model(files: ModelFiles) -> None:
    """Fetch the files of a model that the cache lacks; an interrupted download is resumed.

    Raises:
        ConfigurationError: it cannot be fetched.
    """
    from huggingface_hub import snapshot_download  # noqa: PLC0415

    try:  # without a commit, so that the cache records it as the newest, which offline runs take
        folder = Path(snapshot_download(files.name, allow_patterns=list(files.sizes)))
    except Exception as error:
        raise ConfigurationError(_cannot(files.name, "model", error)) from error
    if missing := lacking(folder):
        raise ConfigurationError(f"{files.name}: fetched, but it lacks {', '.join(missing[:3])}")


def fetch_dataset(dataset: Dataset, *, cached_only: bool = False) -> None:
    """Fetch the splits of a dataset into the cache, as tables on disk.

    Args:
        dataset: the dataset.
        cached_only: only check whether they are in the cache.

    Raises:
        ConfigurationError: a split is not available.
    """
    import datasets  # noqa: PLC0415  (seconds to import)

    fault = None if cached_only else answers(dataset.hub_path, "dataset")
    if fault is not None:
        raise ConfigurationError(_cannot(dataset.hub_title, "dataset", fault))
    for split in needed_splits(dataset, 1):
        try:
            with offline() if cached_only else nullcontext():
                datasets.load_dataset(dataset.hub_path, dataset.hub_name, split=split, **dataset.hub_arguments)
        except Exception as error:
            where = "its cache" if cached_only else "the hub"
            raise ConfigurationError(_cannot(f"{dataset.hub_title} ({split})", "dataset", error, where)) from error


Faults = dict[str, str]
"""Error messages, by the name of the model or dataset."""


def _note(faults: Faults, name: str, fetch: Callable[[], None]) -> None:
    if wrong := attempt([fetch]):
        faults[name] = wrong[0]


def missing_from_cache(requirements: Requirements) -> Faults:
    """Return which requirements are missing from the hub's cache, without asking the hub."""
    faults: Faults = {}
    for name in requirements.models:
        folder = cached_snapshot(name, None)
        if missing := ["config.json"] if folder is None else lacking(folder):
            faults[name] = f"{name}: the cache lacks {', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}"
    for data in requirements.hub_datasets:
        _note(faults, data.hub_title, partial(fetch_dataset, data, cached_only=True))
    return faults


def fetch_all(requirements: Requirements, models_files: Iterable[ModelFiles]) -> Faults:
    """Fetch datasets, then models, smallest first; return what could not be fetched."""
    from tqdm import tqdm  # noqa: PLC0415

    faults: Faults = {}
    models = sorted((files for files in models_files if files.absent), key=lambda files: files.bytes_to_fetch)
    total = len(models) + len(requirements.hub_datasets)
    with tqdm(total=total, desc="models and datasets", dynamic_ncols=True) as bar:
        for data in requirements.hub_datasets:
            bar.set_postfix_str(data.hub_title)
            _note(faults, data.hub_title, partial(fetch_dataset, data))
            bar.update()
        for files in models:
            bar.set_postfix_str(f"{files.name}, {describe_bytes(files.bytes_to_fetch)}")
            _note(faults, files.name, partial(fetch_model, files))
            bar.update()
    return faults
