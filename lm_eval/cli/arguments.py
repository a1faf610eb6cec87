"""Command line arguments shared by the commands that run one model."""

import argparse


def make_parser(description: str, epilog: str, prog: str | None = None) -> argparse.ArgumentParser:
    """Return a parser that keeps line breaks in its help and accepts no abbreviated flags."""
    return argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_model_args(parser: argparse.ArgumentParser) -> None:
    """Add the flag for a model and the settings of its vectors."""
    parser.add_argument(
        "--model_args", required=True, metavar="KEY=VALUE,…", help="the model and the settings of its vectors"
    )


def add_batch_size(parser: argparse.ArgumentParser) -> None:
    """Add the flag for the rows of a batch."""
    parser.add_argument("--batch_size", metavar="N", help="rows a batch (default: a budget of tokens)")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the flag for where a model computes."""
    parser.add_argument("--device", help="cpu, cuda, cuda:1, … (default: a GPU where there is one)")
