"""What the grid scripts do: read the flags, expand and check the grids, plan, run, report, exit.

Whatever is wrong with the call ends in one message and exit status 2 before anything runs.
"""

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import FrameType
from typing import TypeVar

from lm_eval.config import Limit, RunConfig
from lm_eval.driver import Driver, Summary
from lm_eval.errors import ConfigurationError
from lm_eval.grid import Given, Grid, expand
from lm_eval.grid_progress import GridProgress
from lm_eval.grid_tasks import resolve, with_tasks
from lm_eval.hardware import Machine, local_machine
from lm_eval.model_list import DEMO, demo_models
from lm_eval.models.checks import check_against_model
from lm_eval.models.facts import ModelFacts, is_local
from lm_eval.models.families import Architecture
from lm_eval.options import Options, read_options
from lm_eval.plan import Plan, describe_plan, make_plan
from lm_eval.prospect import Prospect, look_ahead, print_plan
from lm_eval.result_files import check_writable
from lm_eval.results import ResultsFolder
from lm_eval.scheduler import Event, Executor, WorkQueue
from lm_eval.settings import choices_text
from lm_eval.summary import print_counts, print_results, print_summary, print_unwritten
from lm_eval.supplies import check_data, check_weights, read_models, refuse
from lm_eval.table import describe
from lm_eval.tasks import find_task
from lm_eval.telling import tell
from lm_eval.workforce import Workforce, grid_dtype

_SCRIPT_ENDINGS: dict[Architecture, str] = {"decoder-only": "_gpt.py", "encoder-decoder": "_t5.py"}


