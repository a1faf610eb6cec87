"""Options that benchmarks have in common, and the file in which each leaves its figures."""

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
HARNESS_ENV = TOP / "cache" / "lm-eval"


def positive(text: str) -> int:
    """Read a whole number of at least 1.

    Raises:
        argparse.ArgumentTypeError: it is something else.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text}")
    return int(text)


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the option that all benchmarks have, --out."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    return parser


def add_narrow(parser: argparse.ArgumentParser) -> None:
    """Add --narrow, for a rehearsal."""
    parser.add_argument(
        "--narrow",
        action="store_true",
        help="models of as many layers but width 32, the demo's data: a rehearsal; its times say nothing",
    )


def add_harness_place(parser: argparse.ArgumentParser) -> None:
    """Add --python and --env, which say where the harness is or goes."""
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--python", type=Path, help="the Python of an environment that has lm-eval")
    place.add_argument("--env", type=Path, default=HARNESS_ENV, help="where to make one (%(default)s)")


def write_figures(path: Path | None, figures: Mapping[str, object]) -> None:
    """Write figures as JSON, where a path is named."""
    if path is not None:
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def print_rows(path: Path | None, rows: Iterable[Mapping[str, object]]) -> None:
    """Print rows of figures as each is measured, and write all of them where a path is named."""
    measured = []
    for row in rows:
        print(", ".join(f"{name}: {value}" for name, value in row.items()), flush=True)
        measured.append(row)
    write_figures(path, {"rows": measured})
