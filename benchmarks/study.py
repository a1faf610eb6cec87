#!/usr/bin/env python3
"""What the published study costs: the similarity runs of its one much-used model, together and run by run.

The settings are those of `../shared/reference/paper/runs.csv` (5,265 runs of a 24-layer GPT-Neo); without it, a product
of as many settings. The model is a small random one of as many layers. Run by run is measured on an even sample of the
runs, each with the same engine, and scaled up; a model would also have to be loaded for each.
"""

import argparse
import csv
import itertools
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

TOP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP)]

from benchmarks.subjects import REFERENCE, Subject, gpt_neo_small  # noqa: E402
from lm_eval.common.text import format_pairs  # noqa: E402
from lm_eval.config.run_config import RunConfig  # noqa: E402
from lm_eval.config.runtime import Execution  # noqa: E402
from lm_eval.config.settings import SETTING_NAMES  # noqa: E402
from lm_eval.results.identity import canonical  # noqa: E402
from lm_eval.scheduling.units import make_units  # noqa: E402
from lm_eval.scoring.evaluation import Evaluation, evaluate_many  # noqa: E402

MODEL = "EleutherAI/gpt-neo-1.3B"
RUNS = REFERENCE / "paper" / "runs.csv"


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


def make_configs(rows: Sequence[dict[str, str]], subject: Subject, documents: int) -> list[RunConfig]:
    """Return the distinct configurations of rows."""
    configs = (
        RunConfig.parse(
            model="dist_sim",
            model_args=format_pairs({"pretrained": "random", **{k: row[k] for k in SETTING_NAMES if row.get(k)}}),
            task="hellaswag_d",
            task_args=format_pairs({"encoding_scheme": row["encoding_scheme"], "data_dir": subject.data_dir}),
            num_fewshot=int(row["num_fewshot"]),
            limit=documents,
        )
        for row in rows
    )
    return list(dict.fromkeys(canonical(config) for config in configs))


def timed(configs: Sequence[RunConfig], subject: Subject) -> tuple[float, list[Evaluation]]:
    """Return seconds and evaluations of configurations that share a pass."""
    began = time.perf_counter()
    evaluations = evaluate_many(configs, subject.model, Execution())
    return time.perf_counter() - began, evaluations


def main() -> int:
    """Measure and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=16)
    parser.add_argument("--sample", type=int, default=60, help="runs that are also measured one by one")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    args = parser.parse_args()
    subject, rows = gpt_neo_small(), study_rows()
    configs = make_configs(rows, subject, args.documents)
    units = make_units(configs)
    timed(units[0][:1], subject)
    together, found = 0.0, {}
    for unit in units:
        seconds, evaluations = timed(unit, subject)
        together += seconds
        found.update({evaluation.config: evaluation for evaluation in evaluations})
    sample = configs[:: max(1, len(configs) // args.sample)]
    alone = worst = 0.0
    for config in sample:
        seconds, (evaluation,) = timed([config], subject)
        alone += seconds
        pairs = zip(evaluation.documents, found[config].documents, strict=True)
        worst = max(
            worst, *(abs(a - b) for mine, other in pairs for a, b in zip(mine.scores, other.scores, strict=True))
        )
    run_by_run = alone / len(sample) * len(configs)
    figures = {
        "runs": len(rows),
        "distinct configurations": len(configs),
        "passes": len(units),
        "documents": args.documents,
        "threads": torch.get_num_threads(),
        "seconds together": round(together, 1),
        "seconds run by run": round(run_by_run, 1),
        "times faster": round(run_by_run / together, 1),
        "largest difference": worst,
    }
    for name, figure in figures.items():
        print(f"{name:24} {figure}")
    if args.out is not None:
        args.out.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
