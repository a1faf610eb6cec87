"""What many rows cost a run that needs few of them: `python -m lm_eval --limit 10` as a whole process.

The rows are the demonstration's, again and again, each with a number of its own in its context. Times are those
of a new process; memory is its peak.
"""

import argparse
import itertools
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.command_line import make_parser, positive, print_rows
from benchmarks.large_folders import measure_process
from lm_eval.models.model_list import DEMO

_LIMIT = 10
_SETTINGS = "WORD_AGG_SCHEME=mean,SIMILARITY_FUNC=cosine_sim"


def write_rows(folder: Path, number: int) -> Path:
    """Write a folder of data with so many rows to be scored, and return the file of these."""
    source, target = DEMO / "data" / "hellaswag", folder / "hellaswag"
    target.mkdir(parents=True)
    shutil.copy(source / "train.jsonl", target)
    rows = [json.loads(line) for line in (source / "validation.jsonl").read_text(encoding="utf-8").splitlines()]
    file = target / "validation.jsonl"
    with file.open("w", encoding="utf-8") as stream:
        for place, row in enumerate(itertools.islice(itertools.cycle(rows), number)):
            stream.write(json.dumps({**row, "ind": place, "ctx_b": f"{row['ctx_b']} {place}"}) + "\n")
    return file


def measure(number: int, repetitions: int) -> Iterator[dict[str, object]]:
    """Write so many rows and run ten of them, so many times, each time in a new process."""
    with tempfile.TemporaryDirectory() as scratch:
        file = write_rows(Path(scratch), number)
        call = [
            *("-m", "lm_eval", "--model", "dist_sim", "--tasks", "hellaswag_d", "--limit", str(_LIMIT)),
            *("--model_args", f"pretrained={DEMO / 'models' / 'demo-gpt'},{_SETTINGS}"),
            *("--task_args", f"encoding_scheme=segment_each_example,data_dir={scratch}"),
        ]
        for _ in range(repetitions):
            seconds, cpu_s, memory_mb = measure_process(call)
            yield {
                "rows": number, "file, MB": round(file.stat().st_size / 1e6, 1), "seconds": round(seconds, 2),
                "of a processor": round(cpu_s, 2), "memory, MB": round(memory_mb),
            }  # fmt: skip


def _read(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--rows", type=positive, nargs="+", default=[200, 1_000_000], help="%(default)s")
    parser.add_argument("--repetitions", type=positive, default=3, help="%(default)s")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure everything and return the exit status."""
    args = _read(arguments)
    print_rows(args.out, (row for number in args.rows for row in measure(number, args.repetitions)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
