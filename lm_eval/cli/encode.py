"""`python -m lm_eval encode FILE.jsonl …`: write concept vectors of texts as Parquet or safetensors."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from lm_eval.common import garbage
from lm_eval.common.arguments import add_batch_size, add_device, add_model_args, make_parser, program
from lm_eval.common.command import DONE, exit_status
from lm_eval.common.text import count_of
from lm_eval.config.run_config import EXECUTION_KEYS, MODEL_KEYS, RunConfig
from lm_eval.config.runtime import Execution
from lm_eval.config.settings import SETTINGS
from lm_eval.encoding.texts import TEXT_SCHEMES, WHOLE, gives_one_vector, make_encoding
from lm_eval.errors import ConfigurationError

_SETTINGS = tuple(key for key, setting in SETTINGS.items() if setting.only is None)
_ENDINGS = (".parquet", ".safetensors")

_EPILOG = f"""
FILE.jsonl has a JSON object a line. Its text is a string, which the scheme cuts; or a list of strings, its segments;
or a list of such lists, samples of segments; the same form in every line.

settings in --model_args: {", ".join((*MODEL_KEYS, *EXECUTION_KEYS, *_SETTINGS))}

  *.parquet      one row per text: id, and vector (a list of floats) where the settings make one vector of each text,
                 else vectors (a list of lists)
  *.safetensors  vectors, one row per vector in the order of the lines; where texts have several, offsets too: text i
                 has rows offsets[i] up to offsets[i + 1]
Both files have model and settings as JSON under the key lm_eval of their metadata.

exit status: 0 done, 1 a text cannot be encoded, 2 the call was wrong and nothing ran, 130 interrupted
"""


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("Write the concept vectors of texts.", _EPILOG, prog=f"{program()} encode")
    parser.add_argument("file", type=Path, metavar="FILE.jsonl", help="the texts")
    add_model_args(parser)
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help=f"{' or '.join(_ENDINGS)}")
    parser.add_argument("--encoding_scheme", default=WHOLE, help=f"{', '.join(TEXT_SCHEMES)} (default {WHOLE})")
    parser.add_argument("--field", default="text", help="the field with the text (default: text)")
    parser.add_argument("--id_field", metavar="FIELD", help="the field with its id (default: the number of the line)")
    add_batch_size(parser)
    add_device(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace the output file")
    return parser


def _check_output(args: argparse.Namespace) -> None:
    from lm_eval.common.atomic import check_writable, sweep_temporary_files  # noqa: PLC0415

    output: Path = args.output
    if output.suffix not in _ENDINGS:
        raise ConfigurationError(f"--output {output}: the name must end in one of {', '.join(_ENDINGS)}")
    if output.suffix == ".safetensors" and args.id_field is not None:
        raise ConfigurationError(
            f"--id_field {args.id_field}: safetensors hold numbers alone, in the order of the lines; "
            "leave it out, or write .parquet"
        )
    if output.is_dir():
        raise ConfigurationError(f"--output {output}: this is a folder; give a file")
    if output.exists() and not args.overwrite:
        raise ConfigurationError(f"--output {output}: exists; give --overwrite to replace it, or another name")
    check_writable(output.resolve().parent)
    sweep_temporary_files(output.resolve().parent)


def _encode(args: argparse.Namespace) -> int:
    config = make_encoding(args.model_args, args.encoding_scheme)
    execution = Execution.parse(batch_size=args.batch_size, device=args.device, model_args=args.model_args)
    _check_output(args)
    _write_vectors(args, config, execution)
    return DONE


def _write_vectors(args: argparse.Namespace, config: RunConfig, execution: Execution) -> None:
    from lm_eval.encoding.vector_files import Layout, TextFile, vector_file  # noqa: PLC0415

    texts = TextFile(path=args.file, field=args.field, id_field=args.id_field)
    contents = texts.check()
    with garbage.importing():
        from lm_eval.common.progress import DocumentProgress  # noqa: PLC0415
        from lm_eval.encoding.text_encoder import TextEncoder  # noqa: PLC0415  (seconds to import)

    encoder = TextEncoder.load(config, execution)
    layout = Layout(
        dim=encoder.dim,
        one_vector=gives_one_vector(config, contents.form),
        contents=contents,
        description=encoder.describe(),
    )
    with (
        vector_file(args.output, layout) as write,
        DocumentProgress(contents.num_texts, args.file.name, unit="texts") as progress,
    ):
        vectors = encoder(((source, text) for source, _, text in texts), progress)
        for (_, name, _), text_vectors in zip(texts, vectors, strict=True):
            write(name, text_vectors)
    print(f"{count_of(contents.num_texts, 'text')}: {args.output}")


def main(argv: Sequence[str]) -> int:
    """Encode from the command line and return the exit status."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    return exit_status(
        lambda: _encode(args),
        failed="{error}; nothing was written",
        interrupted=lambda: "interrupted; nothing was written",
    )
