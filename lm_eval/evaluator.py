"""`simple_evaluate`: evaluate one model on one or more tasks, from a Python program."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from os import PathLike
from pathlib import Path
from typing import Any

from lm_eval.common.text import read_pairs
from lm_eval.config.run_config import MODEL_KIND_ALIASES, SEED, RunConfig
from lm_eval.config.runtime import Execution
from lm_eval.contexts.document_texts import with_texts
from lm_eval.errors import ConfigurationError
from lm_eval.inference.given import facts_of, take_given
from lm_eval.inference.loading import load_for
from lm_eval.models.compatibility import check_against_model
from lm_eval.models.info import ModelFacts, read_facts
from lm_eval.models.language_model import LanguageModel
from lm_eval.models.size import find_size
from lm_eval.results.canonical_form import canonical
from lm_eval.results.identity import Resolver, Run
from lm_eval.results.result_file import mean_of_tasks, merge_results
from lm_eval.scoring.assembly import documents_of_identity
from lm_eval.scoring.resuming import Evaluator
from lm_eval.scoring.run_pass import read_of
from lm_eval.scoring.verification import verify as verify_documents
from lm_eval.tasks.registry import expand_tasks, find_groups, find_task

logger = logging.getLogger(__name__)

OnResult = Callable[[RunConfig, dict[str, Any]], None]


def simple_evaluate(  # noqa: PLR0913  (a flag of the command line is a parameter)
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
    include_path: str | PathLike[str] | None = None,
    show_progress: bool = False,
    on_result: OnResult = lambda config, result: None,  # noqa: ARG005
    results_dir: str | PathLike[str] | None = None,
) -> dict[str, Any]:
    """Evaluate one model on one or more tasks.

    Args:
        model: dist_sim, dist_gen or hf (also spelt gpt2).
        model_args: `KEY=value,KEY=value`: pretrained, revision, dtype, what `Checkpoint` has, and the settings
            of experiment §4; or the same as a dict, also of plain values. In a dict, `pretrained` may be a language
            model of transformers that is loaded already, and `tokenizer` then is its tokenizer: it is used as it is,
            with its hooks, and left as it was.
        tasks: task names, as a list or separated by commas; groups and tags of `include_path` too.
        task_args: `KEY=value,KEY=value`, or the same as a dict: encoding_scheme, data_dir, include_path.
        num_fewshot: shots in each context.
        batch_size: rows a batch; None or auto leaves it to a budget of tokens.
        device: where the model goes; None takes a GPU where there is one. A loaded one stays where it is.
        limit: N documents, or START:END; None takes all.
        seed: decides the order of the documents and their shots.
        log_samples: whether the scores of every document are returned too.
        log_texts: whether its context segments and choices are returned with them.
        verify: how many of the first documents are scored again, one by one in the plain way, and compared.
        description_dict: a description for each task that has one.
        include_path: a folder with task files; the same as include_path= in `task_args`.
        show_progress: whether a progress bar is drawn.
        on_result: called with each task's configuration and result as soon as it is finished.
        results_dir: a results folder, which keeps what is done of a long task until it is finished, so that a call
            which is repeated goes on from there.

    Returns:
        `results`, `versions`, `config` (experiment §7), `identity`, `run`; with groups among the tasks `groups`, the
        mean of each metric over a group's documents; with `log_samples` also `samples[task]`, one dict a document with
        `doc_id`, `gold`, `scores` and, for generation, `is_exact_match`; with `log_texts` also `choices` and `context`,
        its samples of segments (or `contexts`, one for each choice, where these differ).

    Raises:
        ConfigurationError: the call is wrong; nothing was computed.
        RunError: a document cannot be scored.
    """
    if log_texts and not log_samples:
        raise ConfigurationError("log_texts does nothing without log_samples; give both, or leave it out")
    if type(verify) is not int or verify < 0:
        raise ConfigurationError(f"verify must be a non-negative number of documents, got {verify!r}")
    plain_args, given = take_given(model_args)
    task_pairs = _task_pairs(task_args, None if include_path is None else str(include_path))
    names, groups = _expand_names(tasks, model, task_pairs.get("include_path"))
    descriptions = dict(description_dict or {})
    if unknown := set(descriptions) - set(names):
        raise ConfigurationError(
            f"description_dict: {', '.join(sorted(unknown))} is none of the tasks {', '.join(names)}"
        )
    configs = [
        RunConfig.parse(
            model=model,
            model_args=plain_args,
            task=name,
            task_args=task_pairs,
            num_fewshot=num_fewshot,
            limit=limit,
            description=descriptions.get(name, ""),
            seed=seed,
        )
        for name in names
    ]
    execution = Execution.parse(batch_size=batch_size, device=device, model_args=plain_args, log_samples=log_samples)
    loaded = None if given is None else given.wrap(device)
    runs = _resolve(configs, loaded)
    loaded = loaded or load_for(runs[0].config, execution)

    def finish(run: Run, result: dict[str, Any]) -> None:
        if log_texts:
            task = run.config.task
            documents = documents_of_identity(run, result["identity"][task])
            result["samples"][task] = with_texts(result["samples"][task], run.config, run.task, documents)
        on_result(run.config, result)

    evaluator = Evaluator(
        model=loaded,
        execution=execution,
        parameters=None if given is not None else find_size(_facts(runs[0].config)),
        results=None if results_dir is None else Path(results_dir),
        show_progress=show_progress,
        num_kept=verify,
    )
    results = _evaluate(runs, evaluator, verify, finish)
    merged = merge_results(list(results))
    if groups:
        merged["groups"] = {name: mean_of_tasks(merged, tasks) for name, tasks in groups.items()}
    return merged


def _expand_names(
    tasks: Sequence[str] | str, model: str, include_path: str | None
) -> tuple[list[str], dict[str, list[str]]]:
    """Return the names of all tasks asked for, with groups expanded, and the groups."""
    names = [name for name in tasks.split(",") if name] if isinstance(tasks, str) else list(tasks)
    if not names:
        raise ConfigurationError("tasks: no task is named")
    kind = MODEL_KIND_ALIASES.get(model, model)
    groups = find_groups(names, kind, include_path)
    return expand_tasks(names, groups), groups


def _resolve(configs: Sequence[RunConfig], loaded: LanguageModel | None) -> list[Run]:
    """Resolve configurations of one model, and check all that can be known without loading its weights.

    Args:
        configs: the configurations.
        loaded: their model, where the caller has loaded it.

    Raises:
        ConfigurationError: missing model folder, unknown task, layer out of range, missing or broken data, empty limit.
    """
    tasks = [find_task(config.model, config.task, config.include_path) for config in configs]
    first = configs[0]
    facts = facts_of(loaded) if loaded else _facts(first)
    configs = [replace(config, revision=facts.commit or config.revision) for config in configs]
    resolver = Resolver()
    runs = [
        resolver.identify(config, canonical(config, task.dataset), task, read=read_of(loaded) if loaded else None)
        for config, task in zip(configs, tasks, strict=True)
    ]
    for run in runs:
        check_against_model(run.config, facts)
        run.documents()
    for note in dict.fromkeys(note for run in runs for note in run.task.notes):
        logger.warning(note)
    return runs


def _facts(config: RunConfig) -> ModelFacts:
    return read_facts(config.pretrained, config.revision, config.checkpoint)


def _evaluate(
    runs: Sequence[Run], evaluator: Evaluator, verify: int, finish: Callable[[Run, dict[str, Any]], None]
) -> Iterator[dict[str, Any]]:
    """Yield the result of each run of one model as soon as it is finished."""
    for run in runs:
        result, scored = evaluator.evaluate(run)
        if verify:
            verification = verify_documents(run, evaluator.model, run.documents()[:verify], scored[:verify])
            result["verification"] = {run.config.task: asdict(verification)}
        finish(run, result)
        evaluator.forget()
        yield result


def _task_pairs(task_args: str | Mapping[str, Any] | None, include_path: str | None) -> dict[str, str | None]:
    pairs = read_pairs(task_args, "task_args")
    stated = pairs.get("include_path")
    if include_path is not None and stated not in (None, include_path):
        raise ConfigurationError(f"include_path is given twice, as {include_path} and {stated} in task_args; leave one")
    return pairs if include_path is None else {**pairs, "include_path": include_path}
