"""The other side of `upstream_tasks.py`: runs in an environment with lm-eval, knows nothing of this project.

Evaluates tasks of the harness with rows of `<data>/<task>/<split>.jsonl` instead of the hub's, and writes for each
what was scored: context, continuation, log-likelihood and whether it is the greedy one, and the metrics.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol


class HarnessTask(Protocol):
    """What is used of a task of the harness."""

    config: Any
    dataset: Any


def read_rows_from(data: Path) -> None:
    """Let every task of the harness read its rows from a folder, not from the hub."""

    def download(self: HarnessTask, *_args: object, **_kwargs: object) -> None:
        self.config.num_fewshot = 0  # whatever its file says
        files = {path.stem: str(path) for path in (data / self.config.task).glob("*.jsonl")}
        self.dataset = import_module("datasets").load_dataset("json", data_files=files)

    import_module("lm_eval.api.task").ConfigurableTask.download = download


def evaluate(args: argparse.Namespace) -> tuple[dict[str, dict[str, object]], dict[str, str]]:
    """Evaluate tasks with the harness, which is imported by name: to a type checker `lm_eval` is this project.

    Returns:
        What each task scored, and, where each is evaluated alone, why a task failed.
    """
    model = import_module("lm_eval.models.huggingface").HFLM(  # before all else that takes seconds to import
        pretrained=args.model, backend=args.backend, device="cpu", dtype="float32", batch_size=8
    )
    evaluator, manager = import_module("lm_eval.evaluator"), import_module("lm_eval.tasks").TaskManager()
    names = args.tasks.split(",")
    scored: dict[str, dict[str, object]] = {}
    failed: dict[str, str] = {}
    for together in [[name] for name in names] if args.apart else [names]:
        try:
            evaluation = evaluator.evaluate(model, manager.load(together), bootstrap_iters=0)
        except Exception as error:  # whatever a task raises
            if not args.apart:
                raise
            failed[together[0]] = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            continue
        for name, samples in evaluation["samples"].items():
            scored[name] = summary(samples, evaluation["results"][name])
    return scored, failed


def summary(samples: Sequence[Mapping[str, Any]], results: Mapping[str, object]) -> dict[str, object]:
    """Return what a task's samples and results say, in document order."""
    documents = sorted(samples, key=lambda sample: int(sample["doc_id"]))
    metrics = {key.split(",")[0]: value for key, value in results.items() if key.endswith(",none")}
    return {
        "requests": [[list(arguments) for arguments in sample["arguments"]] for sample in documents],
        "scores": [[float(score) for score, _ in sample["filtered_resps"]] for sample in documents],
        "is_greedy": [[bool(greedy) for _, greedy in sample["filtered_resps"]] for sample in documents],
        "metrics": {
            key: value for key, value in metrics.items() if isinstance(value, (int, float)) and "stderr" not in key
        },
    }


def main() -> None:
    """Evaluate once and write the answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="folder of model and tokenizer")
    parser.add_argument("--backend", default="causal", help="causal or seq2seq")
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--tasks", required=True, help="comma list; groups too")
    parser.add_argument("--apart", action="store_true", help="evaluate each task alone, and go on where one fails")
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()
    read_rows_from(args.data)
    tasks, failed = evaluate(args)
    versions = {name: version(name) for name in ("lm-eval", "torch", "transformers")}
    args.out.write_text(json.dumps({"versions": versions, "tasks": tasks, "failed": failed}))


if __name__ == "__main__":
    main()
