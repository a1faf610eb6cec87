"""What runs need from outside, models and data: all that is not to be had is told in one message, before any run."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from lm_eval.common.console import tell
from lm_eval.common.hub import answers, cached_snapshot, first_line, is_silent, lacking
from lm_eval.common.text import choices_text
from lm_eval.config.run_config import Limit, RunConfig
from lm_eval.errors import ConfigurationError
from lm_eval.grid.grid import Given, Grid, expand, resolve
from lm_eval.grid.options import Options
from lm_eval.models.compatibility import check_against_model
from lm_eval.models.families import Architecture
from lm_eval.models.info import ModelFacts, is_local, read_facts
from lm_eval.models.model_list import DEMO, demo_models
from lm_eval.scheduling.allocation import grid_dtype
from lm_eval.scheduling.hardware import Machine
from lm_eval.tasks.documents import check_differ, select_documents
from lm_eval.tasks.registry import find_task


def attempt(checks: Iterable[Callable[[], object]]) -> list[str]:
    """Make every check, and return what is wrong; the same is told once."""
    faults: dict[str, None] = {}
    for check in checks:
        try:
            check()
        except ConfigurationError as error:
            faults[str(error)] = None
    return list(faults)


def refuse(faults: Sequence[str]) -> None:
    """Raise what is wrong, if anything is.

    Raises:
        ConfigurationError: with a line for each fault.
    """
    if len(faults) == 1:
        raise ConfigurationError(faults[0])
    if faults:
        raise ConfigurationError("\n  ".join([f"{len(faults)} things are not to be had or not usable:", *faults]))


def read_models(names: Collection[str], given: Given, further: Callable[[], list[str]]) -> dict[str, ModelFacts]:
    """Read the configs of models.

    Args:
        names: of the hub, or folders.
        given: the revision, and what else is loaded.
        further: says what else is wrong; asked only where a model is missing for want of a network, so that all that
            the network would have given is told at once.

    Raises:
        ConfigurationError: a model is not to be had; tells all of them.
    """
    facts: dict[str, ModelFacts] = {}

    def read(name: str) -> None:
        facts[name] = read_facts(name, given.revision, given.checkpoint)

    faults = attempt(partial(read, name) for name in names)
    for_want_of_network = any(name not in facts and not is_local(name) for name in names) and is_silent()
    refuse([*faults, *further()] if for_want_of_network else faults)
    return facts


def check_data(configs: Iterable[RunConfig]) -> list[str]:
    """Return what is wrong with the documents of configurations, each dataset looked at once."""
    distinct = {(find_task(config).dataset.name, config.num_fewshot, config.has_context): config for config in configs}
    return attempt(partial(_select, config) for config in distinct.values())


def _select(config: RunConfig) -> None:
    documents = select_documents(find_task(config).dataset, config.data_dir, config.num_fewshot, config.limit)
    check_differ(documents, config.encoding_scheme)


def check_weights(configs: Iterable[RunConfig]) -> list[str]:
    """Return which models of the hub a run could not load: not whole in the cache, and the hub doesn't answer."""
    names = dict.fromkeys((c.pretrained, c.revision) for c in configs if not is_local(c.pretrained))
    return attempt(partial(_check_cached, *name) for name in names)


def _check_cached(name: str, revision: str | None) -> None:
    folder = cached_snapshot(name, revision)
    missing = ["config.json"] if folder is None else lacking(folder)
    if missing and (fault := answers(name, "model", revision)) is not None:
        raise ConfigurationError(
            f"pretrained={name}: the cache lacks {', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}, and the "
            f"model hub gives nothing ({type(fault).__name__}: {first_line(fault)}); fetch it while there is a network "
            "(scripts/prefetch.py), or give other models or folders (--models)"
        )


_SCRIPT_ENDINGS: dict[Architecture, str] = {"decoder-only": "_gpt.py", "encoder-decoder": "_t5.py"}


