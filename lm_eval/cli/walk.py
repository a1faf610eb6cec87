"""`python -m lm_eval walk --task hellaswag_d --doc 3 …`: write a page of one context's way through the layers."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from lm_eval.common import garbage
from lm_eval.common.arguments import add_batch_size, add_device, add_model_args, add_seed, make_parser, program
from lm_eval.common.command import DONE, exit_status
from lm_eval.errors import ConfigurationError

_EPILOG = """
The page shows the walk of one document's context vector and of its choices' vectors through the layers, the tokens
that lie nearest at each step, and the margins of all documents at all layers. Settings of vectors that --model_args
leaves out are those of the paper's main configuration; they must make one vector of a context.

exit status: 0 done, 1 a document cannot be encoded, 2 the call was wrong and nothing ran, 130 interrupted
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the flags; the table in the docs is made from it."""
    parser = make_parser("Write a page of one context's way through the layers.", _EPILOG, prog=f"{program()} walk")
    parser.add_argument("--task", required=True, help="in its similarity form: hellaswag_d, …")
    parser.add_argument("--doc", required=True, type=int, metavar="N", help="the document, from 0 in shuffled order")
    add_model_args(parser)
    parser.add_argument("--task_args", default="", metavar="KEY=VALUE,…", help="encoding scheme and data folder")
    parser.add_argument("--num_fewshot", type=int, default=0, metavar="N", help="shots in the context (default 0)")
    parser.add_argument("--limit", metavar="N|START:END", help="documents whose mean counts (default: the first 200)")
    add_seed(parser)
    parser.add_argument("--layers", default="all", help="all, 'every N', or a list such as E,0,6,12 (default all)")
    add_batch_size(parser)
    add_device(parser)
    parser.add_argument("--output", type=Path, default=Path("walk.html"), metavar="FILE", help="(default walk.html)")
    parser.add_argument("--overwrite", action="store_true", help="replace the output file")
    return parser


def _check_output(args: argparse.Namespace) -> None:
    from lm_eval.common.atomic import check_writable  # noqa: PLC0415

    output: Path = args.output
    if output.suffix not in (".html", ".htm"):
        raise ConfigurationError(f"--output {output}: the name must end in .html")
    if output.is_dir():
        raise ConfigurationError(f"--output {output}: this is a folder; give a file")
    if output.exists() and not args.overwrite:
        raise ConfigurationError(f"--output {output}: exists; give --overwrite to replace it, or another name")
    check_writable(output.resolve().parent)


def _walk(args: argparse.Namespace) -> int:
    _check_output(args)
    with garbage.importing():
        from lm_eval.analysis.walk_page import write_walk_page  # noqa: PLC0415  (seconds to import)
        from lm_eval.encoding.movement import walk_and_margins  # noqa: PLC0415

    walk, margins = walk_and_margins(
        doc=args.doc,
        task=args.task,
        model_args=args.model_args,
        task_args=args.task_args,
        num_fewshot=args.num_fewshot,
        **({} if args.limit is None else {"limit": args.limit}),
        seed=args.seed,
        layers=args.layers,
        batch_size=args.batch_size,
        device=args.device,
    )
    write_walk_page(walk, margins, args.output)
    for layer, share in margins.share_right().items():
        print(f"layer {layer:>3}: right {share:.3f}")
    print(f"document {args.doc}: {args.output}")
    return DONE


def main(argv: Sequence[str]) -> int:
    """Walk from the command line and return the exit status."""
    args = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    return exit_status(
        lambda: _walk(args),
        failed="{error}; nothing was written",
        interrupted=lambda: "interrupted; nothing was written",
    )
