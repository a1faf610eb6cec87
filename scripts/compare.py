#!/usr/bin/env python3
"""Compare two runs over the same documents: how often they agree, whether they differ, and where they part.

Both are result files of runs with --log_samples; with --log_texts too, the documents can be read.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # lm_eval of this checkout, installed or not

from lm_eval.common.arguments import make_parser
from lm_eval.common.command import DONE, exit_status
from lm_eval.common.console import line_width
from lm_eval.errors import ConfigurationError

_EPILOG = """
The difference is B's accuracy less A's; its interval comes from the bootstrap over documents, the p-value from
McNemar's exact test, which looks at the documents that only one of the two has right.

exit status: 0 done, 2 the runs cannot be compared
"""


def main() -> int:
    """Print the comparison and return the exit status."""
    parser = make_parser(str(__doc__), _EPILOG)
    parser.add_argument("a", type=Path, metavar="RUN", help="a result file (A)")
    parser.add_argument("b", type=Path, metavar="RUN", help="another (B)")
    parser.add_argument("--task", help="which task of the files; left out, the only one they have")
    parser.add_argument("--documents", type=int, default=3, metavar="N", help="documents that are shown (default 3)")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="also draw it: FILE.png, FILE.pdf and FILE.html")
    args = parser.parse_args()
    return exit_status(lambda: _compare(args), only_shows=True)


def _compare(args: argparse.Namespace) -> int:
    from lm_eval.cli.compare import ComparedRun, describe_comparison, draw_comparison  # noqa: PLC0415  (seconds to import)

    if args.documents < 0:
        raise ConfigurationError(f"--documents must be a non-negative number, got {args.documents}")
    a, b = (ComparedRun.read(path, args.task) for path in (args.a, args.b))
    print("\n".join(describe_comparison(a, b, num_documents=args.documents, width=(line_width() or 100) - 1)))
    if args.figure is not None:
        paths = draw_comparison(a, b, args.figure)
        print("\n" + "\n".join(f"drawn in {path}" for path in paths))
        print(f"{paths[-1].name} reads plotly.min.js, which lies beside it: move both together")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
