"""Checks that models and data are available, locally or on the hub; one message lists everything that is missing."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

from lm_eval.common.hub import answers, cached_snapshot, is_silent, lacking, offline
from lm_eval.common.text import say_cause
from lm_eval.config.run_config import RunConfig
from lm_eval.errors import ConfigurationError, MissingDataError, MissingModelError
from lm_eval.grid.grid import CommonOptions
from lm_eval.models.info import ModelFacts, is_local, read_facts
from lm_eval.results.identity import Run
from lm_eval.tasks.base import Task
from lm_eval.tasks.documents import documents_of
from lm_eval.tasks.rows import WITHOUT_NETWORK


def attempt(checks: Iterable[Callable[[], object]]) -> list[str]:
    """Make all checks, and return the messages of those that fail, each once."""
    faults: dict[str, None] = {}
    models: dict[str, dict[str, MissingModelError]] = {}
    data: dict[str, dict[str, MissingDataError]] = {}
    for check in checks:
        try:
            check()
        except MissingModelError as error:
            models.setdefault(error.cause, {})[error.name] = error
        except MissingDataError as error:
            data.setdefault(error.cause, {})[error.name] = error
        except ConfigurationError as error:
            faults[str(error)] = None
    return [
        *(_say_models(cause, list(errors.values())) for cause, errors in models.items()),
        *(_say_data(cause, list(errors.values())) for cause, errors in data.items()),
        *faults,
    ]


def _say_models(cause: str, errors: Sequence[MissingModelError]) -> str:
    """Return one message on all models that the hub doesn't give for one reason."""
    if len(errors) == 1:
        return f"{errors[0]}; {_WITHOUT_HUB}"
    return (
        f"{len(errors)} models are neither folders nor in the hub's cache, and the model hub doesn't provide them "
        f"({cause}): {_list_names([error.name for error in errors])}; fetch them while there is a network "
        f"(scripts/prefetch.py), or give other models or folders (--models); {_WITHOUT_HUB}"
    )


def _say_data(cause: str, errors: Sequence[MissingDataError]) -> str:
    """Return one message on all splits that the hub doesn't give for one reason."""
    if len(errors) == 1:
        return str(errors[0])
    names = _list_names([error.name for error in errors])
    return (
        f"{len(errors)} splits cannot be loaded from the dataset hub or its cache ({cause}): {names}; {WITHOUT_NETWORK}"
    )


def _list_names(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


_NAMED = 4
_WITHOUT_HUB = "without a hub there are --models demo (embedded) and --models smollm2 (once `make real` has fetched it)"


def refuse(faults: Sequence[str]) -> None:
    """Raise an error if there are any faults.

    Raises:
        ConfigurationError: its message has a line for each fault.
    """
    if len(faults) == 1:
        raise ConfigurationError(faults[0])
    if faults:
        raise ConfigurationError("\n  ".join([f"{len(faults)} things are not available or not usable:", *faults]))


def read_models(
    names: Collection[str], common: CommonOptions, tasks: Mapping[RunConfig, Task]
) -> dict[str, ModelFacts]:
    """Read the configs of models, and check the local data, so that one message lists everything that is missing.

    Data of the hub is looked at only where a model is missing because the hub can't be reached.

    Args:
        names: hub names or folders.
        common: the options of all runs, of which revision and checkpoint are used.
        tasks: the configurations that need the data, each with its task.

    Raises:
        ConfigurationError: models or data are not available; the message names all of them.
    """
    facts: dict[str, ModelFacts] = {}

    def read(name: str) -> None:
        facts[name] = read_facts(name, common.revision, common.checkpoint)

    faults = attempt(partial(read, name) for name in names)
    is_hub_missed = any(name not in facts and not is_local(name) for name in names) and is_silent()
    checked = {form: task for form, task in tasks.items() if is_hub_missed or form.data_dir is not None}
    refuse([*faults, *check_data(checked)])
    return facts


def check_data(tasks: Mapping[RunConfig, Task]) -> list[str]:
    """Return what is wrong with the documents of configurations; each dataset is checked once."""
    distinct = {
        (task.dataset.name, form.num_fewshot, form.has_context): (form, task.dataset) for form, task in tasks.items()
    }
    return attempt(partial(documents_of, *one) for one in distinct.values())


def check_weights(configs: Iterable[RunConfig]) -> list[str]:
    """Return an error for each hub model that is not complete in the cache and can't be fetched from the hub."""
    on_hub = (c for c in configs if not is_local(c.pretrained) and c.checkpoint.gguf_file is None)  # that is whole
    names = dict.fromkeys((c.pretrained, c.revision) for c in on_hub)
    return attempt(partial(_check_cached, *name) for name in names)


def _check_cached(name: str, revision: str | None) -> None:
    folder = cached_snapshot(name, revision)
    missing = ["config.json"] if folder is None else lacking(folder)
    if missing and (fault := answers(name, "model", revision)) is not None:
        raise MissingModelError(
            name,
            say_cause(fault),
            f"pretrained={name}: the cache lacks {', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}, and the "
            f"model hub doesn't provide it ({say_cause(fault)}); fetch it while there is a network "
            "(scripts/prefetch.py), or give other models or folders (--models)",
        )


def missing_without_network(runs: Sequence[Run]) -> list[str]:
    """Return what runs read of the hub and its cache lacks, so that a machine without a network couldn't run them."""
    names = dict.fromkeys(
        (run.config.pretrained, run.config.revision)
        for run in runs
        if not is_local(run.config.pretrained) and run.config.checkpoint.gguf_file is None
    )
    missing = []
    for name, revision in names:
        folder = cached_snapshot(name, revision)
        if lacks := ["config.json"] if folder is None else lacking(folder):
            missing.append(f"{name}: {', '.join(lacks[:3])}{' …' if len(lacks) > 3 else ''}")
    of_hub = {run.form: run.task for run in runs if run.form.data_dir is None}
    if of_hub:
        with offline():
            missing += check_data(of_hub)
    return missing
