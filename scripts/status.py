#!/usr/bin/env python3
"""Show the status of a grid: what is done, what is running, what failed and why. Reads files only."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # lm_eval of this checkout, installed or not

from lm_eval.cli.status import describe_status, fit_lines, watch_status
from lm_eval.common.arguments import make_parser
from lm_eval.common.command import DONE, exit_status
from lm_eval.common.console import line_width


def main() -> int:
    """Print the status of results folders and return the exit status: 2 where there is no such folder."""
    parser = make_parser(str(__doc__), "")
    parser.add_argument("folders", nargs="+", type=Path, metavar="RESULTS_DIR")
    parser.add_argument("--table", action="store_true", help="show the results too")
    parser.add_argument("--watch", action="store_true", help="go on showing it until nothing runs any more, or Ctrl-C")
    args = parser.parse_args()

    def show() -> int:
        if args.watch:
            watch_status(args.folders, table=args.table)
            return DONE
        for folder in args.folders:
            lines = describe_status(folder, table=args.table, width=line_width())
            print("\n".join(fit_lines(lines)), flush=True)
        return DONE

    return exit_status(show, only_shows=True)


if __name__ == "__main__":
    sys.exit(main())
