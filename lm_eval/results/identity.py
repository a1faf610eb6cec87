"""The identity of a configuration, and the only place that decides whether two are the same (experiment §6, §7).

A configuration is resolved once, to a `Run`: its task is looked up, its canonical form made, and model and data are
identified by their content, never by path or file name. `is_same_run` compares the identity of a result with that of a
run; `fingerprint` hashes an identity; `baseline_key` is what a run and its baseline have in common.
"""

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lm_eval.config.checkpoint import say_loading
from lm_eval.config.run_config import RunConfig
from lm_eval.config.settings import SETTING_NAMES
from lm_eval.models.families import Family
from lm_eval.models.info import is_local, model_identity
from lm_eval.models.text_borders import TextBorders
from lm_eval.models.tokenizer_files import family_at_hand, identify_text_borders, read_text_borders
from lm_eval.results.canonical_form import canonical, pass_key
from lm_eval.results.older_form import has_same_origin, is_open_or_equal, upgraded_identity
from lm_eval.tasks.base import Task
from lm_eval.tasks.documents import Contents, Document, data_identity, documents_of
from lm_eval.tasks.registry import dataset_name, find_task, known_task

Identity = Mapping[str, Any]
"""Everything that decides a configuration's numbers, as plain data."""


_OF_A_PASS = (
    *("model", "weights", "dtype", "task", "task_version", "task_definition", "data"),
    *("num_fewshot", "limit", "seed", "description", "encoding_scheme"),
)
"""Keys of an identity that are equal for all runs of a pass."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A resolved configuration: with its task, its canonical form and its identity."""

    config: RunConfig
    """As the user asked for it; stated in the result file."""
    form: RunConfig
    """The canonical form, the same for all configurations that compute the same numbers."""
    task: Task
    identity: Identity
    """Includes the content of model and data at the time of resolving."""

    @cached_property
    def name(self) -> str:
        """The fingerprint of its identity."""
        return fingerprint(self.identity)

    @cached_property
    def pass_name(self) -> str:
        """The fingerprint of what it has in common with all runs that it can share a pass with, by content."""
        shared = {key: self.identity.get(key) for key in _OF_A_PASS}
        return fingerprint({**shared, "ADD_POS": self.config.vectors.add_pos})

    @property
    def pass_key(self) -> tuple[object, ...]:
        """The key of its forward passes; runs with equal keys can be evaluated together."""
        return pass_key(self.config)

    @property
    def paths(self) -> list[str]:
        """The folders and files that every machine needs for it."""
        config = self.config
        names = (config.pretrained, config.checkpoint.tokenizer, config.checkpoint.peft)
        paths = [name for name in names if name is not None and is_local(name)]
        if config.data_dir is not None:
            paths.append(str(Path(config.data_dir) / self.task.dataset.name))
        if config.include_path is not None:
            paths.append(config.include_path)
        return paths

    def documents(self, contents: Contents | None = None) -> list[Document]:
        """Return the documents that it scores, in order, each with the shots that its context shows.

        Args:
            contents: the splits that decide them, where they were read already.

        Raises:
            DataError: the data cannot be read.
            ConfigurationError: the limit selects nothing, there are fewer rows than shots, or nothing is left to score.
        """
        return documents_of(self.form, self.task.dataset, contents)


class Resolver:
    """Resolves configurations to runs, reading each model and each data folder only once."""

    def __init__(self) -> None:
        self._weights = functools.cache(model_identity)
        self._data = functools.cache(data_identity)
        self._borders = functools.cache(read_text_borders)
        self._family = functools.cache(family_at_hand)

    def __call__(self, config: RunConfig, dtype: str | None = None) -> Run:
        """Resolve a configuration.

        Args:
            config: the configuration.
            dtype: dtype of the loaded weights, where the configuration leaves it to the hardware.

        Raises:
            ConfigurationError: its task, its model's folder or its data does not exist.
        """
        task = find_task(config.model, config.task, config.include_path)
        return self.identify(config, canonical(config, task.dataset), task, dtype=dtype)

    def identify(
        self, config: RunConfig, form: RunConfig, task: Task, *, dtype: str | None = None, read: "Read | None" = None
    ) -> Run:
        """Make the run of a configuration whose task and canonical form are known.

        Args:
            config: the configuration.
            form: its canonical form.
            task: its task.
            dtype: dtype of the loaded weights, where the configuration leaves it to the hardware.
            read: what was loaded and read for it; None asks the disk.

        Raises:
            ConfigurationError: its model's folder or its data does not exist.
        """
        read, model = read or Read(), (form.pretrained, form.revision, form.checkpoint)
        weights = read.weights or self._weights(*model)
        borders, family = read.borders or self._borders(*model), read.family or self._family(*model)
        data = read.data or self._data(task.dataset, form.num_fewshot, form.data_dir)
        definition = {} if task.definition is None else {"task_definition": task.definition}
        identity = {
            **definition,
            "model": form.model,
            "weights": dict(weights),
            "dtype": dtype or form.dtype,
            "task": form.task,
            "task_version": task.version,
            "data": dict(data),
            "num_fewshot": form.num_fewshot,
            "limit": str(form.limit),
            "seed": form.seed,
            "description": form.description,
            "encoding_scheme": form.encoding_scheme,
            "settings": {key: text for key, text in form.vectors.stated().items() if key != "ADD_BOS"},
            **identify_text_borders(form, borders, family, from_file=task.definition is not None),
        }
        return Run(config=config, form=form, task=task, identity=identity)


@dataclass(frozen=True, kw_only=True)
class Read:
    """What was loaded and read for runs, identified at that moment: the disk may hold something else since."""

    weights: Mapping[str, Any] | None = None
    borders: TextBorders | None = None
    family: Family | None = None
    data: Mapping[str, str] | None = None


