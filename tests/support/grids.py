"""Small grids and options for the tests of planning and running."""

from pathlib import Path
from typing import Any

from lm_eval.config.run_config import RunConfig
from lm_eval.grid import grid as grids
from lm_eval.grid.grid import CommonOptions, Grid
from lm_eval.grid.options import Options
from lm_eval.results.canonical_form import canonical_in_grid
from lm_eval.tasks.registry import find_task


def small_grid(*models: Path | str, **overrides: Any) -> Grid:
    """A grid of three configurations a model: two that share a pass, and one at another number of shots."""
    fields: dict[str, Any] = {
        "model": "dist_sim",
        "task": "hellaswag_d",
        "models": [str(model) for model in models],
        "arch_type": "decoder-only",
        "num_fewshot": [1, 0],
        "encoding_scheme": ["concat_each_example"],
        "settings": {
            "WORD_AGG_SCHEME": ["mean"],
            "EXAMPLE_AGG_SCHEME": [None, "mean"],
            "SIMILARITY_FUNC": ["cosine_sim"],
        },
    }
    return Grid(**{**fields, **overrides})


def options(data_dir: Path | None, results_dir: Path, **overrides: Any) -> Options:
    """The flags of a grid script, with a data folder and a results folder."""
    fields: dict[str, Any] = {
        "shutdown_at_exit": False,
        "overwrite_results": False,
        "NUM_GPUS_PER_RUN": 1,
        "cluster": "local",
        "models": None,
        "limit": "4",
        "data_dir": None if data_dir is None else str(data_dir),
        "results_dir": str(results_dir),
        "dry_run": False,
        "retry_failed": False,
        "fail_fast": False,
        "dtype": None,
        "log_samples": False,
    }
    return Options(**{**fields, **overrides})


def grid(**changes: Any) -> Grid:
    """A generation grid of one configuration for each number of shots."""
    fields: dict[str, Any] = {
        "model": "dist_gen",
        "task": "hellaswag_dg",
        "models": ["x"],
        "arch_type": None,
        "encoding_scheme": ["concat_each_example"],
        "settings": {"WORD_AGG_SCHEME": ["mean"]},
    }
    return Grid(**{**fields, **changes})


def expand(made: Grid, common: CommonOptions | None = None) -> list[RunConfig]:
    """The distinct configurations of a grid in their canonical form."""
    common = common or CommonOptions()
    dataset = find_task(made.model, made.task, common.include_path).dataset
    return list(dict.fromkeys(canonical_in_grid(config, dataset) for config in grids.expand(made, common)))
