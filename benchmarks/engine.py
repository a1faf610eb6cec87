"""The engine as the benchmarks call it: the only module here that knows how the project evaluates configurations."""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch

from benchmarks.subjects import Subject
from lm_eval.common.text import format_pairs
from lm_eval.config.run_config import RunConfig
from lm_eval.config.runtime import Execution
from lm_eval.results.identity import Resolver, Run
from lm_eval.scheduling.units import make_units
from lm_eval.scoring.evaluation import Evaluation
from lm_eval.scoring.run_pass import evaluate_many

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


def resolve_all(configs: Iterable[RunConfig]) -> list[Run]:
    """Return the run of each configuration."""
    return list(map(Resolver(), configs))


def resolve_distinct(configs: Iterable[RunConfig]) -> list[Run]:
    """Return one run of each set of configurations that compute the same numbers."""
    resolve = Resolver()
    return [resolve(form) for form in dict.fromkeys(resolve(config).form for config in configs)]


def group_by_pass(runs: Sequence[Run]) -> list[Sequence[Run]]:
    """Return the runs of each pass."""
    return [unit.runs for unit in make_units(runs)]


def time_engine(
    subject: Subject, runs: Sequence[Run], execution: Execution | None = None
) -> tuple[float, list[Evaluation]]:
    """Evaluate runs of one pass together; return seconds, with all that a GPU does, and evaluations."""
    synchronize(subject)
    began = time.perf_counter()
    evaluations = evaluate_many(runs, subject.model, execution or Execution())
    synchronize(subject)
    return time.perf_counter() - began, evaluations


def synchronize(subject: Subject) -> None:
    """Wait until the GPUs that the model is on have done everything."""
    for device in subject.model.gpus:
        torch.cuda.synchronize(device)


def scores_of(evaluation: Evaluation) -> list[Sequence[float]]:
    """Return the scores of each document's choices."""
    return [document.scores for document in evaluation.documents]
