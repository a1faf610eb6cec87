#!/usr/bin/env python3
"""Write a report on results folders: two pages without a network (report.html, explore.html), and tables as files.

The tables are written as Markdown, CSV and LaTeX.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # lm_eval of this checkout, installed or not

from lm_eval.common.arguments import make_parser
from lm_eval.common.command import DONE, exit_status
from lm_eval.errors import ConfigurationError
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.weights_and_biases import LoggedResult, check_wandb, log_report, log_results

_EPILOG = """
exit status: 0 done, 1 not all was sent (--wandb), 2 there is nothing to report, or it cannot be written
"""


def main() -> int:
    """Write the report and return the exit status: 2 where there is nothing to report."""
    parser = make_parser(str(__doc__), _EPILOG)
    parser.add_argument("folders", nargs="+", type=Path, metavar="RESULTS_DIR", help="baselines may lie in one of them")
    parser.add_argument("--out", type=Path, default=Path("report"), metavar="DIR", help="where to (default: report)")
    parser.add_argument(
        "--wandb",
        metavar="PROJECT",
        help="send results and report to this project of Weights & Biases (the package wandb)",
    )
    args = parser.parse_args()
    return exit_status(lambda: _report(args.folders, args.out, args.wandb), failed="{error}")


def _report(folders: list[Path], out: Path, project: str | None) -> int:
    check_wandb(project)
    from lm_eval.analysis.report import report_on  # noqa: PLC0415  (seconds to import)

    try:
        page = report_on(folders, out)
    except OSError as error:
        raise ConfigurationError(f"{out}: cannot be written ({error})") from error
    print(f"written to {page}, with all runs in {page.with_name('explore.html').name} and the tables beside it")
    if project is not None:
        results = [stored for folder in folders for stored in ResultsFolder(folder)]
        print(log_results(project, map(LoggedResult.of, results)))
        print(log_report(project, out))
    return DONE


if __name__ == "__main__":
    sys.exit(main())
