"""What cutting a pass costs: `dist_sim` by sentences, 5 shots of few training rows, which every block encodes again.

The pass as a whole and in the blocks of a model of this size, one after the other, so that both meet the same machine.
"""

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.command_line import add_narrow, make_parser, positive, write_figures
from benchmarks.compare import largest_difference
from benchmarks.engine import SIM, make_config, resolve_all, scores_of
from benchmarks.subjects import Subject, gpt2_small
from lm_eval.config.runtime import Execution
from lm_eval.models.language_model import LanguageModel
from lm_eval.results.identity import Run
from lm_eval.scoring.blocks import Block, block_tokens, cut_into_blocks, num_kept
from lm_eval.scoring.evaluation import Evaluation
from lm_eval.scoring.run_pass import evaluate_many

SETTINGS = {"WORD_AGG_SCHEME": "mean", "SIMILARITY_FUNC": "dot_product"}


def evaluate(run: Run, model: LanguageModel, blocks: Sequence[Block]) -> tuple[float, Evaluation]:
    """Return the seconds of a pass over these blocks, and what it gives."""
    began = time.perf_counter()
    (evaluation,) = evaluate_many([run], model, Execution(), blocks=blocks)
    return time.perf_counter() - began, evaluation


def few_rows(source: Path, target: Path, rows: int) -> Path:
    """Copy a dataset with so many of its training rows."""
    (target / "hellaswag").mkdir()
    shutil.copy(source / "hellaswag" / "validation.jsonl", target / "hellaswag")
    lines = (source / "hellaswag" / "train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (target / "hellaswag" / "train.jsonl").write_text("".join(lines[:rows]), encoding="utf-8")
    return target


def measure(subject: Subject, data_dir: Path, documents: int, repetitions: int, tokens: int | None) -> dict[str, float]:
    """Return how much a pass in blocks takes beyond the whole pass.

    Args:
        subject: the model.
        data_dir: what it reads.
        documents: how many the pass has.
        repetitions: how often each is timed.
        tokens: the fewest of a block; None takes what a grid takes.
    """
    model = subject.model
    config = make_config(
        SIM, "sentence_level_segmentation", SETTINGS, num_fewshot=5, documents=documents, data_dir=data_dir
    )
    (run,) = resolve_all([config])
    fewest = tokens or block_tokens(model.network.num_parameters(), on_gpu=model.device.type == "cuda")
    blocks = cut_into_blocks(run.documents(), fewest, num_kept=num_kept(model.network.num_parameters()))
    whole, cut = [], []
    for _ in range(repetitions):
        whole.append(evaluate(run, model, [(0, blocks[-1][1])]))
        cut.append(evaluate(run, model, blocks))
    ratios = [mine[0] / theirs[0] for mine, theirs in zip(cut, whole, strict=True)]
    one, other = cut[0][1], whole[0][1]
    return {
        "documents": blocks[-1][1],
        "blocks": len(blocks),
        "seconds a block": cut[0][0] / len(blocks),
        "more tokens": one.record.num_tokens / other.record.num_tokens - 1,
        "more time, median": statistics.median(ratios) - 1,
        "more time, least": min(ratios) - 1,
        "largest difference": largest_difference(scores_of(one), scores_of(other)),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure it and return the exit status."""
    parser = make_parser(__doc__)
    add_narrow(parser)
    parser.add_argument("--documents", type=positive, default=1000)
    parser.add_argument("--rows", type=positive, default=50, help="training rows")
    parser.add_argument("--repetitions", type=positive, default=3)
    parser.add_argument("--tokens", type=positive, help="fewest tokens of a block (default: as in a grid)")
    args = parser.parse_args(arguments)
    subject = gpt2_small(narrow=args.narrow)
    with tempfile.TemporaryDirectory() as scratch:
        data_dir = few_rows(subject.data_dir, Path(scratch), args.rows)
        figures = measure(subject, data_dir, args.documents, args.repetitions, args.tokens)
    print(", ".join(f"{name}: {value:.3g}" for name, value in figures.items()))
    write_figures(args.out, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
