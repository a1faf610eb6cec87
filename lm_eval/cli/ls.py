"""`python -m lm_eval ls`: what there is to choose from, tasks, groups, schemes, aggregations, families and others."""

import argparse
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import get_args

from lm_eval.common.arguments import make_parser, program
from lm_eval.common.command import DONE, exit_status
from lm_eval.common.console import line_width
from lm_eval.common.text import did_you_mean
from lm_eval.config.run_config import ENCODING_SCHEMES
from lm_eval.config.settings import SETTINGS, SIMILARITIES, ExampleAggregation, Norm, SegmentAggregation
from lm_eval.config.token_aggregation import ACTIVATION_PREFIXES, TOKEN_AGGREGATIONS
from lm_eval.errors import ConfigurationError
from lm_eval.models.families import FAMILIES
from lm_eval.tasks.registry import TASKS, without_form
from lm_eval.tasks.yaml_tasks.index import open_index

_EPILOG = """
python -m lm_eval ls                      counts and names of everything
python -m lm_eval ls tasks                the built-in tasks
python -m lm_eval ls tasks groups --include_path DIR
                                          those of a folder of task files

In the two tests a task's name ends in _d (similarity) or _dg (generation); grids add that themselves.

exit status: 0 done, 2 the call was wrong
"""
_SCHEMES = {
    "concat_all_examples": "all shots and the query as one segment",
    "concat_each_example": "a segment for each shot and for the query",
    "segment_each_example": "segments for question and answer of each shot, and for the query",
    "merge_all_segments": "the same segments, as if they were of one example",
    "sentence_level_segmentation": "a segment for each sentence",
    "cross_encoding": "the baseline: context and choice as ordinary tokens",
    "no_context": "the control: choices without any context",
}
_AGGREGATIONS = {
    "mean": "one vector: the mean of the tokens",
    "w1mean": "one vector: the mean with weights 1, 2, …",
    "last": "one vector: the last token's",
    "concat": "every token's vector (generation)",
    "chunkN": "a vector for every N tokens, such as chunk4 (generation)",
}
Row = tuple[str, ...]
_NARROWEST = 20
"""Characters that a column needs to be wrapped in."""


_EXAMPLES = {"mean": "over the vectors of the context", "soft_cluster": "one vector for each choice (similarity)"}


def _tasks(include_path: str | None) -> Iterator[Row]:
    if include_path is not None:
        yield from open_index(include_path).list_tasks()
        return
    forms: dict[str, list[str]] = {}
    for name in TASKS:
        forms.setdefault(without_form(name), []).append(name)
    for base, names in forms.items():
        yield base, TASKS[base].dataset.hub_title, ", ".join(sorted(names))


def _groups(include_path: str | None) -> Iterator[Row]:
    if include_path is not None:
        yield from open_index(include_path).list_groups()


def _aggregations(_: str | None) -> Iterator[Row]:
    yield from (("WORD_AGG_SCHEME", name, _AGGREGATIONS[name]) for name in TOKEN_AGGREGATIONS)
    yield from (("WORD_AGG_SCHEME", f"{prefix}…", "an activation first") for prefix in ACTIVATION_PREFIXES if prefix)
    yield from (("SEGMENT_AGG_SCHEME", name, "over the vectors of a sample") for name in get_args(SegmentAggregation))
    yield from (("EXAMPLE_AGG_SCHEME", name, _EXAMPLES[name]) for name in get_args(ExampleAggregation))


_KINDS: dict[str, Callable[[str | None], Iterable[Row]]] = {
    "tasks": _tasks,
    "groups": _groups,
    "schemes": lambda _: ((name, _SCHEMES[name]) for name in ENCODING_SCHEMES),
    "aggregations": _aggregations,
    "norms": lambda _: ((name,) for name in get_args(Norm)),
    "similarities": lambda _: ((name,) for name in SIMILARITIES),
    "settings": lambda _: ((name, setting.label, setting.only or "") for name, setting in SETTINGS.items()),
    "families": lambda _: ((name, family.architecture) for name, family in FAMILIES.items()),
}


def main(argv: Sequence[str]) -> int:
    """Print what there is and return the exit status."""
    parser = make_parser("List what there is to choose from.", _EPILOG, prog=f"{program()} ls")
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"{', '.join(_KINDS)} (default: all of them)")
    parser.add_argument("--include_path", metavar="DIR", help="list the tasks and groups of a folder of task files")
    args = parser.parse_args(argv)
    return exit_status(lambda: _list(args), only_shows=True)


def _list(args: argparse.Namespace) -> int:
    if unknown := [what for what in args.what if what not in _KINDS]:
        raise ConfigurationError(
            f"ls: unknown {unknown[0]!r}{did_you_mean(unknown[0], list(_KINDS))}; choose from {', '.join(_KINDS)}"
        )
    chosen = dict.fromkeys(args.what or _KINDS)
    for place, what in enumerate(chosen):
        rows = list(_KINDS[what](args.include_path))
        if len(chosen) > 1:
            print(f"{chr(10) if place else ''}{what} ({len(rows):,})")
        if not rows and what == "groups":
            print(
                "  none is built in; --include_path DIR lists those of a folder of task files"
                if args.include_path is None
                else f"  no task file in {args.include_path} has a group or a tag"
            )
        for line in align(rows, indent="  " if len(chosen) > 1 else "", width=line_width()):
            print(line)
    return DONE


def align(rows: Sequence[Row], *, indent: str, width: int | None) -> Iterator[str]:
    """Yield rows as lines with their cells one below the other; the last one is wrapped in its column.

    Args:
        rows: of as many cells each.
        indent: what stands in front of each line.
        width: characters a line may have; None where it may have any.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        *cells, last = (cell.ljust(room) for cell, room in zip(row, widths, strict=True))
        head = indent + "".join(f"{cell}  " for cell in cells)
        line = f"{head}{last}".rstrip()
        if width is None or len(line) <= width:
            yield line
            continue
        below = head if width - len(head) >= _NARROWEST else f"{indent}    "
        yield from textwrap.wrap(
            line[len(head) :],
            width,
            initial_indent=head,
            subsequent_indent=" " * len(below),
            break_long_words=False,
            break_on_hyphens=False,
        )
