"""`python -m lm_eval.table`: print the results of folders as a table, sorted and cut as asked for, or as CSV."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lm_eval.common import garbage
from lm_eval.common.arguments import make_parser
from lm_eval.common.command import DONE, exit_status
from lm_eval.common.console import fit, line_width
from lm_eval.common.regular_files import is_folder
from lm_eval.errors import ConfigurationError
from lm_eval.results.baselines import baseline_of
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.result_file import StoredResult
from lm_eval.results.table import (
    View,
    find_baselines,
    format_results,
    say_documents,
    say_ties,
    sort_results,
    write_csv,
)

_EPILOG = """
Columns in which all rows agree stand in a line above; - stands where a setting has no effect or a number is missing. In
a terminal the table is made as wide as that, in sections unless it is sorted; in a file or a pipe each row is one line.

columns: task, model, encoding_scheme, shots, acc, normalised, chance_corrected, any other metric; settings by
their names (WORD_AGG_SCHEME, …); limit, seed, dtype, loading, data_dir, pretrained, description; file; with --best
also best_of, how many runs a row is the best of
"""


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser("Print results folders as a table.", _EPILOG, prog="python -m lm_eval.table")
    parser.add_argument("folders", nargs="+", type=Path, metavar="RESULTS_DIR", help="results folders of grids")
    parser.add_argument("--sort", metavar="COLUMN,…", help="sort by these, scores highest first, in one table")
    of_each = "task, model, dtype, number of shots and slice of documents"
    parser.add_argument("--best", type=int, metavar="N", help=f"the N most accurate runs of each {of_each}")
    parser.add_argument("--columns", metavar="COLUMN,…", help="show these and no others")
    parser.add_argument("--csv", action="store_true", help="print CSV, with all digits; > FILE keeps it")
    args, unknown = parser.parse_known_args(argv)
    files = [*unknown, *(str(path) for path in args.folders if path.suffix == ".csv" and not is_folder(path))]
    if args.csv and files and not files[0].startswith("-"):
        parser.error(f"--csv takes no file, it prints: write > {files[0]} at the end of the call")
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Print the results of folders as a table and return the exit status."""
    args = _parse(argv)
    return exit_status(lambda: _show(args), only_shows=True)


@garbage.left_alone()
def _show(args: argparse.Namespace) -> int:
    if args.best is not None and args.best < 1:
        raise ConfigurationError(f"--best must be a whole number of at least 1, got {args.best}")
    view = View(columns=_names(args.columns), sort=_names(args.sort), best=args.best)
    results = sort_results(_read(args.folders))
    baselines = find_baselines(results)
    if args.csv:
        print(write_csv(results, baselines, view=view), end="")
        return DONE
    print(format_results(results, baselines, view=view, width=line_width()))
    print(say_documents(results))
    for line in say_ties(results, args.best) if args.best is not None else []:
        print(fit(line))
    shows_scores = not view.columns or {"normalised", "chance_corrected"} & set(view.columns)
    if shows_scores and any(baseline_of(stored, baselines) is None for stored in results):
        same = "model, loading, dtype, shots, documents, description and tokens in front"
        print(fit(f"normalised -: no cross_encoding baseline of the same {same} is among the results"))
    return DONE


def _read(paths: Sequence[Path]) -> list[StoredResult]:
    """Return all results of folders, and name what is none."""
    for path in paths:
        if not is_folder(path):
            raise ConfigurationError(f"{path}: no such folder; give results folders of grids")
    folders = [ResultsFolder(path) for path in paths]
    results = [stored for folder in folders for stored in folder]
    for folder in folders:
        for path, why in folder.unreadable.items():
            print(f"not a result: {path} ({why})", file=sys.stderr)
    if not results:
        where = ", ".join(str(folder.path) for folder in folders)
        raise ConfigurationError(
            f"no result in {where}; scripts/run_parallel_*.py make results, and so does `make demo`"
        )
    return results


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


if __name__ == "__main__":
    sys.exit(main())
