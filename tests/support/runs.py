"""Configurations as runs: resolved, or made up for tests that need no model and no data."""

from collections.abc import Iterable, Sequence
from typing import Any

from lm_eval.config.run_config import RunConfig
from lm_eval.config.runtime import Execution
from lm_eval.models.language_model import LanguageModel
from lm_eval.results import canonical_form
from lm_eval.results.identity import Identity, Run, resolve
from lm_eval.results.result_file import result_name
from lm_eval.scoring.evaluation import Evaluation
from lm_eval.scoring.run_pass import evaluate_many
from lm_eval.tasks.registry import find_task


def fake_runs(configs: Iterable[RunConfig]) -> list[Run]:
    """Return runs whose model and data nobody looks at: each is identified by what its configuration says."""
    return [
        Run(
            config=config,
            form=config,
            task=find_task(config.model, config.task, config.include_path),
            identity={"configuration": repr(config)},
        )
        for config in configs
    ]


def resolved(configs: Iterable[RunConfig]) -> list[Run]:
    """Return the runs of configurations whose models and data are there."""
    return [resolve(config) for config in configs]


def identify(config: RunConfig) -> Identity:
    """Return what identifies a configuration whose model and data are there."""
    return resolve(config).identity


def name_of(config: RunConfig) -> str:
    """Return the name of the result file of a configuration whose model and data are there."""
    return result_name(config, identify(config))


def canonical(config: RunConfig) -> RunConfig:
    """Return the one form of a configuration."""
    return canonical_form.canonical(config, find_task(config.model, config.task, config.include_path).dataset)


def evaluate(
    configs: Sequence[RunConfig], model: LanguageModel, execution: Execution, **options: Any
) -> list[Evaluation]:
    """Evaluate configurations that share their passes."""
    return evaluate_many(resolved(configs), model, execution, **options)
