"""What every grid script does: flags, grid, checks, plan, runs, result files, and a table at the end."""

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from lm_eval.config import Limit, RunConfig
from lm_eval.documents import select_documents
from lm_eval.errors import ConfigurationError
from lm_eval.grid import Grid, Plan, expand, make_plan
from lm_eval.model_list import DEMO, demo_models
from lm_eval.models.families import Architecture, check_against_model, is_local, read_facts
from lm_eval.options import Options, read_options
from lm_eval.results import ResultsFolder, StoredResult, check_writable
from lm_eval.scheduler import Executor, Outcome, make_units
from lm_eval.table import describe, format_results
from lm_eval.tasks import find_task

_SCRIPT_ENDINGS: dict[Architecture, str] = {"decoder-only": "_gpt.py", "encoder-decoder": "_t5.py"}


def launch(run: Callable[[], Grid], results_dir: str) -> None:
    """Read the command line, run the grid, and exit with its status.

    Args:
        run: returns the grid; its docstring is the script's help.
        results_dir: the folder for result files unless `--results_dir` names another.

    The exit status is 0 when all is done or skipped, 1 when a run failed, 2 when the call was wrong and nothing ran.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt_once)
    try:
        options = read_options(sys.argv[1:], name=Path(sys.argv[0]).name, description=str(run.__doc__))
        status = carry_out(_make_grid(run), options, results_dir)
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("interrupted; what was finished is in the results folder, call again for the rest", file=sys.stderr)
        status = 130
    except BrokenPipeError:  # whoever read the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)


def _interrupt_once(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Interrupt the work; a second Ctrl-C must not interrupt the tidying up."""
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    raise KeyboardInterrupt


def _make_grid(run: Callable[[], Grid]) -> Grid:
    try:
        return run()
    except TypeError as error:  # a keyword that a user misspelt
        raise ConfigurationError(
            f"the grid at the top of {Path(sys.argv[0]).name} cannot be made: {error}; "
            f"its lists are {', '.join(item.name for item in fields(Grid))}"
        ) from error


def carry_out(grid: Grid, options: Options, results_dir: str, executor: Executor | None = None) -> int:
    """Run a grid and return the exit status.

    Args:
        grid: the lists to run over.
        options: the flags.
        results_dir: the folder for result files unless the options name another.
        executor: where to run; None takes Ray, as the options say.

    Raises:
        ConfigurationError: something is wrong with the call; nothing ran.
    """
    configs = check_grid(_apply_options(grid, options), options)
    folder = ResultsFolder(Path(options.results_dir or results_dir))
    plan = make_plan(configs, folder, overwrite=options.overwrite_results)
    _print_plan(plan, folder)
    if options.dry_run:
        for config in plan.to_run:
            print(f"to run: {describe(config)}")
        for config, stored in plan.done:
            print(f"done:   {describe(config)} ({stored.path.name})")
        if options.shutdown_at_exit:
            print(f"at the end this machine would be shut down with: {' '.join(_shutdown_command())}")
        return 0
    check_writable(folder.path)
    _check_documents(plan.to_run)
    try:
        failures = _run(plan, folder, executor or _ray(options)) if plan.to_run else []
        _print_results(configs, folder)
        _print_failures(failures)
    except (ConfigurationError, KeyboardInterrupt):  # a person is there, who called wrongly or wants it to stop
        raise
    except Exception:
        _shut_down(options)
        raise
    _shut_down(options)
    return 1 if failures else 0


def _shut_down(options: Options) -> None:
    if options.shutdown_at_exit:
        subprocess.run(_shutdown_command(), check=False)  # noqa: S603


def _apply_options(grid: Grid, options: Options) -> Grid:
    if options.models is None:
        return grid
    models: list[str] = []
    for name in filter(None, options.models.split(",")):
        models += demo_models(grid.arch_type) if name == "demo" else [name]
    return replace(grid, models=[str(Path(name).expanduser().resolve()) if is_local(name) else name for name in models])


def _default_data_dir(grid: Grid, options: Options) -> str | None:
    """Return the folder asked for; the embedded models were trained on the embedded data, so they get it by default."""
    if options.data_dir is not None:
        return str(Path(options.data_dir).expanduser().resolve())
    only_demo = all(Path(model).parent == DEMO / "models" for model in grid.models)
    return str(DEMO / "data") if only_demo else None


