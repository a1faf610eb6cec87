"""`python -m lm_eval`: evaluate one model on one or more tasks; print a table and write a result file."""

import argparse
import importlib
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lm_eval.common import garbage
from lm_eval.common.arguments import add_batch_size, add_device, add_model_args, add_seed, make_parser, program
from lm_eval.common.command import DONE, FAILED, exit_status
from lm_eval.common.text import did_you_mean, say_cut
from lm_eval.config.checkpoint import CHECKPOINT_KEYS
from lm_eval.config.run_config import (
    ENCODING_SCHEMES,
    EXECUTION_KEYS,
    MODEL_KEYS,
    MODEL_KIND_ALIASES,
    MODEL_KINDS,
    TASK_KEYS,
    RunConfig,
)
from lm_eval.config.settings import SETTING_NAMES
from lm_eval.errors import ConfigurationError, RunError
from lm_eval.results.request import Request
from lm_eval.results.weights_and_biases import LoggedResult, check_wandb, log_results
from lm_eval.tasks.base import FORM_OF_MODEL
from lm_eval.tasks.registry import TASKS


def _task_list() -> str:
    """Return the built-in tasks, one line for each model kind."""
    forms = [
        f"  --model {kind:9} {', '.join(name for name, task in TASKS.items() if task.form == form)}"
        for kind, form in FORM_OF_MODEL.items()
    ]
    return "\n".join(["", *forms])


_KINDS = ", ".join((*MODEL_KINDS, *MODEL_KIND_ALIASES))
SUBCOMMANDS = {
    "ls": "what there is to choose from: tasks, schemes, aggregations, families, …",
    "show": "a document as a model gets it",
    "encode": "the vectors of any texts",
    "walk": "one context's way through the layers, as a page",
}
"""Further commands of the same name, each a module of its own."""
_EPILOG = f"""
other commands, each with its own --help:
{chr(10).join(f"  {program()} {name:7} {text}" for name, text in SUBCOMMANDS.items())}

settings in --model_args:
  the model               pretrained, revision, dtype, device_map, {", ".join(CHECKPOINT_KEYS)}
  its vectors             {", ".join(SETTING_NAMES)}
settings in --task_args:  encoding_scheme ({", ".join(ENCODING_SCHEMES)}), data_dir, include_path

tasks: {_task_list()}

exit status: 0 done, 1 the run failed, 2 the call was wrong and nothing ran, 130 interrupted
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the flags of one run; the table in the docs is made from it."""
    parser = make_parser("Evaluate one model on one or more tasks.", _EPILOG, prog=program())
    parser.add_argument("--model", required=True, help=f"what is computed: {_KINDS}")
    add_model_args(parser)
    parser.add_argument("--tasks", required=True, metavar="TASK,…", help="built-in tasks, or those of --include_path")
    parser.add_argument("--task_args", default="", metavar="KEY=VALUE,…", help="encoding scheme and data folder")
    parser.add_argument(
        "--include_path", metavar="DIR", help="folder with task files (YAML) of your own or of the upstream harness"
    )
    parser.add_argument("--num_fewshot", type=int, default=0, metavar="N", help="shots in each context (default 0)")
    add_batch_size(parser)
    add_device(parser)
    parser.add_argument("--limit", metavar="N|START:END", help="documents, in their shuffled order (default: all)")
    add_seed(parser)
    _add_outputs(parser)
    parser.add_argument(
        "--verify",
        type=int,
        default=0,
        metavar="N",
        help="score the first N documents again, one by one in the plain way, and report the largest difference",
    )
    parser.add_argument(
        "--description_dict_path",
        type=Path,
        metavar="FILE",
        help="JSON object of task names and texts: what stands before the shots",
    )
    return parser


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    """Add the flags for what is kept of a run, and where."""
    parser.add_argument("--output_path", type=Path, metavar="FILE", help="write the result to this JSON file")
    parser.add_argument(
        "--output_dir",
        type=Path,
        metavar="DIR",
        help="write it to this results folder, in place of an older result of the same configuration; a long run that "
        "is called again goes on there",
    )
    parser.add_argument(
        "--wandb",
        metavar="PROJECT",
        help="send the results to this project of Weights & Biases too (the package wandb)",
    )
    parser.add_argument(
        "--log_samples", action="store_true", help="store the scores of every document too, for comparisons"
    )
    parser.add_argument(
        "--log_texts",
        action="store_true",
        help="with --log_samples: store its context segments and choices too, to be read beside the scores",
    )


def _say_unknown(unknown: Sequence[str], flags: Sequence[str]) -> str:
    """Return what to say of arguments that no flag takes: how a setting is set, or the flag that was meant."""
    flag = next((argument for argument in unknown if argument.startswith("-")), unknown[0]).partition("=")[0]
    name = flag.lstrip("-").replace("-", "_")
    keys = {
        **dict.fromkeys(TASK_KEYS, "--task_args"),
        **dict.fromkeys((*MODEL_KEYS, *EXECUTION_KEYS, *CHECKPOINT_KEYS, *SETTING_NAMES), "--model_args"),
    }
    by_folded = {key.casefold(): key for key in keys}
    if flag.startswith("-") and (key := by_folded.get(name.casefold())) is not None:
        return f"unknown flag {flag}: {key} is set in {keys[key]}, as {keys[key]} …,{key}=VALUE"
    if flag.startswith("-"):
        return f"unknown flag {flag}{did_you_mean(name, {known.lstrip('-'): known for known in flags})}"
    return f"unexpected argument {flag!r}; every value must follow its flag"


