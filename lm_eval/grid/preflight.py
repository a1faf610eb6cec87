"""Preflight: expand grids into runs and check tasks, models and data before any model is loaded."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from lm_eval.config.limit import Limit
from lm_eval.config.run_config import RunConfig
from lm_eval.errors import ConfigurationError
from lm_eval.grid.availability import check_data, check_weights, read_models, refuse
from lm_eval.grid.depth import without_missing_layers
from lm_eval.grid.grid import CommonOptions, Grid, expand, resolve_folder, with_tasks
from lm_eval.grid.options import Options
from lm_eval.models.compatibility import check_against_model
from lm_eval.models.families import Architecture
from lm_eval.models.info import ModelFacts, is_local
from lm_eval.models.model_list import DEMO, named_models
from lm_eval.models.size import find_size
from lm_eval.results.canonical_form import canonical_in_grid
from lm_eval.results.identity import Resolver, Run
from lm_eval.scheduling.allocation import dtype_notes, grid_dtype
from lm_eval.scheduling.hardware import Machine, machine_of
from lm_eval.tasks.base import Task

_SCRIPT_ENDINGS: dict[Architecture, str] = {"decoder-only": "_gpt.py", "encoder-decoder": "_t5.py"}


@dataclass(frozen=True, kw_only=True)
class CheckedGrids:
    """The runs of grids, checked as far as possible without loading weights, with their models and machines."""

    runs: Sequence[Run]
    """Each configuration once."""
    models: Mapping[str, ModelFacts]
    """The facts of each model, by its name."""
    machines: Sequence[Machine]
    """The machines to run on."""
    dtype: str | None = None
    """The dtype asked for; None where the hardware decides."""
    left_out: Sequence[str] = ()
    """A line on each model that lacks layers of the grids."""

    @cached_property
    def sizes(self) -> Mapping[str, int | None]:
        """Parameters of each model, by its name; None where its config leaves them open."""
        return {name: find_size(model) for name, model in self.models.items()}

    @property
    def notes(self) -> Sequence[str]:
        """What is ignored, what is left out, and dtypes that the hardware alone doesn't explain, a line each."""
        of_tasks = dict.fromkeys([*(note for run in self.runs for note in run.task.notes), *self.left_out])
        if self.dtype is not None:
            return list(of_tasks)
        used = {run.config.pretrained for run in self.runs}
        families = {name: model.family for name, model in self.models.items() if name in used}
        return [*of_tasks, *dtype_notes(families, self.machines)]


def preflight(grids: Sequence[Grid], options: Options, find_machines: Callable[[], Sequence[Machine]]) -> CheckedGrids:
    """Expand grids, look up their tasks and models, and check everything that can be known before a model is loaded.

    The dtype and the model's commit are fixed here rather than when a run begins, so that all runs have the same.

    Args:
        grids: the grids to run. A model that several of them name is run in those for its architecture.
        options: the flags.
        find_machines: returns the machines to run on; called after models and local data were found.

    Raises:
        ConfigurationError: a model, a task or local data is missing or doesn't fit.
    """
    common, pairs = settle(grids, options)
    expanded = _expand_all(pairs, common)
    models = _read_models(expanded, common)
    if any(grid.names_layers_by_depth for grid, _ in pairs):
        expanded = _expand_all(pairs, common, {name: model.num_layers for name, model in models.items()})
    tasks = {
        config: task
        for config, grid, task in expanded
        if grid.arch_type in (None, models[config.pretrained].family.architecture)
    }
    tasks, left_out = without_missing_layers(tasks, models)
    for config in tasks:
        check_against_model(config, models[config.pretrained])
    machines = find_machines()
    deciding = machines if options.capabilities is None else [machine_of(options.capabilities)]
    runs = _identify(tasks, models, options.dtype, deciding)
    return CheckedGrids(runs=runs, models=models, machines=machines, dtype=options.dtype, left_out=left_out)