def check_grid(grid: Grid, options: Options) -> list[RunConfig]:
    """Return the configurations of a grid, each checked as far as can be without loading weights.

    Raises:
        ConfigurationError: a model that is missing or of the wrong architecture, a layer out of range, broken data, …
    """
    facts = {name: read_facts(name) for name in grid.models}
    for name, of_model in facts.items():
        if grid.arch_type not in (None, of_model.family.architecture):
            raise ConfigurationError(
                f"{name} is {of_model.family.architecture}, but this script is for {grid.arch_type} models; "
                f"use the one whose name ends in {_SCRIPT_ENDINGS[of_model.family.architecture]}"
            )
    configs = expand(grid, limit=Limit.parse(options.limit), data_dir=_default_data_dir(grid, options))
    for config in configs:
        check_against_model(config, facts[config.pretrained])
    _check_documents([config for config in configs if config.data_dir is not None])
    return configs


def _check_documents(configs: Sequence[RunConfig]) -> None:
    """See that the documents are there; those of the hub are only asked for where something is to run."""
    for config in {config.num_fewshot: config for config in configs}.values():
        select_documents(find_task(config).dataset, config.data_dir, config.num_fewshot, config.limit)


def _print_failures(failures: Sequence[Outcome]) -> None:
    """Print every cause once, under the runs that it ended."""
    for cause in dict.fromkeys(outcome.error for outcome in failures):
        for outcome in failures:
            if outcome.error == cause:
                print(f"failed: {describe(outcome.config)}", file=sys.stderr)
        print(f"  {cause}", file=sys.stderr)


def _print_plan(plan: Plan, folder: ResultsFolder) -> None:
    for path, why in folder.unreadable.items():
        print(f"not a result, kept and ignored: {path} ({why})", file=sys.stderr)
    older = sum(stored.identity is None for _, stored in plan.done)
    if older:
        print(
            f"{older} are told by files of the older form, which don't state all that decides a number: "
            "what they lack (data, dtype, the model's weights) counts as equal",
            file=sys.stderr,
        )
    print(f"{folder.path}: {len(plan.to_run)} to run, {len(plan.done)} done", flush=True)


def _ray(options: Options) -> Executor:
    if options.cluster not in ("local", "auto"):
        _use_token()
    from lm_eval.ray_executor import RayExecutor  # noqa: PLC0415  (only needed where something runs)

    return RayExecutor(cluster=options.cluster, num_gpus=options.NUM_GPUS_PER_RUN)


def _use_token() -> None:
    """Let ray show the user's token to a cluster joined by its address; it reads this setting when it is imported."""
    if (Path.home() / ".ray" / "auth_token").is_file() or {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _run(plan: Plan, folder: ResultsFolder, executor: Executor) -> list[Outcome]:
    """Run what is to be run, write each result as it comes, and return what failed."""
    failures: list[Outcome] = []
    finished = 0
    with tqdm(total=len(plan.to_run), unit=" runs", dynamic_ncols=True, disable=not sys.stderr.isatty()) as bar:
        for outcome in executor.run(make_units(plan.to_run)):
            settled = _store(outcome, folder)
            if settled.error is not None:
                failures.append(settled)
            status = "failed" if settled.error is not None else "done"
            finished += 1
            bar.update()
            bar.set_postfix(failed=len(failures))
            bar.write(f"{status} ({finished}/{len(plan.to_run)}): {describe(outcome.config)}{_remark(outcome)}")
    return failures


def _remark(outcome: Outcome) -> str:
    cut = outcome.result["run"][outcome.config.task]["num_truncated_segments"] if outcome.result is not None else 0
    return f" (warning: {cut} segments were longer than the model takes and were cut from the left)" if cut else ""


def _store(outcome: Outcome, folder: ResultsFolder) -> Outcome:
    if outcome.result is None:
        return outcome
    try:
        folder.write(outcome.config, outcome.result)
    except OSError as error:
        return replace(outcome, result=None, error=f"its result could not be written to {folder.path}: {error}")
    return outcome


def _find(config: RunConfig, folder: ResultsFolder) -> StoredResult | None:
    with contextlib.suppress(ConfigurationError):  # its data or model went away meanwhile
        return folder.find(config)
    return None


def _print_results(configs: Sequence[RunConfig], folder: ResultsFolder) -> None:
    stored = [found for config in configs if (found := _find(config, folder)) is not None]
    if stored:
        print(format_results(stored))


def _shutdown_command() -> list[str]:
    command = [shutil.which("shutdown") or "shutdown", "-h", "now"]
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return command if is_root else ["sudo", "-n", *command]
