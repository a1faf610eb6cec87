"""What the published study costs: the similarity runs of its one much-used model, together and run by run.

The settings are those of `../shared/reference/paper/runs.csv` (5,265 runs of a 24-layer GPT-Neo); without it, a product
of as many settings. The model is a small random one of as many layers. Run by run is measured on an even sample of the
runs, each with the same engine, and scaled up; a model would also have to be loaded for each.
"""

import csv
import itertools
import sys
from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch

from benchmarks.command_line import add_narrow, make_parser, positive, write_figures
from benchmarks.compare import Scores, largest_difference
from benchmarks.engine import SIM, group_by_pass, make_config, resolve_distinct, scores_of, time_engine
from benchmarks.subjects import REFERENCE, Subject, gpt_neo_small
from lm_eval.config.settings import SETTING_NAMES
from lm_eval.results.identity import Run

MODEL = "EleutherAI/gpt-neo-1.3B"
RUNS = REFERENCE / "paper" / "runs.csv"
Item = TypeVar("Item")


def study_rows() -> list[dict[str, str]]:
    """Return settings, scheme and shots of each similarity run of the model."""
    if RUNS.is_file():
        with RUNS.open(encoding="utf-8", newline="") as stream:
            return [row for row in csv.DictReader(stream) if (row["model_type"], row["model"]) == ("dist_sim", MODEL)]
    lists = {
        "encoding_scheme": ["concat_all_examples", "concat_each_example", "sentence_level_segmentation"],
        "num_fewshot": ["5", "0"],
        "WORD_AGG_SCHEME": ["mean", "w1mean", "last", "relu|mean", "-relu|mean", "relu+|last", "-relu+|last"],
        "SEGMENT_AGG_SCHEME": ["", "mean"],
        "EXAMPLE_AGG_SCHEME": ["", "mean", "soft_cluster"],
        "NORM": ["", "varNorm", "zNorm"],
        "SIMILARITY_FUNC": ["dot_product"],
        "ENCODING_LAYER": ["", "middle", "0", "E", "23", "-2", "6"],
    }
    return [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]


def even_sample(items: Sequence[Item], number: int) -> Sequence[Item]:
    """Return about a number of items, evenly spread."""
    return items[:: max(1, len(items) // number)]


def make_runs(rows: Sequence[dict[str, str]], subject: Subject, documents: int) -> list[Run]:
    """Return the distinct runs of rows."""
    return resolve_distinct(
        make_config(
            SIM, row["encoding_scheme"], {name: row[name] for name in SETTING_NAMES if row.get(name)},
            num_fewshot=int(row["num_fewshot"]), documents=documents, data_dir=subject.data_dir,
        )
        for row in rows
    )  # fmt: skip


def evaluate_together(passes: Sequence[Sequence[Run]], subject: Subject) -> tuple[float, dict[Run, Scores]]:
    """Evaluate each pass's runs together; return seconds and each run's scores."""
    total_s = 0.0
    scores: dict[Run, Scores] = {}
    for runs in passes:
        seconds, evaluations = time_engine(subject, runs)
        total_s += seconds
        scores.update(zip(runs, map(scores_of, evaluations), strict=True))
    return total_s, scores


def evaluate_alone(runs: Sequence[Run], subject: Subject, expected: Mapping[Run, Scores]) -> tuple[float, float]:
    """Evaluate runs one by one; return seconds, and the largest difference from the scores expected."""
    total_s = difference = 0.0
    for run in runs:
        seconds, (evaluation,) = time_engine(subject, [run])
        total_s += seconds
        difference = max(difference, largest_difference(scores_of(evaluation), expected[run]))
    return total_s, difference


def measure(rows: Sequence[dict[str, str]], subject: Subject, documents: int, sample_size: int) -> dict[str, object]:
    """Measure runs together and run by run."""
    runs = make_runs(rows, subject, documents)
    passes = group_by_pass(runs)
    time_engine(subject, passes[0][:1])
    together_s, scores = evaluate_together(passes, subject)
    sample = even_sample(runs, sample_size)
    sample_s, difference = evaluate_alone(sample, subject, scores)
    run_by_run_s = sample_s / len(sample) * len(runs)
    return {
        "runs": len(rows),
        "distinct configurations": len(runs),
        "passes": len(passes),
        "documents": documents,
        "threads": torch.get_num_threads(),
        "seconds together": round(together_s, 1),
        "seconds run by run": round(run_by_run_s, 1),
        "times faster": round(run_by_run_s / together_s, 1),
        "largest difference": difference,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and return the exit status."""
    parser = make_parser(__doc__)
    parser.add_argument("--runs", type=positive, help="only about as many of the study's runs, evenly spread")
    parser.add_argument("--documents", type=positive, default=16)
    parser.add_argument("--sample", type=positive, default=60, help="runs that are also measured one by one")
    add_narrow(parser)
    args = parser.parse_args(arguments)
    rows = study_rows()
    rows = list(even_sample(rows, args.runs or len(rows)))
    figures = measure(rows, gpt_neo_small(narrow=args.narrow), args.documents, args.sample)
    for name, figure in figures.items():
        print(f"{name:24} {figure}")
    write_figures(args.out, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
