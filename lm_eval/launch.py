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
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import FrameType
from typing import TypeVar

from lm_eval.config import Limit, RunConfig
from lm_eval.documents import select_documents
from lm_eval.driver import Driver, Summary
from lm_eval.errors import ConfigurationError
from lm_eval.estimate import RemainingTime, Timings, describe_seconds
from lm_eval.grid import Grid, expand
from lm_eval.hardware import Machine, local_machine
from lm_eval.model_list import DEMO, demo_models
from lm_eval.models.families import Architecture, ModelFacts, check_against_model, is_local, read_facts
from lm_eval.options import Options, read_options
from lm_eval.plan import Plan, describe_plan, make_plan, plan_remarks
from lm_eval.progress import GridProgress
from lm_eval.result_files import StoredResult, check_writable
from lm_eval.results import ResultsFolder
from lm_eval.scheduler import Event, Executor, WorkQueue, make_units
from lm_eval.table import describe, format_results
from lm_eval.tasks import find_task
from lm_eval.workforce import Workforce, describe_share, grid_dtype, plan_workforce

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
    grids = [_apply_options(grid, options) for grid in grids]
    facts = _read_models(grids)
    machines = executor.machines()
    configs = check_grids(grids, options, facts, machines)
    folder = ResultsFolder(results_dir)
    plan = make_plan(configs, folder, overwrite=options.overwrite_results, retry_failed=options.retry_failed)
    prospect = _look_ahead(plan, folder, facts, machines, options)
    if prospect is not None:
        executor.check_paths(sorted({path for pending in plan.to_run for path in _paths(pending.config)}))
    _print_plan(plan, folder, prospect)
    if options.dry_run:
        print("\n".join(describe_plan(plan, describe)))
        if options.shutdown_at_exit:
            print(f"at the end this machine would be shut down with: {' '.join(_shutdown_command())}")
        return 0
    check_writable(folder.path)
    _check_documents([pending.config for pending in plan.to_run])
    try:
        summary = _run(plan, folder, executor, prospect, options) if prospect is not None else Summary()
        _print_results(configs, folder)
        status = _print_summary(plan, summary, folder)
    except (ConfigurationError, KeyboardInterrupt):  # a person is there, who called wrongly or wants it to stop
        raise
    except Exception:
        _shut_down(options)
        raise
    _shut_down(options)
    return status


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


def _default_data_dir(grids: Sequence[Grid], options: Options) -> str | None:
    """Return the folder asked for; the embedded models were trained on the embedded data, so they get it by default."""
    if options.data_dir is not None:
        return str(Path(options.data_dir).expanduser().resolve())
    only_demo = all(Path(model).parent == DEMO / "models" for grid in grids for model in grid.models)
    return str(DEMO / "data") if only_demo else None


