#!/usr/bin/env python3
"""Check whether a model fits the experiment: its facts, its memory, and every shortcut compared with the plain way.

Loads the model and runs a few tokens through it.
"""

import argparse
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # lm_eval of this checkout, installed or not

from lm_eval.common import garbage
from lm_eval.common.arguments import add_device, make_parser, wrap_line
from lm_eval.common.command import DONE, FAILED, exit_status
from lm_eval.common.console import line_width
from lm_eval.common.text import read_pairs
from lm_eval.config.checkpoint import CHECKPOINT_KEYS
from lm_eval.config.run_config import DTYPES, RunConfig
from lm_eval.config.runtime import Execution
from lm_eval.errors import ConfigurationError, RunError
from lm_eval.models.info import read_facts

_EPILOG = """
exit status: 0 all checks passed, 1 a check failed, 2 the call was wrong or the model can't be used
"""


def _parse() -> argparse.Namespace:
    parser = make_parser(str(__doc__), _EPILOG)
    parser.add_argument("model", metavar="NAME", help="a hub name or a local folder")
    parser.add_argument(
        "--model_args",
        default="",
        metavar="KEY=VALUE,…",
        help=f"how it is loaded: revision, {', '.join(CHECKPOINT_KEYS)}",
    )
    parser.add_argument("--dtype", choices=DTYPES, help="default: what the hardware computes natively")
    add_device(parser)
    return parser.parse_args()


def _check(args: argparse.Namespace) -> int:
    model_args = read_pairs(args.model_args, "model_args")
    for key, value in (("pretrained", args.model), ("dtype", args.dtype)):
        if value is not None and key in model_args:
            raise ConfigurationError(f"model_args: {key} is given twice")
        model_args.setdefault(key, value)
    config = RunConfig.parse(model="hf", model_args=model_args, task="", task_args=None, num_fewshot=0)
    try:
        return _show(config, Execution.parse(batch_size=None, device=args.device, model_args=model_args))
    except RunError as error:
        raise ConfigurationError(str(error)) from error


def _show(config: RunConfig, execution: Execution) -> int:
    read_facts(config.pretrained, config.revision, config.checkpoint)
    with garbage.importing():
        from lm_eval.cli.check_model import describe_checks, describe_model  # noqa: PLC0415
        from lm_eval.inference.loading import load_for  # noqa: PLC0415  (seconds to import)

    model = load_for(config, execution)
    width = line_width()
    for line in describe_model(model):
        print(line if width is None else wrap_line(line, width))
    print(flush=True)
    fits = True
    for line, holds in describe_checks(model):
        print(line, flush=True)
        fits = fits and holds
    print("\nit fits" if fits else "\nit doesn't fit: see the checks that FAILED above")
    return DONE if fits else FAILED


def main() -> int:
    """Print the facts and checks of a model, and return the exit status."""
    args = _parse()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    return exit_status(lambda: _check(args))


if __name__ == "__main__":
    sys.exit(main())
