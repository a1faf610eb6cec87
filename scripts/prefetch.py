#!/usr/bin/env python3
"""Fetch models and datasets of grids into the hub's cache ahead of time, and report what is missing.

Afterwards the grid scripts run without a network (HF_HUB_OFFLINE=1 keeps them from even asking).
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # lm_eval of this checkout, installed or not

from lm_eval.cli.prefetch import (
    Faults,
    ModelFiles,
    Requirements,
    describe_bytes,
    fetch_all,
    grids_of,
    look_at_model,
    missing_from_cache,
)
from lm_eval.common.arguments import make_parser
from lm_eval.common.command import DONE, FAILED, exit_status
from lm_eval.common.hub import answers
from lm_eval.errors import ConfigurationError
from lm_eval.grid.grid import resolve_folder, with_tasks
from lm_eval.models.model_list import named_models

SCRIPTS = Path(__file__).resolve().parent

_EPILOG = """
HF_HOME or HF_HUB_CACHE name the cache; HF_TOKEN is shown for models that ask for it. Calling again resumes an
interrupted download.

exit status: 0 all is there, 1 something is missing, 2 the call was wrong, 130 interrupted
"""


def _parse() -> argparse.Namespace:
    parser = make_parser(str(__doc__), _EPILOG)
    parser.add_argument("grids", nargs="*", type=Path, metavar="GRID_SCRIPT", help="default: all run_parallel_*.py")
    parser.add_argument("--models", default="", metavar="A,B", help="in place of the grids': hub names, folders, demo")
    parser.add_argument("--tasks", metavar="A,B", help="in place of the grids': tasks and groups, built in or of files")
    parser.add_argument("--include_path", metavar="DIR", help="folder with task files (YAML)")
    parser.add_argument("--data_dir", metavar="DIR", help="read in place of the dataset hub: datasets aren't fetched")
    parser.add_argument("--dry_run", action="store_true", help="show what would be fetched, fetch nothing")
    return parser.parse_args()


def _find(script: Path) -> Path:
    beside = SCRIPTS / script
    return script if script.is_file() or not beside.is_file() else beside


def _prefetch(args: argparse.Namespace) -> int:
    scripts = [_find(script) for script in args.grids] or sorted(SCRIPTS.glob("run_parallel_*.py"))
    include_path = resolve_folder(args.include_path)
    grids = [
        pair for script in scripts for grid in grids_of(script) for pair in with_tasks(grid, args.tasks, include_path)
    ]
    models = [model for name in filter(None, args.models.split(",")) for model in named_models(name, None)]
    requirements = Requirements.of(grids, models, args.data_dir, include_path)
    if wrong := requirements.check_local():
        raise ConfigurationError("\n  ".join(wrong))
    models_files: list[ModelFiles] = []
    faults: Faults = {}
    for name in requirements.models:
        try:
            models_files.append(look_at_model(name))
            print(models_files[-1], flush=True)
        except ConfigurationError as error:
            faults[name] = str(error)
    missing = missing_from_cache(requirements)
    for data in requirements.hub_datasets:
        if data.hub_title in missing and (fault := answers(data.hub_path, "dataset")) is not None:
            faults[data.hub_title] = f"{data.hub_title}: the dataset is not available from the hub ({fault})"
        print(f"dataset {data.hub_title}: {'to fetch' if data.hub_title in missing else 'in the cache'}")
    unknown = len(requirements.models) - len(models_files)
    known = f"{describe_bytes(sum(files.bytes_to_fetch for files in models_files))} of models to fetch"
    print(known + (f", and {unknown} whose size is not known" if unknown else ""), flush=True)
    if args.dry_run:
        return _conclude(faults, {name: files for name, files in missing.items() if name in faults})
    faults |= fetch_all(requirements, models_files)
    return _conclude(faults, missing_from_cache(requirements), "all is in the cache")


def _conclude(faults: Faults, missing: Faults, done: str = "") -> int:
    for name, files in missing.items():
        print(f"missing: {faults.get(name, files)}", file=sys.stderr)
    for name in sorted(faults.keys() - missing.keys()):
        print(f"in the cache, but the hub could not be asked for a newer version: {faults[name]}", file=sys.stderr)
    if done and not missing:
        print(done)
    return FAILED if missing else DONE


def main() -> int:
    """Fetch, and return the exit status."""
    args = _parse()
    return exit_status(lambda: _prefetch(args), interrupted=lambda: "interrupted; call again for the rest")


if __name__ == "__main__":
    sys.exit(main())
