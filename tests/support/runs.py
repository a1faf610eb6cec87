"""Configurations as runs, for tests that need no model and no data."""

from collections.abc import Iterable

from lm_eval.config.run_config import RunConfig
from lm_eval.results.identity import Run, resolve
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
