"""`simple_evaluate`: evaluate one model on one or more tasks, from a Python program."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

from lm_eval.config.run_config import SEED, RunConfig
from lm_eval.contexts.document_texts import with_texts
from lm_eval.inference.given import facts_of, take_given
from lm_eval.inference.loading import load_for
from lm_eval.models.language_model import LanguageModel
from lm_eval.models.size import find_size
from lm_eval.results.identity import Run
from lm_eval.results.request import Request
from lm_eval.results.result_file import mean_of_tasks, merge_results
from lm_eval.scoring.assembly import documents_of_identity
from lm_eval.scoring.resuming import Evaluator
from lm_eval.scoring.run_pass import read_of
from lm_eval.scoring.verification import verify as verify_documents

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
    plain_args, given = take_given(model_args)
    request = Request.parse(
        model=model,
        model_args=plain_args,
        tasks=tasks,
        task_args=task_args,
        num_fewshot=num_fewshot,
        batch_size=batch_size,
        device=device,
        limit=limit,
        seed=seed,
        log_samples=log_samples,
        log_texts=log_texts,
        verify=verify,
        description_dict=description_dict,
        include_path=None if include_path is None else str(include_path),
    )
    loaded = None if given is None else given.wrap(device)
    runs = request.resolve() if loaded is None else request.resolve(facts_of(loaded), read_of(loaded))
    return evaluate_request(
        request, runs, loaded, on_result=on_result, results_dir=results_dir, show_progress=show_progress
    )


def evaluate_request(
    request: Request,
    runs: Sequence[Run],
    loaded: LanguageModel | None = None,
    *,
    on_result: OnResult,
    results_dir: str | PathLike[str] | None,
    show_progress: bool,
) -> dict[str, Any]:
    """Evaluate a request that was checked; see `simple_evaluate`.

    Args:
        request: the request.
        runs: its configurations, resolved.
        loaded: the model, where it is loaded already.
        on_result: as there.
        results_dir: as there.
        show_progress: as there.
    """

    def finish(run: Run, result: dict[str, Any]) -> None:
        if request.log_texts:
            task = run.config.task
            documents = documents_of_identity(run, result["identity"][task])
            result["samples"][task] = with_texts(result["samples"][task], run.config, run.task, documents)
        on_result(run.config, result)

    evaluator = Evaluator(
        model=loaded or load_for(runs[0].config, request.execution),
        execution=request.execution,
        parameters=None if loaded is not None else find_size(request.facts),
        results=None if results_dir is None else Path(results_dir),
        show_progress=show_progress,
        num_kept=request.verify,
    )
    merged = merge_results(list(_evaluate(runs, evaluator, request.verify, finish)))
    if request.groups:
        merged["groups"] = {name: mean_of_tasks(merged, tasks) for name, tasks in request.groups.items()}
    return merged


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
