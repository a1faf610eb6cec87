"""The other side of `upstream.py`: runs in an environment with lm-eval, knows nothing of this project.

Loads model and task, says so in a line of JSON, then answers each line it reads with an evaluation: its seconds, the
strings that were scored, their log-likelihoods and the metrics. Everything else that is printed goes to stderr.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TextIO


def take_stdout() -> TextIO:
    """Return the standard output, and let everything else that is printed go to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def place_of(model: Path) -> dict[str, str]:
    """Return the harness's arguments for a checkpoint: a folder or a GGUF file."""
    if model.is_dir():
        return {"pretrained": str(model)}
    return {"pretrained": str(model.parent), "gguf_file": model.name}


def load(args: argparse.Namespace) -> tuple[object, object]:
    """Return the harness's model and task.

    The harness is imported by name: to a type checker `lm_eval` is this project. It comes before all else that takes
    seconds to import: one that can't load models says so at once.
    """
    huggingface = import_module("lm_eval.models.huggingface")
    import_module("torch").set_num_threads(args.threads)
    model = huggingface.HFLM(**place_of(args.model), device="cpu", dtype="float32", batch_size=args.batch_size)
    manager = import_module("lm_eval.tasks").TaskManager(include_path=args.tasks, include_defaults=False)
    return model, manager.load(args.task)


def evaluate(model: object, tasks: object, name: str) -> dict[str, object]:
    """Evaluate once, and return what was scored."""
    evaluator = import_module("lm_eval.evaluator")
    began = time.perf_counter()
    evaluation = evaluator.evaluate(model, tasks, bootstrap_iters=0)
    seconds = time.perf_counter() - began
    samples = sorted(evaluation["samples"][name], key=lambda sample: int(sample["doc_id"]))
    return {
        "seconds": seconds,
        "texts": [sample["arguments"] for sample in samples],
        "scores": [[score for score, _ in sample["filtered_resps"]] for sample in samples],
        "metrics": {metric: evaluation["results"][name][f"{metric},none"] for metric in ("acc", "acc_norm")},
    }


def main() -> None:
    """Serve evaluations until there are no more lines."""
    answers = take_stdout()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, type=Path, help="folder of model and tokenizer, or a GGUF file")
    parser.add_argument("--tasks", required=True, help="folder with the task's YAML")
    parser.add_argument("--task", required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args()

    def answer(content: Mapping[str, object]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    model, tasks = load(args)
    answer({name: version(name) for name in ("lm-eval", "torch", "transformers")})
    for _ in sys.stdin:
        answer(evaluate(model, tasks, args.task))


if __name__ == "__main__":
    main()
