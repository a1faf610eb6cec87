"""How many times faster `cross_encoding` is than EleutherAI's lm-evaluation-harness, measured side by side in one run.

Both score the same strings, rendered by this project (HellaSwag), with the same random model of GPT-2 small's
shape, in float32 on all cores, and must agree; with `--model`, the same model from the same files, a GGUF file too.
Loading isn't measured. The harness (`lm-eval` on the package index) is
a package `lm_eval` too, so it has an environment and a process of its own: `--python` names one that is at hand,
otherwise one is made in the folder `--env`.

Exit status: 0 where both agree, 1 where they don't, 2 where the harness isn't available.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.command_line import add_harness_place, add_narrow, make_parser, positive, write_figures
from benchmarks.compare import largest_difference, relative_difference
from benchmarks.engine import GEN, make_config, resolve_all, scores_of, time_engine
from benchmarks.harness import UnavailableError, find_python
from benchmarks.harness_process import Harness, Scored, harness_of
from benchmarks.subjects import Subject, gpt2_small, model_of
from lm_eval.contexts.encoding_schemes import build_context
from lm_eval.results.identity import Run
from lm_eval.tasks.documents import Document

SCHEME = "cross_encoding"
AT_LEAST = 2.5
"""Times the documents a second of the harness."""
TOLERANCE = 1e-3
"""Between log-likelihoods, relative where one is larger than 1."""
Row = Mapping[str, Any]


def render(run: Run) -> list[dict[str, Any]]:
    """Return context, choices and gold of each document."""

    def context(document: Document) -> str:
        return "".join(build_context(run.task.dataset, document.example, document.shots, SCHEME).samples[0])

    return [
        {"context": context(document), "choices": list(document.example.choices), "gold": document.example.gold[0]}
        for document in run.documents()
    ]


def evaluate_ours(subject: Subject, run: Run) -> Scored:
    """Evaluate once with the engine."""
    with torch.inference_mode():
        seconds, (evaluation,) = time_engine(subject, [run])
    metrics = {name: value for name in ("acc", "acc_norm") if (value := evaluation.metrics()[name]) is not None}
    return Scored(seconds, scores_of(evaluation), metrics)


def measure(subject: Subject, run: Run, harness: Harness, repetitions: int) -> dict[str, Any]:
    """Measure both in turn, each after a warm-up, and return medians.

    Where others use the machine, the fastest evaluation of each side tells more: it was disturbed least.
    """
    evaluate_ours(subject, run)
    harness.evaluate()
    pairs = [(evaluate_ours(subject, run), harness.evaluate()) for _ in range(repetitions)]
    faster = [theirs.seconds / ours.seconds for ours, theirs in pairs]
    fastest = min(theirs.seconds for _, theirs in pairs) / min(ours.seconds for ours, _ in pairs)
    count, (last, last_theirs) = len(pairs[0][0].scores), pairs[-1]
    return {
        "work": f"{SCHEME}, {run.config.num_fewshot} shots",
        "documents": count,
        "times lm-eval": round(statistics.median(faster), 2),
        "range": [round(min(faster), 2), round(max(faster), 2)],
        "fastest against fastest": round(fastest, 2),
        "at least": AT_LEAST if subject.path is None else None,
        "seconds a document": round(statistics.median(mine.seconds for mine, _ in pairs) / count, 3),
        "seconds a document, lm-eval": round(statistics.median(other.seconds for _, other in pairs) / count, 3),
        "seconds of each evaluation": [round(mine.seconds, 2) for mine, _ in pairs],
        "seconds of each evaluation, lm-eval": [round(other.seconds, 2) for _, other in pairs],
        "largest difference": max(relative_difference(ours.scores, theirs.scores) for ours, theirs in pairs),
        "in nats": max(largest_difference(ours.scores, theirs.scores) for ours, theirs in pairs),
        "differing documents": [
            number
            for number, (ours, theirs) in enumerate(zip(last.scores, last_theirs.scores, strict=True), 1)
            if relative_difference([ours], [theirs]) > TOLERANCE
        ],
        "metrics": last.metrics,
        "metrics, lm-eval": last_theirs.metrics,
    }


def format_row(row: Row) -> str:
    """Return a measurement as a line."""
    low, high = row["range"]
    mine, other = row["seconds a document"], row["seconds a document, lm-eval"]
    line = f"{row['work']:52} {row['times lm-eval']:7} ({low} to {high}) times lm-eval"
    line += f", wanted {row['at least']}" if row["at least"] else ""
    line += f"; fastest against fastest {row['fastest against fastest']}"
    line += f"; {mine} s a document, lm-eval {other}; largest difference {row['largest difference']:.1e}"
    figures = (f"{name} {row['metrics'][name]:.3g} and {row['metrics, lm-eval'][name]:.3g}" for name in row["metrics"])
    return f"{line}; {', '.join(figures)}"


def disagreements(row: Row, texts: list[Any], documents: Sequence[Row]) -> list[str]:
    """Return in what the two sides differ, beyond speed."""
    differences = []
    if texts != [[[d["context"], choice] for choice in d["choices"]] for d in documents]:
        differences.append("lm-eval scored other strings")
    if row["largest difference"] > TOLERANCE:
        which = ", ".join(map(str, row["differing documents"]))
        difference = f"{row['largest difference']:.1e}, more than {TOLERANCE:.0e}"
        differences.append(f"log-likelihoods differ by {difference} ({row['in nats']:.2g} nats; documents {which})")
    if row["metrics"] != row["metrics, lm-eval"]:
        differences.append(f"metrics differ: {row['metrics']} and {row['metrics, lm-eval']}")
    return differences


def compare(args: argparse.Namespace) -> tuple[Row, Mapping[str, str], list[str]]:
    """Return what was measured, the versions of the harness's packages, and in what the two sides differ.

    Raises:
        UnavailableError: the harness isn't there or doesn't run.
    """
    python = find_python(args.python, args.env)
    subject = model_of(args.model, narrow=args.narrow) if args.model else gpt2_small(narrow=args.narrow)
    config = make_config(
        GEN, SCHEME, {}, num_fewshot=args.shots, documents=args.documents, data_dir=subject.data_dir
    )  # fmt: skip
    (run,) = resolve_all([config])
    documents = render(run)
    with harness_of(python, subject, documents, args.batch_size) as harness:
        versions = harness.versions()
        row = measure(subject, run, harness, args.repetitions)
        return row, versions, disagreements(row, harness.texts, documents)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and return the exit status."""
    parser = make_parser(__doc__)
    add_harness_place(parser)
    parser.add_argument("--model", type=Path, help="a folder or a GGUF file, in place of a random model")
    parser.add_argument("--shots", type=int, default=5, help="shots in each context (%(default)s)")
    parser.add_argument("--documents", type=positive, default=8)
    parser.add_argument("--repetitions", type=positive, default=3)
    parser.add_argument("--batch-size", type=positive, default=4, help="rows a batch of lm-eval (%(default)s)")
    add_narrow(parser)
    args = parser.parse_args(arguments)
    try:
        row, versions, differing = compare(args)
    except UnavailableError as error:
        print(f"nothing measured, lm-eval is not available: {error}", file=sys.stderr)
        return 2
    print(format_row(row))
    print(f"lm-eval with {', '.join(f'{k} {v}' for k, v in versions.items())}, batches of {args.batch_size} rows; "
          f"here torch {torch.__version__}, transformers {transformers.__version__}; "
          f"{torch.get_num_threads()} threads")  # fmt: skip
    for text in differing:
        print(f"NOT COMPARABLE: {text}", file=sys.stderr)
    setting = {"threads": torch.get_num_threads(), "batch size, lm-eval": args.batch_size, "versions": versions}
    write_figures(args.out, {**setting, "rows": [row]})
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
