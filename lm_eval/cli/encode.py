"""`python -m lm_eval encode FILE.jsonl …`: concept vectors of a file's texts, as Parquet or safetensors."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from lm_eval.config.run_config import EXECUTION_KEYS, MODEL_KEYS, RunConfig
from lm_eval.config.runtime import Execution
from lm_eval.encoding.texts import TEXT_SCHEMES, WHOLE, gives_one_vector, make_encoding
from lm_eval.errors import ConfigurationError, RunError

_SETTINGS = ("WORD_AGG_SCHEME", "SEGMENT_AGG_SCHEME", "EXAMPLE_AGG_SCHEME", "NORM", "ENCODING_LAYER", "ADD_POS")
_ENDINGS = (".parquet", ".safetensors")

_EPILOG = f"""
FILE.jsonl has a JSON object a line. Its text is a string, which the scheme cuts; or a list of strings, its segments;
or a list of such lists, samples of segments; the same in every line.

settings in --model_args: {", ".join((*MODEL_KEYS, *EXECUTION_KEYS, *_SETTINGS))}

  *.parquet      a row a text: id, and vector (a list of floats) where the settings make one vector of each text, else
                 vectors (a list of lists)
  *.safetensors  vectors, a row a vector in the order of the lines; where texts have several, offsets too: text i has
                 rows offsets[i] up to offsets[i + 1]
Both state model and settings, as JSON under the key lm_eval of their metadata.

exit status: 0 done, 1 a text cannot be encoded, 2 the call was wrong and nothing ran, 130 interrupted
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lm_eval encode", description="Write the concept vectors of texts.", epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("file", type=Path, metavar="FILE.jsonl", help="the texts")
    parser.add_argument(
        "--model_args", required=True, metavar="KEY=VALUE,…", help="the model and the settings of its vectors"
    )
    parser.add_argument("--output", required=True, type=Path, metavar="FILE", help=f"{' or '.join(_ENDINGS)}")
    parser.add_argument("--encoding_scheme", default=WHOLE, help=f"{', '.join(TEXT_SCHEMES)} (default {WHOLE})")
    parser.add_argument("--field", default="text", help="the field with the text (default: text)")
    parser.add_argument("--id_field", metavar="FIELD", help="the field with its id (default: the number of the line)")
    parser.add_argument("--batch_size", metavar="N", help="rows a batch (default: a budget of tokens)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, … (default: a GPU where there is one)")
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


def _encode(args: argparse.Namespace, config: RunConfig, execution: Execution) -> None:
    from lm_eval.encoding.vector_files import Layout, TextFile, vector_file  # noqa: PLC0415

    texts = TextFile(path=args.file, field=args.field, id_field=args.id_field)
    contents = texts.check()
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
        for (_, name, _), of_text in zip(texts, vectors, strict=True):
            write(name, of_text)
    print(f"{contents.num_texts} texts: {args.output}")


def main(argv: Sequence[str]) -> int:
    """Encode from the command line and return the exit status."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        config = make_encoding(args.model_args, args.encoding_scheme)
        execution = Execution.parse(batch_size=args.batch_size, device=args.device, model_args=args.model_args)
        _check_output(args)
        _encode(args, config, execution)
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (RunError, OSError) as error:
        print(f"error: {error}; nothing was written", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return 130
    return 0