def settle(grids: Sequence[Grid], options: Options) -> tuple[CommonOptions, list[tuple[Grid, Task]]]:
    """Return the grids with the models and tasks of the flags, each with its task, and the options of all runs.

    Raises:
        ConfigurationError: an unknown model or task.
    """
    named = [_with_models(grid, options) for grid in grids]
    common = _common_options(named, options)
    pairs = [pair for grid in named for pair in with_tasks(grid, options.tasks, common.include_path)]
    return common, pairs


def _expand_all(
    pairs: Sequence[tuple[Grid, Task]], common: CommonOptions, depths: Mapping[str, int] | None = None
) -> list[tuple[RunConfig, Grid, Task]]:
    return [(config, grid, task) for grid, task in pairs for config in expand(grid, common, depths)]


def _identify(
    tasks: Mapping[RunConfig, Task], models: Mapping[str, ModelFacts], dtype: str | None, machines: Sequence[Machine]
) -> list[Run]:
    """Fix the dtype and the commit of each configuration, merge those that mean the same run, and identify these."""
    dtypes = {name: dtype or grid_dtype(model.family, machines) for name, model in models.items()}
    forms: dict[RunConfig, Task] = {}
    for config, task in tasks.items():
        revision = models[config.pretrained].commit or config.revision
        fixed = replace(config, dtype=dtypes[config.pretrained], revision=revision)
        forms[canonical_in_grid(fixed, task.dataset)] = task
    resolver = Resolver()
    runs = [resolver.identify(form, form, task) for form, task in forms.items()]
    return list({run.name: run for run in runs}.values())  # ADD_BOS may say what a model's family does anyway


def check_available(runs: Sequence[Run]) -> None:
    """Check that the data and all model files of runs are available, in a folder, the cache or on the hub.

    Raises:
        ConfigurationError: something is missing; the message names all of it.
    """
    refuse([*check_weights(run.config for run in runs), *check_data({run.form: run.task for run in runs})])


def _with_models(grid: Grid, options: Options) -> Grid:
    """Return the grid, with the models of `--models` in place of its own where the flag is given."""
    if options.models is None:
        return grid
    models: list[str] = []
    for name in filter(None, options.models.split(",")):
        models += named_models(name, grid.arch_type)
    return replace(grid, models=[str(Path(name).expanduser().resolve()) if is_local(name) else name for name in models])


def _common_options(grids: Sequence[Grid], options: Options) -> CommonOptions:
    return CommonOptions(
        limit=Limit.parse(options.limit),
        seed=options.seed,
        data_dir=_default_data_dir(grids, options),
        include_path=resolve_folder(options.include_path),
        revision=options.revision,
        checkpoint=options.checkpoint,
    )


def _default_data_dir(grids: Sequence[Grid], options: Options) -> str | None:
    """Return the folder of `--data_dir`; by default the demo data for the demo models, which were trained on it."""
    if options.data_dir is not None:
        return str(Path(options.data_dir).expanduser().resolve())
    only_demo = all(Path(model).parent == DEMO / "models" for grid in grids for model in grid.models)
    return str(DEMO / "data") if only_demo else None


def _read_models(expanded: Sequence[tuple[RunConfig, Grid, Task]], common: CommonOptions) -> dict[str, ModelFacts]:
    """Read the configs of the models that grids name; local data is checked with them.

    Raises:
        ConfigurationError: a model or local data is missing, or no grid that names it is for its architecture.
    """
    wanted: dict[str, set[Architecture | None]] = defaultdict(set)
    for config, grid, _ in expanded:
        wanted[config.pretrained].add(grid.arch_type)
    models = read_models(wanted, common, {config: task for config, _, task in expanded})
    unfit = [name for name, model in models.items() if not wanted[name] & {None, model.family.architecture}]
    if unfit:
        theirs = models[unfit[0]].family.architecture
        fit = ",".join(name for name in models if name not in unfit)
        raise ConfigurationError(
            f"{', '.join(unfit)}: {theirs}, but this script is for {wanted[unfit[0]].pop()} models; run "
            f"the one whose name ends in {_SCRIPT_ENDINGS[theirs]} with them"
            + (f", and this one with --models {fit}" if fit else "")
        )
    return models
