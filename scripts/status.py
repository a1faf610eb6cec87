#!/usr/bin/env python3
"""How a grid is: what is done, what is running, what failed and why. Reads files only; nothing needs to be running."""

import argparse
import os
import sys
from pathlib import Path

from lm_eval.cli.status import describe_status
from lm_eval.errors import ConfigurationError


def main() -> int:
    """Print the status of results folders and return the exit status: 2 where there is no such folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="RESULTS_DIR")
    parser.add_argument("--table", action="store_true", help="show the results too")
    args = parser.parse_args()
    try:
        for folder in args.folders:
            print("\n".join(describe_status(folder, table=args.table)), flush=True)
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
