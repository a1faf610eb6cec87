"""What a call asks of one model: configurations, resolved and checked without torch: a wrong call ends at once."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from lm_eval.common.text import read_pairs
from lm_eval.config.run_config import MODEL_KIND_ALIASES, SEED, RunConfig
from lm_eval.config.runtime import Execution
from lm_eval.errors import ConfigurationError
from lm_eval.models.compatibility import check_against_model
from lm_eval.models.info import ModelFacts, read_facts
from lm_eval.results.canonical_form import canonical
from lm_eval.results.identity import Read, Resolver, Run
from lm_eval.tasks.registry import expand_tasks, find_groups, find_task

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Request:
    """One model on one or more tasks."""

    configs: Sequence[RunConfig]
    """One a task."""
    groups: Mapping[str, Sequence[str]]
    """The groups among the tasks asked for, each with its tasks."""
    execution: Execution
    log_texts: bool
    verify: int
    """How many of the first documents are scored again, in the plain way."""

    @classmethod
    def parse(  # noqa: PLR0913  (a flag of the command line each)
        cls,
        *,
        model: str,
        model_args: str | Mapping[str, Any],
        tasks: Sequence[str] | str,
        task_args: str | Mapping[str, Any] | None = "",
        num_fewshot: int = 0,
        batch_size: str | int | None = None,
        device: str | None = None,
        limit: str | int | None = None,
        seed: int = SEED,
        log_samples: bool = False,
        log_texts: bool = False,
        verify: int = 0,
        description_dict: Mapping[str, str] | None = None,
        include_path: str | None = None,
    ) -> "Request":
        """Read a call; see `lm_eval.evaluator.simple_evaluate` for its arguments.

        Raises:
            ConfigurationError: the call is wrong.
        """
        if log_texts and not log_samples:
            raise ConfigurationError("log_texts does nothing without log_samples; give both, or leave it out")
        if type(verify) is not int or verify < 0:
            raise ConfigurationError(f"verify must be a non-negative number of documents, got {verify!r}")
        task_pairs = _task_pairs(task_args, include_path)
        names, groups = _expand_names(tasks, model, task_pairs.get("include_path"))
        descriptions = dict(description_dict or {})
        if unknown := set(descriptions) - set(names):
            raise ConfigurationError(
                f"description_dict: {', '.join(sorted(unknown))} is none of the tasks {', '.join(names)}"
            )
        configs = [
            RunConfig.parse(
                model=model,
                model_args=model_args,
                task=name,
                task_args=task_pairs,
                num_fewshot=num_fewshot,
                limit=limit,
                description=descriptions.get(name, ""),
                seed=seed,
            )
            for name in names
        ]
        execution = Execution.parse(
            batch_size=batch_size, device=device, model_args=model_args, log_samples=log_samples
        )
        return cls(configs=configs, groups=groups, execution=execution, log_texts=log_texts, verify=verify)

    @cached_property
    def facts(self) -> ModelFacts:
        """What the model's files tell.

        Raises:
            ConfigurationError: they are missing or unusable.
        """
        first = self.configs[0]
        return read_facts(first.pretrained, first.revision, first.checkpoint)

    def resolve(self, facts: ModelFacts | None = None, read: Read | None = None) -> list[Run]:
        """Resolve the configurations, and check all that can be known without loading the model's weights.

        Args:
            facts: those of a model that is loaded already; None reads the files'.
            read: what was read when it was loaded.

        Raises:
            ConfigurationError: missing model folder, unknown task, layer out of range, missing or broken data, empty
                limit.
        """
        tasks = [find_task(config.model, config.task, config.include_path) for config in self.configs]
        facts = facts or self.facts
        configs = [replace(config, revision=facts.commit or config.revision) for config in self.configs]
        resolver = Resolver()
        runs = [
            resolver.identify(config, canonical(config, task.dataset), task, read=read)
            for config, task in zip(configs, tasks, strict=True)
        ]
        for run in runs:
            check_against_model(run.config, facts)
            run.documents()
        for note in dict.fromkeys(note for run in runs for note in run.task.notes):
            logger.warning(note)
        return runs


def _expand_names(
    tasks: Sequence[str] | str, model: str, include_path: str | None
) -> tuple[list[str], dict[str, list[str]]]:
    """Return the names of all tasks asked for, with groups expanded, and the groups."""
    names = [name for name in tasks.split(",") if name] if isinstance(tasks, str) else list(tasks)
    if not names:
        raise ConfigurationError("tasks: no task is named")
    groups = find_groups(names, MODEL_KIND_ALIASES.get(model, model), include_path)
    return expand_tasks(names, groups), groups


def _task_pairs(task_args: str | Mapping[str, Any] | None, include_path: str | None) -> dict[str, str | None]:
    pairs = read_pairs(task_args, "task_args")
    stated = pairs.get("include_path")
    if include_path is not None and stated not in (None, include_path):
        raise ConfigurationError(f"include_path is given twice, as {include_path} and {stated} in task_args; leave one")
    return pairs if include_path is None else {**pairs, "include_path": include_path}
