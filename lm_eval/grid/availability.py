"""Whether what runs need from outside, models and data, is available; everything missing is said in one message."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

from lm_eval.common.hub import answers, cached_snapshot, is_silent, lacking
from lm_eval.common.text import say_cause
from lm_eval.config.run_config import RunConfig
from lm_eval.errors import ConfigurationError
from lm_eval.grid.grid import Given
from lm_eval.models.info import ModelFacts, is_local, read_facts
from lm_eval.tasks.base import Task
from lm_eval.tasks.documents import documents_of


def attempt(checks: Iterable[Callable[[], object]]) -> list[str]:
    """Make every check, and return what is wrong; the same fault is named once."""
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
        raise ConfigurationError("\n  ".join([f"{len(faults)} things are not available or not usable:", *faults]))


def read_models(names: Collection[str], given: Given, further: Callable[[], list[str]]) -> dict[str, ModelFacts]:
    """Read the configs of models.

    Args:
        names: of the hub, or folders.
        given: the revision, and what else is loaded.
        further: says what else is wrong; asked only where a model is missing for want of a network, so that all that
            the network would have given is said at once.

    Raises:
        ConfigurationError: a model is not available; names all of them.
    """
    facts: dict[str, ModelFacts] = {}

    def read(name: str) -> None:
        facts[name] = read_facts(name, given.revision, given.checkpoint)

    faults = attempt(partial(read, name) for name in names)
    for_want_of_network = any(name not in facts and not is_local(name) for name in names) and is_silent()
    refuse([*faults, *further()] if for_want_of_network else faults)
    return facts


def check_data(tasks: Mapping[RunConfig, Task]) -> list[str]:
    """Return what is wrong with the documents of configurations, each dataset looked at once."""
    distinct = {
        (task.dataset.name, form.num_fewshot, form.has_context): (form, task.dataset) for form, task in tasks.items()
    }
    return attempt(partial(documents_of, *one) for one in distinct.values())


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
            f"model hub gives nothing ({say_cause(fault)}); fetch it while there is a network "
            "(scripts/prefetch.py), or give other models or folders (--models)"
        )