def _check_outputs(args: argparse.Namespace) -> None:
    from lm_eval.common.atomic import check_writable  # noqa: PLC0415

    if args.output_path is not None:
        if args.output_path.is_dir():
            raise ConfigurationError(
                f"--output_path {args.output_path}: this is a folder; give a file, or use --output_dir"
            )
        check_writable(args.output_path.resolve().parent)
    if args.output_dir is not None:
        check_writable(args.output_dir)


def _read_descriptions(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        descriptions = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"--description_dict_path {path}: not a readable JSON file ({error})") from error
    if not isinstance(descriptions, dict) or not all(isinstance(text, str) for text in descriptions.values()):
        raise ConfigurationError(f"--description_dict_path {path}: expected a JSON object of task names and texts")
    return descriptions


def _writer(args: argparse.Namespace, logged: list[LoggedResult]) -> Callable[[RunConfig, dict[str, Any]], None]:
    """Return the function that writes each task's result as soon as it is finished, and keeps what is to be sent."""
    from lm_eval.common.atomic import write_json  # noqa: PLC0415
    from lm_eval.results.folder import ResultsFolder  # noqa: PLC0415
    from lm_eval.results.result_file import merge_results  # noqa: PLC0415
    from lm_eval.scoring.verification import Verification  # noqa: PLC0415

    folder = None if args.output_dir is None else ResultsFolder(args.output_dir)
    finished: list[dict[str, Any]] = []

    def write(config: RunConfig, result: dict[str, Any]) -> None:
        finished.append(result)
        logged.append(LoggedResult.of_file(config, result))
        _print_table(result)
        run = result["run"][config.task]
        if run["num_documents_resumed"] and (cut := run["num_truncated_segments"]):  # this call saw some of them alone
            print(f"{config.task:15} in all, {say_cut(cut, 'the model takes')}", file=sys.stderr)
        if "verification" in result:
            print(Verification(**result["verification"][config.task]))
        if args.output_path is not None:
            write_json(args.output_path, merge_results(finished))
        if folder is not None:
            print(f"written to {folder.write(config, result)}")

    return write


def _print_table(result: dict[str, Any]) -> None:
    for task, metrics in result["results"].items():
        for name, value in metrics.items():
            if not name.endswith("_stderr"):
                error = metrics[f"{name}_stderr"]
                print(f"{task:15} {name:10} {value:.4f}" + ("" if error is None else f" ± {error:.4f}"))


def _describe_kept(args: argparse.Namespace) -> str:
    where = [str(path) for path in (args.output_path, args.output_dir) if path is not None]
    kept = f"tasks that were finished are in {' and '.join(where)}" if where else "no result is kept"
    return kept if args.output_dir is None else f"{kept}; the same call goes on with the rest"


def _evaluate(args: argparse.Namespace) -> int:
    _check_outputs(args)
    check_wandb(args.wandb)
    descriptions = _read_descriptions(args.description_dict_path)
    request = Request.parse(
        model=args.model,
        model_args=args.model_args,
        tasks=args.tasks,
        task_args=args.task_args,
        num_fewshot=args.num_fewshot,
        batch_size=args.batch_size,
        device=args.device,
        limit=args.limit,
        seed=args.seed,
        log_samples=args.log_samples,
        log_texts=args.log_texts,
        verify=args.verify,
        include_path=args.include_path,
        description_dict=descriptions,
    )
    runs = request.resolve()  # a wrong call ends here, before torch is imported
    logged: list[LoggedResult] = []
    with garbage.importing():
        from lm_eval.evaluator import evaluate_request  # noqa: PLC0415  (seconds to import)

    try:
        result = evaluate_request(
            request, runs, on_result=_writer(args, logged), results_dir=args.output_dir, show_progress=True
        )
    except Exception:
        _send(args, logged)
        raise
    for group, metrics in result.get("groups", {}).items():
        for name, value in metrics.items():
            print(f"{group:15} {name:10} {value:.4f} over its documents")
    return _send(args, logged)


def _send(args: argparse.Namespace, logged: Sequence[LoggedResult]) -> int:
    """Send what is finished to Weights & Biases, where that is asked for; return the exit status."""
    if args.wandb is None or not logged:
        return DONE
    try:
        print(log_results(args.wandb, logged))
    except RunError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    return DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line and return the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in SUBCOMMANDS:
        subcommand = importlib.import_module(f"lm_eval.cli.{argv[0]}")  # which imports what it needs
        return int(subcommand.main(argv[1:]))
    parser = build_parser()
    if argv and not argv[0].startswith("-"):
        near, known = did_you_mean(argv[0], list(SUBCOMMANDS)), ", ".join(SUBCOMMANDS)
        parser.error(f"unknown command {argv[0]!r}{near}; there are {known}, and runs, which begin with flags")
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        parser.error(_say_unknown(unknown, [option for action in parser._actions for option in action.option_strings]))  # noqa: SLF001  (the only list)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    return exit_status(
        lambda: _evaluate(args),
        failed="the run failed: {error}",
        interrupted=lambda: f"interrupted; {_describe_kept(args)}",
    )