def _apply_options(grid: Grid, options: Options) -> Grid:
    if options.models is None:
        return grid
    models: list[str] = []
    for name in filter(None, options.models.split(",")):
        models += demo_models(grid.arch_type) if name == "demo" else [name]
    return replace(grid, models=[str(Path(name).expanduser().resolve()) if is_local(name) else name for name in models])


def _default_data_dir(grids: Sequence[Grid], options: Options) -> str | None:
    """Return the folder asked for; the embedded models were trained on the embedded data, so they get it by default."""
    if options.data_dir is not None:
        return str(Path(options.data_dir).expanduser().resolve())
    only_demo = all(Path(model).parent == DEMO / "models" for grid in grids for model in grid.models)
    return str(DEMO / "data") if only_demo else None


def _given(grids: Sequence[Grid], options: Options) -> Given:
    return Given(
        limit=Limit.parse(options.limit),
        data_dir=_default_data_dir(grids, options),
        include_path=resolve(options.include_path),
        revision=options.revision,
        checkpoint=options.checkpoint,
    )


def _read_models(grids: Sequence[Grid], options: Options) -> dict[str, ModelFacts]:
    """Read the configs of the grids' models.

    Raises:
        ConfigurationError: a model is missing, or of an architecture that none of the grids naming it is for.
    """
    wanted: dict[str, set[Architecture | None]] = defaultdict(set)
    for grid in grids:
        for name in grid.models:
            wanted[name].add(grid.arch_type)
    given = _given(grids, options)

    def look_at_data() -> list[str]:
        return check_data(config for grid in grids for config in expand(grid, given))

    facts = read_models(wanted, given, look_at_data)
    unfit = [name for name, of_model in facts.items() if not wanted[name] & {None, of_model.family.architecture}]
    if unfit:
        theirs = facts[unfit[0]].family.architecture
        fit = ",".join(name for name in facts if name not in unfit)
        raise ConfigurationError(
            f"{choices_text(unfit)}: {theirs}, but this script is for {wanted[unfit[0]].pop()} models; run "
            f"the one whose name ends in {_SCRIPT_ENDINGS[theirs]} with them"
            + (f", and this one with --models {fit}" if fit else "")
        )
    return facts


def check_grids(
    grids: Sequence[Grid], options: Options, facts: dict[str, ModelFacts], machines: Sequence[Machine]
) -> list[RunConfig]:
    """Return the configurations of grids, each once and checked as far as can be without loading weights.

    What the hardware or the hub would decide when a run begins, its dtype and the model's commit, is decided here, so
    that it is the same for all runs.

    Raises:
        ConfigurationError: a layer out of range, broken data, …
    """
    given = _given(grids, options)
    expanded = [config for grid in grids for config in _expand_for(grid, facts, given)]
    configs = list(dict.fromkeys(expanded))
    for note in dict.fromkeys(note for config in configs for note in find_task(config).notes):
        tell(note)
    for config in configs:
        check_against_model(config, facts[config.pretrained])
    refuse(check_data(config for config in configs if config.data_dir is not None))
    dtypes = {name: grid_dtype(of_model.family, machines) for name, of_model in facts.items()}
    return [
        replace(
            config,
            dtype=options.dtype or dtypes[config.pretrained],
            revision=facts[config.pretrained].commit or config.revision,
        )
        for config in configs
    ]


def _expand_for(grid: Grid, facts: dict[str, ModelFacts], given: Given) -> Iterator[RunConfig]:
    """Yield the configurations of a grid whose models are of its architecture."""
    for config in expand(grid, given):
        if grid.arch_type in (None, facts[config.pretrained].family.architecture):
            yield config


def _paths(config: RunConfig) -> list[str]:
    """Return the folders and files that every machine needs for a run."""
    names = (config.pretrained, config.checkpoint.tokenizer, config.checkpoint.peft)
    paths = [name for name in names if name is not None and is_local(name)]
    if config.data_dir is not None:
        paths.append(str(Path(config.data_dir) / find_task(config).dataset.name))
    if config.include_path is not None:
        paths.append(config.include_path)
    return paths