def launch(run: Callable[[], Grid], results_dir: str, switches: Sequence[Callable[[], Sequence[Grid]]] = ()) -> None:
    """Read the command line, run the grid, and exit with its status.

    Args:
        run: returns the grid; its docstring is the script's help.
        results_dir: the folder for result files unless `--results_dir` names another.
        switches: functions that return further grids to be run beside the first; each is a switch of its name, which
            this script alone has, with its docstring's first line as the help.

    The exit status is 0 when all is done or skipped, 1 when a run failed, 2 when the call was wrong and nothing ran.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt_once)
    try:
        name, own = Path(sys.argv[0]).name, {switch.__name__: _first_line(switch.__doc__) for switch in switches}
        options = read_options(sys.argv[1:], name=name, description=str(run.__doc__), own_switches=own)
        chosen = [switch for switch in switches if switch.__name__ in options.own_switches]
        grids = [_make(run), *(grid for switch in chosen for grid in _make(switch))]
        status = carry_out(grids, options, results_dir)
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


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().partition("\n")[0]


_Made = TypeVar("_Made")


def _make(run: Callable[[], _Made]) -> _Made:
    try:
        return run()
    except TypeError as error:  # a keyword that a user misspelt
        raise ConfigurationError(
            f"the grid at the top of {Path(sys.argv[0]).name} cannot be made: {error}; "
            f"its lists are {', '.join(item.name for item in fields(Grid))}"
        ) from error


def carry_out(grids: Sequence[Grid], options: Options, results_dir: str, executor: Executor | None = None) -> int:
    """Run grids as one and return the exit status.

    Args:
        grids: the lists to run over. Where several name a model, it is run in those that are for its architecture.
        options: the flags.
        results_dir: the folder for result files unless the options name another.
        executor: where to run; None takes Ray, as the options say.

    Raises:
        ConfigurationError: something is wrong with the call; nothing ran.
    """
    executor = executor or _ray(options)
    try:
        return _carry_out(grids, options, Path(options.results_dir or results_dir), executor)
    finally:
        executor.close()


def _carry_out(grids: Sequence[Grid], options: Options, results_dir: Path, executor: Executor) -> int:
    grids = [
        one for grid in grids for one in with_tasks(_apply_options(grid, options), options.tasks, options.include_path)
    ]
    facts = _read_models(grids, options)
    machines = executor.machines()
    configs = check_grids(grids, options, facts, machines)
    if results_dir.exists() and not results_dir.is_dir():
        raise ConfigurationError(f"results folder {results_dir}: this is a file; give a folder")
    folder = ResultsFolder(results_dir)
    plan = make_plan(
        configs,
        folder,
        overwrite=options.overwrite_results,
        retry_failed=options.retry_failed,
        log_samples=options.log_samples,
    )
    prospect = look_ahead(plan, folder, facts, machines, options.NUM_GPUS_PER_RUN if options.has_num_gpus else None)
    if prospect is not None:
        executor.check_paths(sorted({path for pending in plan.to_run for path in _paths(pending.config)}))
    print_plan(plan, folder, prospect)
    if options.dry_run:
        print("\n".join(describe_plan(plan, describe)))
        if options.shutdown_at_exit:
            print(f"at the end this machine would be shut down with: {' '.join(_shutdown_command())}")
        return 0
    if prospect is not None:
        check_writable(folder.path)
        pending = [pending.config for pending in plan.to_run]
        refuse([*check_weights(pending), *check_data(pending)])
    try:
        summary = _run(plan, folder, executor, prospect, options) if prospect is not None else Summary()
        print_results(configs, folder)
        status = print_summary(plan, summary, folder)
    except KeyboardInterrupt:  # a person is there, who wants it to stop
        raise
    except BaseException:
        _shut_down(options)
        raise
    _shut_down(options)
    return status


def _shut_down(options: Options) -> None:
    if options.shutdown_at_exit:
        command = _shutdown_command()
        try:
            status = subprocess.run(command, check=False).returncode  # noqa: S603
        except OSError as error:
            tell(f"the machine cannot be shut down: {' '.join(command)}: {error}")
        else:
            if status != 0:
                tell(f"the machine was not shut down: {' '.join(command)} ended with status {status}")


def _apply_options(grid: Grid, options: Options) -> Grid:
    if options.models is None:
        return grid
    models: list[str] = []
    for name in filter(None, options.models.split(",")):
        models += demo_models(grid.arch_type) if name == "demo" else [name]
    return replace(grid, models=[str(Path(name).expanduser().resolve()) if is_local(name) else name for name in models])


def _default_data_dir(grids: Sequence[Grid], options: Options) -> str | None:
    """Return the folder asked for; the embedded models were trained on the embedded data, so they get it by default."""
    if options.data_dir is not None:
        return str(Path(options.data_dir).expanduser().resolve())
    only_demo = all(Path(model).parent == DEMO / "models" for grid in grids for model in grid.models)
    return str(DEMO / "data") if only_demo else None


def _given(grids: Sequence[Grid], options: Options) -> Given:
    return Given(
        limit=Limit.parse(options.limit),
        data_dir=_default_data_dir(grids, options),
        include_path=resolve(options.include_path),
        revision=options.revision,
        checkpoint=options.checkpoint,
    )


def _read_models(grids: Sequence[Grid], options: Options) -> dict[str, ModelFacts]:
    """Read the configs of the grids' models.

    Raises:
        ConfigurationError: a model is missing, or of an architecture that none of the grids naming it is for.
    """
    wanted: dict[str, set[Architecture | None]] = defaultdict(set)
    for grid in grids:
        for name in grid.models:
            wanted[name].add(grid.arch_type)
    given = _given(grids, options)

    def look_at_data() -> list[str]:
        return check_data(config for grid in grids for config in expand(grid, given))

    facts = read_models(wanted, given, look_at_data)
    unfit = [name for name, of_model in facts.items() if not wanted[name] & {None, of_model.family.architecture}]
    if unfit:
        theirs = facts[unfit[0]].family.architecture
        fit = ",".join(name for name in facts if name not in unfit)
        raise ConfigurationError(
            f"{choices_text(unfit)}: {theirs}, but this script is for {wanted[unfit[0]].pop()} models; run "
            f"the one whose name ends in {_SCRIPT_ENDINGS[theirs]} with them"
            + (f", and this one with --models {fit}" if fit else "")
        )
    return facts


def check_grids(
    grids: Sequence[Grid], options: Options, facts: dict[str, ModelFacts], machines: Sequence[Machine]
) -> list[RunConfig]:
    """Return the configurations of grids, each once and checked as far as can be without loading weights.

    What the hardware or the hub would decide when a run begins, its dtype and the model's commit, is decided here, so
    that it is the same for all runs.

    Raises:
        ConfigurationError: a layer out of range, broken data, …
    """
    given = _given(grids, options)
    expanded = [config for grid in grids for config in _expand_for(grid, facts, given)]
    configs = list(dict.fromkeys(expanded))
    for note in dict.fromkeys(note for config in configs for note in find_task(config).notes):
        tell(note)
    for config in configs:
        check_against_model(config, facts[config.pretrained])
    refuse(check_data(config for config in configs if config.data_dir is not None))
    dtypes = {name: grid_dtype(of_model.family, machines) for name, of_model in facts.items()}
    return [
        replace(
            config,
            dtype=options.dtype or dtypes[config.pretrained],
            revision=facts[config.pretrained].commit or config.revision,
        )
        for config in configs
    ]


def _expand_for(grid: Grid, facts: dict[str, ModelFacts], given: Given) -> Iterator[RunConfig]:
    """Yield the configurations of a grid whose models are of its architecture."""
    for config in expand(grid, given):
        if grid.arch_type in (None, facts[config.pretrained].family.architecture):
            yield config


def _paths(config: RunConfig) -> list[str]:
    """Return the folders and files that every machine needs for a run."""
    names = (config.pretrained, config.checkpoint.tokenizer, config.checkpoint.peft)
    paths = [name for name in names if name is not None and is_local(name)]
    if config.data_dir is not None:
        paths.append(str(Path(config.data_dir) / find_task(config).dataset.name))
    if config.include_path is not None:
        paths.append(config.include_path)
    return paths


def _ray(options: Options) -> Executor:
    if options.cluster not in ("local", "auto"):
        _use_token()
    if options.cluster == "local":
        return _LocalRay(options.log_samples)
    from lm_eval.ray_executor import RayExecutor  # noqa: PLC0415  (seconds to import)

    return RayExecutor(cluster=options.cluster, log_samples=options.log_samples)


class _LocalRay:
    """Ray on this machine, imported and started once there is something to run."""

    def __init__(self, log_samples: bool) -> None:
        self._log_samples = log_samples

    def machines(self) -> list[Machine]:
        return [local_machine()]

    def check_paths(self, paths: Sequence[str]) -> None:
        """Whatever this process sees, its workers see."""

    def run(self, queue: WorkQueue, workforce: Workforce) -> Iterator[Event]:
        from lm_eval.ray_executor import RayExecutor  # noqa: PLC0415

        yield from RayExecutor(cluster="local", log_samples=self._log_samples).run(queue, workforce)

    def close(self) -> None:
        """Running closes it."""


def _use_token() -> None:
    """Let ray show the user's token to a cluster joined by its address; it reads this setting when it is imported."""
    if (Path.home() / ".ray" / "auth_token").is_file() or {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _run(plan: Plan, folder: ResultsFolder, executor: Executor, prospect: Prospect, options: Options) -> Summary:
    with GridProgress(len(plan.to_run)) as bar:
        driver = Driver(
            plan,
            folder,
            prospect.workforce,
            prospect.remaining,
            bar.show,
            fail_fast=options.fail_fast,
        )
        try:
            return driver.run(executor)
        except KeyboardInterrupt:
            bar.close()
            left = len(plan.to_run) - driver.summary.finished - driver.summary.elsewhere - len(driver.summary.failures)
            print_counts(driver.summary, left)
            print_unwritten(driver.summary, folder)
            raise


def _shutdown_command() -> list[str]:
    command = [shutil.which("shutdown") or "shutdown", "-h", "now"]
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return command if is_root else ["sudo", "-n", *command]
