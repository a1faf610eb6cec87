"""One configuration, or all that share a pass, from documents to metrics; `simple_evaluate` is the programs' way in."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, replace
from typing import Any

from lm_eval.config import MODEL_KIND_ALIASES, RunConfig
from lm_eval.documents import Document, check_differ, select_documents
from lm_eval.errors import ConfigurationError
from lm_eval.evaluation import Evaluation, make_result
from lm_eval.execution import Execution
from lm_eval.hub import hub_or_cache
from lm_eval.identity import canonical, identify
from lm_eval.models.activations import fused_activations
from lm_eval.models.batching import Batcher
from lm_eval.models.checks import check_against_model
from lm_eval.models.facts import is_local, read_facts
from lm_eval.models.language_model import LanguageModel
from lm_eval.models.loading import dtype_name, load_model
from lm_eval.models.memory import choose_budget, freed_memory_kept, peak_memory_gib, reset_peak_memory
from lm_eval.progress import DocumentProgress
from lm_eval.provenance import PassRecord, now
from lm_eval.result_files import mean_of_tasks, merge_results
from lm_eval.scoring import SharedPass
from lm_eval.settings import format_pairs, parse_pairs
from lm_eval.tasks import expand_tasks, find_groups, find_task
from lm_eval.tokenised import TokenisedDocument, Tokeniser, count_tokens
from lm_eval.verification import Verification
from lm_eval.verification import verify as verify_documents
from lm_eval.windows import tokenised_ahead, windows

logger = logging.getLogger(__name__)

_KEPT_BYTES = 1 << 29
"""Vectors of segments that are kept for later windows. Beyond the model a pass so takes about a batch
(`models/memory`), this and a window (`windows`), however many documents and configurations there are.
"""


def evaluate_many(
    configs: Sequence[RunConfig],
    model: LanguageModel,
    execution: Execution,
    *,
    keep_documents: int | None = None,
    show_progress: bool = False,
) -> list[Evaluation]:
    """Evaluate configurations that share their passes.

    Args:
        configs: configurations with equal `pass_key`.
        model: the loaded model.
        execution: how to run.
        keep_documents: of how many documents the scores are kept; None keeps all of them, however many there are.
        show_progress: whether a progress bar is drawn.

    Returns:
        One evaluation a configuration, in their order.

    Raises:
        ConfigurationError: a configuration does not fit the model or the data.
        RunError: a document cannot be scored.
    """
    began, record = time.perf_counter(), PassRecord(num_configurations=len(configs))
    reset_peak_memory(model)
    first, batcher = configs[0], Batcher(choose_budget(model, execution))
    task = find_task(first)
    tokenise = Tokeniser(model, first)
    shared = SharedPass(configs=configs, model=model, batcher=batcher, max_kept_bytes=_KEPT_BYTES, record=record)
    evaluations = [
        Evaluation(config=c, identity=_identify(c, model), num_kept=keep_documents, record=record) for c in configs
    ]
    documents = _select(first)

    def tokenise_chunk(chunk: list[Document]) -> list[TokenisedDocument]:
        with record.phase("tokenise"):
            return tokenise(chunk)

    with DocumentProgress(len(documents), task.name, shown=show_progress) as progress, fast(model):
        for window in windows(tokenised_ahead(tokenise_chunk, documents), count_tokens, shared.bytes_held):
            advance = progress.start_window(len(window), shared.work_in_tokens(window))
            for place, scores in shared.score(window, advance):
                evaluations[place].add(scores)
            progress.finish_window(len(window))
    if tokenise.num_truncated:
        logger.warning(
            "%s: %d segments were longer than the %d tokens that %s takes; they were cut from the left",
            task.name, tokenise.num_truncated, model.max_length, model.name,
        )  # fmt: skip
    record.seconds, record.finished = time.perf_counter() - began, now()
    record.phases["score"] = record.seconds - record.phases.get("encode", 0.0)
    record.num_documents, record.num_tokens = len(documents), batcher.sizes.num_tokens
    record.num_truncated, record.batches = tokenise.num_truncated, batcher.record()
    record.peak_memory_gib = peak_memory_gib(model)
    return evaluations


def _select(config: RunConfig) -> list[Document]:
    """Return the documents of a configuration, with the shots that its contexts show."""
    num_fewshot = canonical(config).num_fewshot
    documents = select_documents(find_task(config).dataset, config.data_dir, num_fewshot, config.limit)
    check_differ(documents, config.encoding_scheme)
    return documents


def _identify(config: RunConfig, model: LanguageModel) -> dict[str, Any]:
    """Identify a configuration, with the dtype that the hardware decided where none was asked for."""
    return identify(replace(config, dtype=dtype_name(model.dtype)))


@contextmanager
def fast(model: LanguageModel) -> Iterator[None]:
    """Speed up what runs inside without changing a number beyond rounding."""
    with ExitStack() as stack:
        stack.enter_context(fused_activations(model.network))
        if model.device.type == "cpu":
            stack.enter_context(freed_memory_kept())
        yield


def check_config(config: RunConfig) -> None:
    """Check everything about a configuration that can be known without loading weights.

    Raises:
        ConfigurationError: unknown task, missing model folder, layer out of range, missing or broken data, empty limit.
    """
    find_task(config)
    check_against_model(config, read_facts(config.pretrained, config.revision, config.checkpoint))
    _select(config)


def simple_evaluate(  # noqa: PLR0913  (a flag of the command line is a parameter)
    *,
    model: str,
    model_args: str,
    tasks: Sequence[str] | str,
    task_args: str | None = "",
    num_fewshot: int = 0,
    batch_size: str | int | None = None,
    device: str | None = None,
    limit: str | int | None = None,
    log_samples: bool = False,
    verify: int = 0,
    description_dict: Mapping[str, str] | None = None,
    include_path: str | None = None,
    show_progress: bool = False,
    on_result: Callable[[RunConfig, dict[str, Any]], None] = lambda config, result: None,  # noqa: ARG005
) -> dict[str, Any]:
    """Evaluate one model on one or more tasks.

    Args:
        model: dist_sim, dist_gen or hf (also spelt gpt2).
        model_args: `KEY=value,KEY=value`: pretrained, revision, dtype, what `Checkpoint` has, and the settings
            of SPEC §4.
        tasks: task names, as a list or separated by commas; groups and tags of `include_path` too.
        task_args: `KEY=value,KEY=value`: encoding_scheme, data_dir, include_path.
        num_fewshot: shots in each context.
        batch_size: rows a batch; None or auto leaves it to a budget of tokens.
        device: where the model goes; None takes a GPU where there is one.
        limit: N documents, or START:END; None takes all.
        log_samples: whether the scores of every document are returned too.
        verify: so many of the first documents are scored again, one by one in the plain way, and compared.
        description_dict: a description for each task that has one.
        include_path: a folder with task files; the same as include_path= in `task_args`.
        show_progress: whether a progress bar is drawn.
        on_result: told each task's configuration and result as soon as it is finished.

    Returns:
        `results`, `versions`, `config` (SPEC §7), `identity` and `run`; with groups among the tasks `groups`, the mean
        of each metric over a group's documents; with `log_samples` also `samples[task]`, one dict a document with
        `doc_id`, `gold`, `scores` and, for generation, `is_exact_match`.

    Raises:
        ConfigurationError: the call is wrong; nothing was computed.
        RunError: a document cannot be scored.
    """
    if type(verify) is not int or verify < 0:
        raise ConfigurationError(f"verify must be a non-negative number of documents, got {verify!r}")
    task_args = _with_include_path(task_args, include_path)
    names = [name for name in tasks.split(",") if name] if isinstance(tasks, str) else list(tasks)
    if not names:
        raise ConfigurationError("tasks: no task is named")
    kind = MODEL_KIND_ALIASES.get(model, model)
    groups = find_groups(names, kind, parse_pairs(task_args, "task_args").get("include_path"))
    names = expand_tasks(names, groups)
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
            task_args=task_args,
            num_fewshot=num_fewshot,
            limit=limit,
            description=descriptions.get(name, ""),
        )
        for name in names
    ]
    execution = Execution.parse(batch_size=batch_size, device=device, model_args=model_args)
    for config in configs:
        check_config(config)
    for note in dict.fromkeys(note for config in configs for note in find_task(config).notes):
        logger.warning(note)
    commit = read_facts(configs[0].pretrained, configs[0].revision, configs[0].checkpoint).commit
    configs = [replace(config, revision=commit or config.revision) for config in configs]
    loaded = load_for(configs[0], execution)
    results = []
    for config in configs:
        kept = None if log_samples else verify
        evaluation = evaluate_many([config], loaded, execution, keep_documents=kept, show_progress=show_progress)[0]
        results.append(make_result(evaluation, loaded, execution, log_samples=log_samples))
        if verify:
            results[-1]["verification"] = {config.task: asdict(_verify(evaluation, loaded, verify))}
        on_result(config, results[-1])
    merged = merge_results(results)
    if groups:
        merged["groups"] = {name: mean_of_tasks(merged, tasks) for name, tasks in groups.items()}
    return merged


def _with_include_path(task_args: str | None, include_path: str | None) -> str | None:
    if include_path is None:
        return task_args
    stated = parse_pairs(task_args, "task_args").get("include_path")
    if stated not in (None, include_path):
        raise ConfigurationError(f"include_path is given twice, as {include_path} and {stated} in task_args; leave one")
    if stated is not None:
        return task_args
    return ",".join(filter(None, [task_args, format_pairs({"include_path": include_path})]))


def _verify(evaluation: Evaluation, model: LanguageModel, num_documents: int) -> Verification:
    config = evaluation.config
    return verify_documents(config, model, _select(config)[:num_documents], evaluation.documents[:num_documents])


def load_for(config: RunConfig, execution: Execution) -> LanguageModel:
    """Load the model of a configuration.

    Raises:
        ConfigurationError: it cannot be loaded.
    """
    at_hand = nullcontext() if is_local(config.pretrained) else hub_or_cache(config.pretrained, "model")
    with at_hand:  # or every file that a model may have, but hasn't, is asked for again and again
        return load_model(
            config.pretrained,
            revision=config.revision,
            checkpoint=config.checkpoint,
            dtype=config.dtype,
            device=execution.device,
            spread=execution.spread,
        )
