"""`python -m lm_eval.table`: print the results of folders as a table."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lm_eval.common.command import DONE, exit_status
from lm_eval.errors import ConfigurationError
from lm_eval.results.baselines import key_of_run
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.table import find_baselines, format_results, say_documents, sort_results


def main(argv: Sequence[str] | None = None) -> int:
    """Print the results of folders as a table and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lm_eval.table", description="Print results folders as a table.")
    parser.add_argument("folders", nargs="+", type=Path, metavar="RESULTS_DIR")
    paths: list[Path] = parser.parse_args(argv).folders
    return exit_status(lambda: _show(paths), only_shows=True)


def _show(paths: Sequence[Path]) -> int:
    for path in paths:
        if not path.is_dir():
            raise ConfigurationError(f"{path}: no such folder")
    folders = [ResultsFolder(path) for path in paths]
    results = [stored for folder in folders for stored in folder]
    for folder in folders:
        for path, why in folder.unreadable.items():
            print(f"not a result: {path} ({why})", file=sys.stderr)
    if not results:
        raise ConfigurationError(f"no result in {', '.join(str(folder.path) for folder in folders)}")
    baselines = find_baselines(results)
    print(format_results(sort_results(results), baselines))
    print(say_documents(results))
    if any(key_of_run(stored) not in baselines for stored in results):
        print("normalised -: no cross_encoding baseline of the same model, shots, limit and data is among the results")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