def _read_models(grids: Sequence[Grid]) -> dict[str, ModelFacts]:
    """Read the configs of the grids' models.

    Raises:
        ConfigurationError: a model is missing, or of an architecture that none of the grids naming it is for.
    """
    wanted: dict[str, set[Architecture | None]] = defaultdict(set)
    for grid in grids:
        for name in grid.models:
            wanted[name].add(grid.arch_type)
    facts = {name: read_facts(name) for name in wanted}
    for name, of_model in facts.items():
        if not wanted[name] & {None, of_model.family.architecture}:
            raise ConfigurationError(
                f"{name} is {of_model.family.architecture}, but this script is for {wanted[name].pop()} models; "
                f"use the one whose name ends in {_SCRIPT_ENDINGS[of_model.family.architecture]}"
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
    limit, data_dir = Limit.parse(options.limit), _default_data_dir(grids, options)
    expanded = [config for grid in grids for config in _expand_for(grid, facts, limit, data_dir)]
    configs = list(dict.fromkeys(expanded))
    for config in configs:
        check_against_model(config, facts[config.pretrained])
    _check_documents([config for config in configs if config.data_dir is not None])
    dtypes = {name: grid_dtype(of_model.family, machines) for name, of_model in facts.items()}
    return [
        replace(
            config,
            dtype=options.dtype or dtypes[config.pretrained],
            revision=facts[config.pretrained].commit or config.revision,
        )
        for config in configs
    ]


def _expand_for(grid: Grid, facts: dict[str, ModelFacts], limit: Limit, data_dir: str | None) -> Iterator[RunConfig]:
    """Yield the configurations of a grid whose models are of its architecture."""
    for config in expand(grid, limit=limit, data_dir=data_dir):
        if grid.arch_type in (None, facts[config.pretrained].family.architecture):
            yield config


def _check_documents(configs: Sequence[RunConfig]) -> None:
    """See that the documents are there; those of the hub are only asked for where something is to run."""
    for config in {(find_task(config).dataset.name, config.num_fewshot): config for config in configs}.values():
        select_documents(find_task(config).dataset, config.data_dir, config.num_fewshot, config.limit)


@dataclass(frozen=True)
class _Prospect:
    """Who will carry a plan out, and how long it should take."""

    workforce: Workforce
    timings: Timings
    remaining: RemainingTime

    def lines(self) -> list[str]:
        """Describe it."""
        number = len(self.remaining.units)
        lines = [f"{number} pass{'' if number == 1 else 'es'} on {self.workforce.describe()}, {self._time()}"]
        if self.workforce.has_gpus:
            lines += [
                f"{describe_share(share)} a run: {Path(key[0]).name} ({self._size(key)})"
                for key, share in self.workforce.shares.items()
            ]
        return lines

    def _time(self) -> str:
        planned = self.remaining.planned_s()
        if planned is None:
            return "no estimate of the time (no past result like these)"
        told = f"about {describe_seconds(planned)} by the times of {self.timings.num_results} past results"
        unknown = self.remaining.num_unknown
        return told + (f" ({unknown} passes are unlike any of them)" if unknown else "")

    def _size(self, key: tuple[str, str | None, str | None]) -> str:
        if key not in self.workforce.needs_gib:
            return "size unknown"
        billions = self.workforce.sizes[key] / 1e9
        return f"{billions:.2g} billion parameters, about {self.workforce.needs_gib[key]:.1f} GiB"


def _look_ahead(
    plan: Plan, folder: ResultsFolder, facts: dict[str, ModelFacts], machines: Sequence[Machine], options: Options
) -> _Prospect | None:
    """Decide who carries a plan out; None where nothing is to run."""
    if not plan.to_run:
        return None
    units = make_units([pending.config for pending in plan.to_run])
    workforce = plan_workforce(units, facts, machines, options.NUM_GPUS_PER_RUN if options.has_num_gpus else None)
    timings = Timings(folder, on_gpu=workforce.has_gpus)
    remaining = RemainingTime(units, timings, workforce.sizes, workforce.num_workers)
    return _Prospect(workforce, timings, remaining)


def _paths(config: RunConfig) -> list[str]:
    """Return the folders and files that every machine needs for a run."""
    paths = [config.pretrained] if is_local(config.pretrained) else []
    if config.data_dir is not None:
        paths.append(str(Path(config.data_dir) / find_task(config).dataset.name))
    return paths


def _print_plan(plan: Plan, folder: ResultsFolder, prospect: _Prospect | None) -> None:
    for path, why in folder.unreadable.items():
        print(f"not a result, kept and ignored: {path} ({why})", file=sys.stderr)
    for remark in plan_remarks(plan):
        print(remark, file=sys.stderr)
    outdated = f" ({plan.num_outdated} of them outdated)" if plan.num_outdated else ""
    failed = f", {len(plan.failed)} failed before (--retry_failed runs them again)" if plan.failed else ""
    print(f"{folder.path}: {len(plan.to_run)} to run{outdated}, {len(plan.done)} done{failed}")
    if prospect is not None:
        print("\n".join(prospect.lines()))
    sys.stdout.flush()


def _ray(options: Options) -> Executor:
    if options.cluster not in ("local", "auto"):
        _use_token()
    if options.cluster == "local":
        return _LocalRay()
    from lm_eval.ray_executor import RayExecutor  # noqa: PLC0415  (seconds to import)

    return RayExecutor(cluster=options.cluster)


class _LocalRay:
    """Ray on this machine, imported and started once there is something to run."""

    def machines(self) -> list[Machine]:
        return [local_machine()]

    def check_paths(self, paths: Sequence[str]) -> None:
        """Whatever this process sees, its workers see."""

    def run(self, queue: WorkQueue, workforce: Workforce) -> Iterator[Event]:
        from lm_eval.ray_executor import RayExecutor  # noqa: PLC0415

        yield from RayExecutor(cluster="local").run(queue, workforce)

    def close(self) -> None:
        """Running closes it."""


def _use_token() -> None:
    """Let ray show the user's token to a cluster joined by its address; it reads this setting when it is imported."""
    if (Path.home() / ".ray" / "auth_token").is_file() or {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _run(plan: Plan, folder: ResultsFolder, executor: Executor, prospect: _Prospect, options: Options) -> Summary:
    with GridProgress(len(plan.to_run)) as bar:
        driver = Driver(
            plan,
            folder,
            prospect.workforce,
            prospect.remaining,
            bar.show,
            overwrite=options.overwrite_results,
            fail_fast=options.fail_fast,
        )
        try:
            return driver.run(executor)
        except KeyboardInterrupt:
            bar.close()
            left = len(plan.to_run) - driver.summary.finished - driver.summary.elsewhere - len(driver.summary.failures)
            _print_counts(driver.summary, left)
            _print_unwritten(driver.summary, folder)
            raise


def _print_counts(summary: Summary, left: int) -> None:
    elsewhere = f", {summary.elsewhere} by another driver" if summary.elsewhere else ""
    print(f"{summary.finished} finished{elsewhere}, {len(summary.failures)} failed, {left} not run", flush=True)


def _print_results(configs: Sequence[RunConfig], folder: ResultsFolder) -> None:
    stored: list[StoredResult] = []
    for config in configs:
        try:
            found = folder.find(config)
        except ConfigurationError:  # its data or model went away meanwhile
            continue
        if found is not None:
            stored.append(found)
    if stored:
        print(format_results(stored))


def _print_summary(plan: Plan, summary: Summary, folder: ResultsFolder) -> int:
    """Print what failed, and return the exit status."""
    if summary.stopped:
        ended = summary.finished + summary.elsewhere + len(summary.failures)
        _print_counts(summary, len(plan.to_run) - ended)
    for cause in dict.fromkeys(outcome.failure for outcome in summary.failures):
        for outcome in summary.failures:
            if outcome.failure == cause:
                print(f"failed: {describe(outcome.config)}", file=sys.stderr)
        if cause is not None:
            print(f"  {cause.traceback or cause.message}", file=sys.stderr)
    if summary.failures:
        print(
            f"each is recorded in {folder.path}, in a file ending in .error.json; --retry_failed runs them again",
            file=sys.stderr,
        )
    _print_unwritten(summary, folder)
    return 1 if summary.failures or summary.unwritten or plan.failed else 0


def _print_unwritten(summary: Summary, folder: ResultsFolder) -> None:
    if not summary.unwritten:
        return
    print(f"NOT WRITTEN to {folder.path}: {len(summary.unwritten)} results", file=sys.stderr)
    for outcome in summary.unwritten:
        print(f"  {describe(outcome.config)}", file=sys.stderr)
    where = summary.rescued_to
    told = "they are lost" if where is None else f"they are in {where}; move its files there once there is room"
    print(f"  {told}", file=sys.stderr)


def _shutdown_command() -> list[str]:
    command = [shutil.which("shutdown") or "shutdown", "-h", "now"]
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return command if is_root else ["sudo", "-n", *command]
