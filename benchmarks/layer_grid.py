"""What a grid of 12 chunk sizes in 4 layers costs on the embedded model, its runs together and one by one.

Counted are the passes through the model's blocks and the positions in them, padding included: contexts are encoded
once for all 48 runs, and their vectors decoded in batches that hold those of many runs. One by one is measured on an
even sample of the runs, each with the same engine, and scaled up; a model would also have to be loaded for each. The
same is measured for the map of 5 encoding and 4 decoding layers.
"""

import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from benchmarks.command_line import make_parser, positive, write_figures
from benchmarks.compare import largest_difference
from benchmarks.engine import GEN, Settings, make_config, resolve_distinct, scores_of, time_engine
from benchmarks.study import even_sample
from benchmarks.subjects import Subject, model_of
from lm_eval.models.model_list import DEMO
from lm_eval.results.identity import Run

CHUNKS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32)
LISTS: Mapping[str, Mapping[str, Sequence[str | int]]] = {
    "12 chunk sizes x 4 layers": {
        "WORD_AGG_SCHEME": [f"chunk{size}" for size in CHUNKS],
        "ENCODING_LAYER": ["E", 1, "middle", -1],
    },
    "5 encoding x 4 decoding layers": {
        "WORD_AGG_SCHEME": ["concat"],
        "ENCODING_LAYER": [0, 1, 2, 3, 4],
        "DECODING_LAYER": [0, 1, 2, 3],
    },
}
QUICK = {"documents": 4, "sample": 2}


@dataclass
class Counts:
    """What went through a model's blocks."""

    passes: int = 0
    positions: int = 0


@contextmanager
def counting(subject: Subject) -> Iterator[Counts]:
    """Count the passes of a model while this lasts."""
    counts = Counts()

    def count(_stack: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        inputs = next(value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor))
        counts.passes += 1
        counts.positions += inputs.shape[0] * inputs.shape[1]

    hook = subject.model.encoder.register_forward_pre_hook(count, with_kwargs=True)
    try:
        yield counts
    finally:
        hook.remove()


def make_runs(lists: Mapping[str, Sequence[str | int]], subject: Subject, documents: int) -> list[Run]:
    """Return the distinct runs of a grid."""
    products: Iterator[Settings] = (
        dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())
    )
    return resolve_distinct(
        make_config(
            GEN, "concat_all_examples", settings, num_fewshot=0, documents=documents, data_dir=subject.data_dir
        )
        for settings in products
    )  # fmt: skip


def measure(runs: Sequence[Run], subject: Subject, sample_size: int) -> dict[str, object]:
    """Measure runs together and one by one."""
    time_engine(subject, runs[:1])
    with counting(subject) as together:
        together_s, evaluations = time_engine(subject, runs)
    scores = dict(zip(runs, map(scores_of, evaluations), strict=True))
    sample = even_sample(runs, sample_size)
    alone_s = difference = 0.0
    with counting(subject) as alone:
        for run in sample:
            seconds, (evaluation,) = time_engine(subject, [run])
            alone_s += seconds
            difference = max(difference, largest_difference(scores_of(evaluation), scores[run]))
    share = len(runs) / len(sample)
    return {
        "runs": len(runs),
        "documents": evaluations[0].num_documents,
        "threads": torch.get_num_threads(),
        "encoding, seconds": round(evaluations[0].record.phases["encode"], 2),
        "passes together": together.passes,
        "passes one by one": round(alone.passes * share),
        "positions together": together.positions,
        "positions one by one": round(alone.positions * share),
        "seconds together": round(together_s, 2),
        "seconds one by one": round(alone_s * share, 2),
        "times faster": round(alone_s * share / together_s, 2),
        "largest difference": difference,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and return the exit status."""
    parser = make_parser(__doc__)
    parser.add_argument("--documents", type=positive, default=100)
    parser.add_argument("--sample", type=positive, default=12, help="runs that are also measured one by one")
    parser.add_argument("--quick", action="store_true", help="few documents, a small sample: its times say nothing")
    args = parser.parse_args(arguments)
    if args.quick:
        args.documents, args.sample = QUICK["documents"], QUICK["sample"]
    subject = model_of(DEMO / "models" / "demo-gpt", narrow=True)
    figures = {}
    for name, lists in LISTS.items():
        figures[name] = measure(make_runs(lists, subject, args.documents), subject, args.sample)
        print(name)
        for what, figure in figures[name].items():
            print(f"  {what:24} {figure}", flush=True)
    write_figures(args.out, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
