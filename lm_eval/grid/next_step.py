"""What comes after a grid: the baseline that its scores lack, or the report."""

import shlex
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lm_eval.config.run_config import SEED, RunConfig
from lm_eval.grid.options import Options
from lm_eval.results.baselines import baseline_of
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.identity import Run
from lm_eval.results.result_file import StoredResult
from lm_eval.results.table import find_baselines, is_baseline
from lm_eval.tasks.registry import in_form

_BASELINES = "lmeval_results_baseline"
"""The folder of the baseline's script."""
_TESTS = "lmeval_results_gen"
"""The folder of the test's script that is named after a baseline."""
_SHOTS_OF_SCRIPTS = {5, 0}
"""What the scripts run unless a flag says otherwise."""
_SHOWN = 3


def next_steps(runs: Sequence[Run], folder: ResultsFolder, options: Options) -> list[str]:
    """Return the command that goes on from a grid, with what it is for; empty where nothing was computed.

    Args:
        runs: the runs of the grid.
        folder: the results folder.
        options: the flags of this call, which the next one shares.
    """
    results = [stored for run in runs if (stored := folder.find(run)) is not None]
    if not results:
        return []
    places = [place for place in _places(folder.path) if place.is_dir()]
    if all(is_baseline(stored.config) or not stored.config.has_context for stored in results):
        if tests := _tests_beside(folder.path):
            return _report([*tests, folder.path], folder.path.parent)
        scored = [stored.config for stored in results]
        of = [config for config in scored if config.has_context] or scored
        calls = [_flags(options, folder.path.parent / _TESTS, call, runs) for call in _calls(of)]
        return [
            "next: a test whose scores these make comparable, such as",
            *(f"  scripts/run_parallel_gen_gpt.py {flags}" for flags in calls),
        ]
    known = [stored for place in places for stored in (folder if place == folder.path else ResultsFolder(place))]
    lacking = [stored.config for stored in _without_baseline(results, known)]
    if lacking:
        target = folder.path.parent / _BASELINES
        calls = [_flags(options, target, call, runs) for call in _calls(lacking)]
        return [
            f"next: the baseline that scores are normalised by is missing for {_say_models(lacking)}",
            *(f"  scripts/run_parallel_baseline.py {flags}" for flags in calls),
        ]
    return _report(places, folder.path.parent)


def _report(places: Sequence[Path], target: Path) -> list[str]:
    return [
        "next: a report with figures and tables",
        f"  scripts/report.py {shlex.join(map(str, places))} --out {shlex.quote(str(target / 'report'))}",
    ]


def _tests_beside(path: Path) -> list[Path]:
    """Return the folders beside a baseline's that a test's script has filled."""
    beside = sorted(path.parent.glob("lmeval_results_*"))
    return [folder for folder in beside if folder.name != path.name and any(folder.glob("*.json"))]


def _places(path: Path) -> list[Path]:
    """Return the folders where a grid's results and their baselines lie."""
    return list(dict.fromkeys((path, path.parent / _BASELINES)))


def _without_baseline(results: Iterable[StoredResult], known: Iterable[StoredResult]) -> list[StoredResult]:
    baselines = find_baselines(known)
    return [stored for stored in results if stored.config.is_segmented and baseline_of(stored, baselines) is None]


def _say_models(configs: Sequence[RunConfig]) -> str:
    names = list(dict.fromkeys(config.model_name for config in configs))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


@dataclass(frozen=True, kw_only=True)
class _Call:
    """A grid whose product is wanted as a whole."""

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    shots: tuple[int, ...]
    add_bos: bool | None


def _calls(configs: Iterable[RunConfig]) -> list[_Call]:
    """Return the fewest grids, of models, tasks and shots, that hold nothing but what configurations are of."""
    shots: dict[tuple[str, str, bool | None], set[int]] = defaultdict(set)
    for config in configs:
        task = in_form(config.task.removesuffix("_d"), "dist_gen")
        shots[config.pretrained, task, config.vectors.add_bos].add(config.num_fewshot)
    models: dict[tuple[str, bool | None, tuple[int, ...]], list[str]] = defaultdict(list)
    for (model, task, add_bos), numbers in shots.items():
        models[task, add_bos, tuple(sorted(numbers, reverse=True))].append(model)
    tasks: dict[tuple[tuple[str, ...], bool | None, tuple[int, ...]], list[str]] = defaultdict(list)
    for (task, add_bos, several), names in models.items():
        tasks[tuple(names), add_bos, several].append(task)
    return [
        _Call(models=names, tasks=tuple(of), shots=several, add_bos=add_bos)
        for (names, add_bos, several), of in tasks.items()
    ]


def _flags(options: Options, target: Path, call: _Call, runs: Sequence[Run]) -> str:
    """Return the flags with which the next grid runs on the same documents."""
    is_of_all = options.models is not None and {run.config.pretrained for run in runs} == set(call.models)
    stated = {
        "models": options.models if is_of_all else ",".join(call.models),
        "tasks": ",".join(call.tasks) if set(call.tasks) - {"hellaswag_dg"} else None,
        "num_fewshot": None if set(call.shots) == _SHOTS_OF_SCRIPTS else ",".join(map(str, call.shots)),
        "ADD_BOS": call.add_bos,
        "limit": options.limit,
        "seed": None if options.seed == SEED else options.seed,
        "data_dir": options.data_dir if is_of_all else runs[0].config.data_dir,
        "include_path": options.include_path,
        "dtype": options.dtype,
        "loading": options.loading,
        "cluster": None if options.cluster == "local" else options.cluster,
        "results_dir": str(target) if options.results_dir is not None else None,
    }
    return " ".join(f"--{name} {shlex.quote(str(value))}" for name, value in stated.items() if value not in (None, ""))
