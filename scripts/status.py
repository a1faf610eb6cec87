#!/usr/bin/env python3
"""Show the status of a grid: what is done, what is running, what failed and why. Reads files only."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # lm_eval of this checkout, installed or not

from lm_eval.cli.status import describe_status
from lm_eval.common.command import DONE, exit_status


def main() -> int:
    """Print the status of results folders and return the exit status: 2 where there is no such folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="RESULTS_DIR")
    parser.add_argument("--table", action="store_true", help="show the results too")
    args = parser.parse_args()

    def show() -> int:
        for folder in args.folders:
            print("\n".join(describe_status(folder, table=args.table)), flush=True)
        return DONE

    return exit_status(show, only_shows=True)


if __name__ == "__main__":
    sys.exit(main())
