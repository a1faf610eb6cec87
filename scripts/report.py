#!/usr/bin/env python3
"""What results folders hold, as one page that needs nothing beside it, and its tables as Markdown, CSV and LaTeX."""

import argparse
import sys
from pathlib import Path

from lm_eval.errors import ConfigurationError


def main() -> int:
    """Write the report and return the exit status: 2 where there is nothing to report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="RESULTS_DIR", help="baselines may lie in one of them")
    parser.add_argument("--out", type=Path, default=Path("report"), metavar="DIR", help="where to (default: report)")
    args = parser.parse_args()
    from lm_eval.analysis.report import report_on  # noqa: PLC0415  (seconds to import)

    try:
        print(f"written to {report_on(args.folders, args.out)}")
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {args.out}: cannot be written ({error})", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
