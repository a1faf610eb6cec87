"""What comes after a grid: the baseline that its scores lack, or the report."""

import shlex
from collections.abc import Iterable, Sequence
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
_BASELINE_SHOTS = (5, 0)
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
        flags = _flags(options, folder.path.parent / "RESULTS_DIR")
        return [
            "next: a test whose scores these make comparable, such as",
            f"  scripts/run_parallel_gen_gpt.py {flags}",
        ]
    known = [stored for place in places for stored in (folder if place == folder.path else ResultsFolder(place))]
    lacking = [stored.config for stored in _without_baseline(results, known)]
    if lacking:
        target = folder.path.parent / _BASELINES
        return [
            f"next: the baseline that scores are normalised by is missing for {_say_models(lacking)}",
            f"  scripts/run_parallel_baseline.py {_flags(options, target, lacking)}",
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
    return [
        stored
        for stored in results
        if stored.config.is_segmented
        and stored.config.num_fewshot in _BASELINE_SHOTS
        and baseline_of(stored, baselines) is None
    ]


def _say_models(configs: Sequence[RunConfig]) -> str:
    names = list(dict.fromkeys(config.model_name for config in configs))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _flags(options: Options, target: Path, lacking: Sequence[RunConfig] = ()) -> str:
    """Return the flags with which the next grid runs the same models on the same documents."""
    models = options.models or ",".join(dict.fromkeys(config.pretrained for config in lacking))
    tasks = dict.fromkeys(in_form(config.task.removesuffix("_d"), "dist_gen") for config in lacking)
    stated = {
        "models": models,
        "tasks": ",".join(tasks) if set(tasks) - {"hellaswag_dg"} else None,
        "limit": options.limit,
        "seed": None if options.seed == SEED else options.seed,
        "data_dir": options.data_dir,
        "include_path": options.include_path,
        "dtype": options.dtype,
        "loading": options.loading,
        "cluster": None if options.cluster == "local" else options.cluster,
        "results_dir": str(target) if options.results_dir is not None else None,
    }
    return " ".join(f"--{name} {shlex.quote(str(value))}" for name, value in stated.items() if value not in (None, ""))
