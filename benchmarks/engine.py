"""The engine as the benchmarks call it: the only module here that knows how the project evaluates configurations."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.subjects import Subject
from lm_eval.common.text import format_pairs
from lm_eval.config.run_config import RunConfig
from lm_eval.config.runtime import Execution
from lm_eval.results.identity import canonical
from lm_eval.scheduling.units import make_units
from lm_eval.scoring.evaluation import Evaluation, evaluate_many

GEN, SIM = "dist_gen", "dist_sim"
Settings = Mapping[str, str | int | None]


def make_config(
    model: str, scheme: str, settings: Settings, *, num_fewshot: int, documents: int, data_dir: Path
) -> RunConfig:
    """Return a configuration of HellaSwag for a model that is made, not loaded."""
    return RunConfig.parse(
        model=model,
        model_args=format_pairs({"pretrained": "random", **settings}),
        task={GEN: "hellaswag_dg", SIM: "hellaswag_d"}[model],
        task_args=format_pairs({"encoding_scheme": scheme, "data_dir": data_dir}),
        num_fewshot=num_fewshot,
        limit=documents,
    )


def distinct(configs: Sequence[RunConfig]) -> list[RunConfig]:
    """Return one of each set of configurations that compute the same numbers."""
    return list(dict.fromkeys(canonical(config) for config in configs))


def group_by_pass(configs: Sequence[RunConfig]) -> list[Sequence[RunConfig]]:
    """Return the configurations of each pass."""
    return [unit.configs for unit in make_units(configs)]


def time_engine(subject: Subject, configs: Sequence[RunConfig]) -> tuple[float, list[Evaluation]]:
    """Evaluate configurations of one pass together; return seconds and evaluations."""
    began = time.perf_counter()
    evaluations = evaluate_many(configs, subject.model, Execution())
    return time.perf_counter() - began, evaluations


def scores_of(evaluation: Evaluation) -> list[Sequence[float]]:
    """Return the scores of each document's choices."""
    return [document.scores for document in evaluation.documents]