def identify_now(runs: Iterable[Run], dtype: str, read: Read) -> list[Run]:
    """Identify runs again, by what was loaded and read: model and data may have changed since they were resolved.

    Args:
        runs: the runs.
        dtype: dtype of the loaded weights.
        read: what was loaded and read; what it leaves open is asked of the disk.
    """
    resolver = Resolver()
    return [resolver.identify(run.config, run.form, run.task, dtype=dtype, read=read) for run in runs]


def resolve(config: RunConfig) -> Run:
    """Resolve one configuration; for several, use one `Resolver`, which reads each model and data folder only once."""
    return Resolver()(config)


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredRun:
    """A run as a file states it: the base of stored results and recorded failures."""

    config: RunConfig
    stated_identity: Identity | None
    """The identity in the file; None in files of the older form."""
    version: object = 0
    """The version of the task, which files of the older form state separately."""

    @property
    def is_older_form(self) -> bool:
        """Whether the file states no identity."""
        return self.stated_identity is None

    @cached_property
    def task(self) -> Task | None:
        """The configuration's task; None where its definition is not available."""
        return known_task(self.config.model, self.config.task, self.config.include_path)

    @cached_property
    def form(self) -> RunConfig:
        """The canonical form of the configuration; the configuration itself where its task isn't known."""
        return self.config if self.task is None else canonical(self.config, self.task.dataset)

    @cached_property
    def identity(self) -> Identity:
        """The identity; for a file of the older form made from what it states, with None for the rest."""
        return upgraded_identity(self.form, self.version) if self.stated_identity is None else self.stated_identity

    def as_run(self) -> Run:
        """Return the run that was recorded.

        Raises:
            ValueError: the task isn't known.
        """
        if self.task is None:
            raise ValueError(f"task {self.config.task!r} is not known")
        return Run(config=self.config, form=self.form, task=self.task, identity=self.identity)

    def adopt(self, run: Run) -> None:
        """Take task and form from the run that this was written for, instead of looking them up again."""
        if self.config == run.config:
            self.__dict__.update(task=run.task, form=run.form)

    def is_of(self, run: "Run | StoredRun") -> bool:
        """Whether this is a result or failure of a run; what the file doesn't state counts as equal."""
        if self.is_older_form:
            return is_open_or_equal(self.identity, run.identity) and has_same_origin(self.config, run.config)
        return is_same_run(self.identity, run.identity)

    def is_superseded_by(self, other: "StoredRun") -> bool:
        """Whether this has the older form and another, of the newer form, is of the same configuration."""
        stated = {key: value for key, value in self.identity.items() if key != "task_version"}
        is_candidate = self.is_older_form and not other.is_older_form
        return is_candidate and is_open_or_equal(stated, other.identity) and has_same_origin(self.config, other.config)


def fingerprint(identity: Identity) -> str:
    """Return the SHA-256 of an identity."""
    return hashlib.sha256(_ENCODER.encode(identity).encode()).hexdigest()


_ENCODER = json.JSONEncoder(sort_keys=True)


def is_same_run(stated: Identity, wanted: Identity) -> bool:
    """Whether two identities are of one run; what one of them doesn't state counts as equal.

    The model's revision and the content of hub data may be missing; the content of local files is always stated.
    """
    return _always_stated(stated) == _always_stated(wanted) and _agree(stated, wanted)


def _always_stated(identity: Identity) -> Identity:
    """Return the part that every identity states: all but the data's content and the model's revision."""
    weights = {key: value for key, value in identity["weights"].items() if key != "revision"}
    return {**identity, "data": identity["data"].get("hub"), "weights": weights}


def _agree(stated: Identity, wanted: Identity) -> bool:
    """Whether revision and data content are equal as far as both identities state them."""
    revisions = stated["weights"].get("revision"), wanted["weights"].get("revision")
    contents = [(stated["data"].get(split), wanted["data"].get(split)) for split in {*stated["data"], *wanted["data"]}]
    if "hub" not in wanted["data"] and any(one != other for one, other in contents):
        return False
    return all(one == other or None in (one, other) for one, other in [revisions, *contents])


def settings_key(identity: Identity) -> str:
    """Return what a run has in common with one of another limit, model or dtype, or of other data."""
    keys = ("model", "task", "encoding_scheme", "num_fewshot", "description", "settings")
    of_run = [identity.get(key) for key in keys]
    return repr([sorted(value.items()) if isinstance(value, dict) else value for value in of_run])


SAME_BASELINE = ("dataset", "pretrained", "loading", "num_fewshot", "limit", "data", "description")
"""Columns of a table of runs in which a run and its baseline are equal; also dtype, where both state it, and BOS."""
SAME_CONFIGURATION = (
    *("task", "kind", "pretrained", "encoding_scheme", "num_fewshot", "limit", *SETTING_NAMES),
    *("dtype", "loading", "data", "description"),
)
"""Columns of a table of runs in which two rows of one configuration are equal."""

BaselineKey = tuple[object, ...]


def baseline_key(config: RunConfig) -> BaselineKey:
    """Return what a configuration and its baseline share, but for dtype: dataset, model, shots, documents, BOS."""
    return (
        dataset_name(config), config.pretrained, loading_of(config), config.num_fewshot, config.limit,
        config.seed, config.data_dir, config.description, config.vectors.add_bos,
    )  # fmt: skip


def loading_of(config: RunConfig) -> str | None:
    """Return what makes another model of a checkpoint (revision, adapter, bits, …), as KEY=value; None: nothing."""
    return say_loading(config.revision, config.checkpoint)
