"""`Grid`: lists of settings, whose product is run; combinations with equal meaning are merged (experiment §6)."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from lm_eval.common.text import did_you_mean
from lm_eval.config.checkpoint import Checkpoint
from lm_eval.config.layer_lists import spread_layers, step_of
from lm_eval.config.limit import Limit
from lm_eval.config.run_config import SEED, RunConfig
from lm_eval.config.settings import SETTING_NAMES, VectorSettings
from lm_eval.errors import ConfigurationError
from lm_eval.models.families import ARCHITECTURES, Architecture
from lm_eval.tasks.base import FORM_OF_MODEL, Task
from lm_eval.tasks.registry import expand_tasks, find_groups, find_task, in_form

Value = str | int | None
"""A value of a setting, as a script states it."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The lists whose product is run."""

    model: str
    """dist_gen or dist_sim."""
    task: str
    models: Sequence[str]
    """Hub names or local folders."""
    arch_type: Architecture | None
    """The architecture that models must have; None allows both."""
    num_fewshot: Sequence[int] = (5, 0)
    encoding_scheme: Sequence[str]
    settings: Mapping[str, Sequence[Value]] = field(default_factory=dict)
    """For each setting of experiment §4 (WORD_AGG_SCHEME, …) the values to try; one that is left out is None. A layer
    may also be `all` or `every N`, which stand for those of each model."""

    def __post_init__(self) -> None:
        if self.model not in FORM_OF_MODEL:
            raise ConfigurationError(f"grid: unknown model {self.model!r}; choose from {', '.join(FORM_OF_MODEL)}")
        if unknown := [str(key) for key in self.settings if key not in SETTING_NAMES]:
            hint = did_you_mean(unknown[0], SETTING_NAMES)
            raise ConfigurationError(
                f"grid: unknown setting {', '.join(unknown)}{hint}; choose from {', '.join(SETTING_NAMES)}"
            )
        if self.arch_type not in (None, *ARCHITECTURES):
            raise ConfigurationError(
                f"grid: unknown arch_type {self.arch_type!r}; choose from {', '.join(ARCHITECTURES)}, None"
            )
        lists: dict[str, Any] = {
            "models": self.models,
            "num_fewshot": self.num_fewshot,
            "encoding_scheme": self.encoding_scheme,
            **self.settings,
        }
        for key, values in lists.items():
            if isinstance(values, str) or not isinstance(values, Sequence) or not values:
                raise ConfigurationError(f"grid: {key} must be a list with at least one value, got {values!r}")
        for key in ("models", "num_fewshot", "encoding_scheme"):
            object.__setattr__(self, key, list(lists[key]))
        object.__setattr__(self, "settings", {key: list(values) for key, values in self.settings.items()})

    @cached_property
    def names_layers_by_depth(self) -> bool:
        """Whether some layers are given as `all` or `every N`, so that the depth of a model decides which they are."""
        return any(step_of(value, key) is not None for key, values in self.settings.items() for value in values)

    def vectors_at(self, num_layers: int) -> Sequence[VectorSettings]:
        """Return the product of the settings' lists, for models of so many blocks."""
        depth = num_layers if self.names_layers_by_depth else 0
        if depth not in self._vectors:
            lists = [spread_layers(values, num_layers, key) for key, values in self.settings.items()]
            self._vectors[depth] = [
                VectorSettings.parse(**dict(zip(self.settings, values, strict=True)))
                for values in itertools.product(*lists)
            ]
        return self._vectors[depth]

    @cached_property
    def _vectors(self) -> dict[int, Sequence[VectorSettings]]:
        return {}


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """Options of a call that apply to all runs of its grids."""

    limit: Limit = field(default_factory=Limit)
    seed: int = SEED
    data_dir: str | None = None
    include_path: str | None = None
    """Folder of task files."""
    revision: str | None = None
    """Branch, tag or commit of every model."""
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    """How every model's checkpoint is loaded."""


def expand(
    grid: Grid, common: CommonOptions = CommonOptions(), depths: Mapping[str, int] | None = None
) -> list[RunConfig]:
    """Return the product of a grid's lists, models outermost; `canonical_in_grid` merges what means the same run.

    Args:
        grid: the grid.
        common: the options of all runs.
        depths: the blocks of each model, for layers given as `all` or `every N`; None takes one block, where they
            aren't known and the settings alone are checked.

    Raises:
        ConfigurationError: a combination that cannot be run.
    """
    return [
        RunConfig(
            model=grid.model,
            pretrained=pretrained,
            task=grid.task,
            encoding_scheme=scheme,
            num_fewshot=num_fewshot,
            limit=common.limit,
            seed=common.seed,
            data_dir=common.data_dir,
            include_path=common.include_path,
            revision=common.revision,
            checkpoint=common.checkpoint,
            vectors=vectors,
        )
        for pretrained in grid.models
        for num_fewshot, scheme, vectors in itertools.product(
            grid.num_fewshot, grid.encoding_scheme, grid.vectors_at(1 if depths is None else depths[pretrained])
        )
    ]


def with_tasks(grid: Grid, tasks: str | None, include_path: str | None) -> list[tuple[Grid, Task]]:
    """Return a copy of a grid for each task asked for, groups expanded; None asks for the grid's own task.

    Args:
        grid: the grid.
        tasks: names separated by commas; None leaves the grid's.
        include_path: folder of task files, as `resolve_folder` returns it.

    Raises:
        ConfigurationError: a task that does not exist, or that has no form for the grid's model.
    """
    names = [grid.task]
    if tasks is not None:
        names = [name.strip() for name in tasks.split(",") if name.strip()]
        if not names:
            raise ConfigurationError(f"--tasks {tasks!r} names no task")
        names = [in_form(name, grid.model) for name in names]
    names = expand_tasks(names, find_groups(names, grid.model, include_path))
    return [(replace(grid, task=name), find_task(grid.model, name, include_path)) for name in names]


def resolve_folder(include_path: str | None) -> str | None:
    """Return the absolute path of a folder of task files, as results state it."""
    return None if include_path is None else str(Path(include_path).expanduser().resolve())
