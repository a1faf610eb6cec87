"""How many times faster the engine is than the plain way of doing the same work, measured side by side in one run.

The plain way is the judge of the tests: one document at a time, one forward a segment and a choice, the whole context
each time, every position projected to the vocabulary. Both must give the same scores.
"""

import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from benchmarks.command_line import add_narrow, make_parser, positive, write_figures
from benchmarks.compare import Scores, relative_difference
from benchmarks.engine import make_config, resolve_all, scores_of, time_engine
from benchmarks.speeds import matrix_speed, pass_speed
from benchmarks.subjects import Subject, gpt2_small
from benchmarks.works import WORKS, Work
from lm_eval.config.run_config import RunConfig
from lm_eval.results.identity import Run
from tests.support import plain
from tests.support.plain_text import read_rows

PLAIN_SHARE = 4
"""Configurations of a grid that the plain way computes; its time for the whole grid is theirs, scaled up."""


def runs_of(work: Work, subject: Subject) -> list[Run]:
    """Return the runs of a piece of work, as they are asked for: also those that compute the same."""
    return resolve_all(
        make_config(
            work.model, work.scheme, settings,
            num_fewshot=work.num_fewshot, documents=work.documents, data_dir=subject.data_dir,
        )
        for settings in work.settings
    )  # fmt: skip


def time_plain(subject: Subject, config: RunConfig) -> tuple[float, Scores]:
    """Return seconds and the scores of each document."""
    rows = {split: read_rows(subject.data_dir / "hellaswag" / f"{split}.jsonl") for split in ("train", "validation")}
    began = time.perf_counter()
    evaluation = plain.evaluate(
        subject.model.network, subject.model.tokenizer, model_kind=config.model, task=config.task, rows=rows,
        num_fewshot=config.num_fewshot, limit=str(config.limit), task_args={"encoding_scheme": config.encoding_scheme},
        model_args=config.vectors.public(),
    )  # fmt: skip
    return time.perf_counter() - began, [sample["scores"] for sample in evaluation["samples"]]


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """Engine and plain way, measured once in turn."""

    engine_s: float
    """For a document and all configurations."""
    plain_s: float
    """The same; for a grid scaled up from those of its configurations that were computed."""
    times_one: float | None
    """Times the time of the first configuration alone, for a grid."""
    difference: float
    """The largest between two scores, relative where a score is larger than 1."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A piece of work, measured several times."""

    work: Work
    repetitions: Sequence[Repetition]

    @property
    def faster(self) -> list[float]:
        """How many times the documents a second of the plain way, in each repetition."""
        return [one.plain_s / one.engine_s for one in self.repetitions]

    @property
    def figures(self) -> dict[str, object]:
        """The medians of what was measured, for a file."""
        times_one = [one.times_one for one in self.repetitions if one.times_one is not None]
        return {
            "work": self.work.name,
            "times the plain way": round(statistics.median(self.faster), 2),
            "range": [round(min(self.faster), 2), round(max(self.faster), 2)],
            "at least": self.work.at_least,
            "times one configuration": round(statistics.median(times_one), 2) if times_one else None,
            "at most": self.work.at_most,
            "seconds a document": round(statistics.median(one.engine_s for one in self.repetitions), 3),
            "largest difference": self.difference,
        }

    @property
    def difference(self) -> float:
        """The largest between two scores of all repetitions."""
        return max(one.difference for one in self.repetitions)

    def __str__(self) -> str:
        row, low, high = self.figures, min(self.faster), max(self.faster)
        line = f"{self.work.name:52} {row['times the plain way']:7} ({low:.2f} to {high:.2f}) times the plain way"
        line += f", wanted {self.work.at_least}"
        if self.work.at_most is not None:
            line += f"; {row['times one configuration']} times one configuration, wanted ≤ {self.work.at_most}"
        return f"{line}; {row['seconds a document']} s a document; largest difference {self.difference:.1e}"


def repeat_once(work: Work, subject: Subject) -> Repetition:
    """Measure the engine on all configurations of a piece of work, then the plain way on an even share of them."""
    runs = runs_of(work, subject)
    engine_s, evaluations = time_engine(subject, runs)
    share = range(0, len(runs), max(1, len(runs) // PLAIN_SHARE))
    plain_s = difference = 0.0
    for index in share:
        seconds, expected = time_plain(subject, runs[index].config)
        plain_s += seconds
        difference = max(difference, relative_difference(scores_of(evaluations[index]), expected))
    return Repetition(
        engine_s=engine_s / work.documents,
        plain_s=plain_s / len(share) * len(runs) / work.documents,
        times_one=None if work.at_most is None else engine_s / time_engine(subject, runs[:1])[0],
        difference=difference,
    )


def measure(work: Work, subject: Subject, repetitions: int) -> Measurement:
    """Measure a piece of work several times, after a document that warms up."""
    time_engine(subject, runs_of(replace(work, documents=1), subject)[:1])
    return Measurement(work=work, repetitions=[repeat_once(work, subject) for _ in range(repetitions)])


def measure_all(works: Iterable[Work], repetitions: int, *, narrow: bool) -> Iterator[Measurement]:
    """Measure one piece of work after the other, with one model in memory at a time."""
    make = subject = None
    for work in works:
        if subject is None or work.subject is not make:
            subject = None
            make, subject = work.subject, work.subject(narrow=narrow)
        with torch.inference_mode():
            yield measure(work, subject, repetitions)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure everything and return the exit status."""
    parser = make_parser(__doc__)
    parser.add_argument("--only", default="", help="measure only what has this text in its name")
    parser.add_argument("--documents", type=positive, help="of each piece of work, in the place of its own number")
    parser.add_argument("--repetitions", type=positive, default=3)
    add_narrow(parser)
    args = parser.parse_args(arguments)
    works = [work for work in WORKS if args.only in work.name]
    if not works:
        parser.error(f"--only: no work has {args.only!r} in its name; they are {'; '.join(w.name for w in WORKS)}")
    if args.documents is not None:
        works = [replace(work, documents=args.documents) for work in works]
    rows = []
    for measurement in measure_all(works, args.repetitions, narrow=args.narrow):
        rows.append(measurement.figures)
        print(measurement, flush=True)
    with torch.inference_mode():
        product, passes = matrix_speed(), pass_speed(gpt2_small(narrow=args.narrow))
    print(f"matrix product {product:.0f} GFLOP/s; forward passes of long batches reach {passes / product:.0%} of it")
    speeds = {"matrix product, GFLOP/s": round(product), "forward pass, GFLOP/s": round(passes)}
    write_figures(args.out, {"threads": torch.get_num_threads(), **speeds, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
