"""The other side of `upstream_tasks.py`: runs in an environment with lm-eval, knows nothing of this project.

Evaluates tasks of the harness with rows of `<data>/<task>/<split>.jsonl` instead of the hub's, and writes for each
what was scored: context, continuation, log-likelihood and whether it is the greedy one, and the metrics.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path


def main():
    """Evaluate once and write the answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="folder of model and tokenizer")
    parser.add_argument("--backend", default="causal", help="causal or seq2seq")
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--tasks", required=True, help="comma list; groups too")
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()

    import datasets  # noqa: PLC0415
    from lm_eval.api.task import ConfigurableTask  # noqa: PLC0415
    from lm_eval.models.huggingface import HFLM  # noqa: PLC0415

    from lm_eval import evaluator, tasks  # noqa: PLC0415

    def download(self, *_args, **_kwargs):
        files = {path.stem: str(path) for path in (args.data / self.config.task).glob("*.jsonl")}
        self.dataset = datasets.load_dataset("json", data_files=files)

    ConfigurableTask.download = download
    model = HFLM(pretrained=args.model, backend=args.backend, device="cpu", dtype="float32", batch_size=8)
    loaded = tasks.TaskManager().load(args.tasks.split(","))
    found = evaluator.evaluate(model, loaded, bootstrap_iters=0)
    answer = {"versions": {name: version(name) for name in ("lm-eval", "torch", "transformers")}, "tasks": {}}
    for name, samples in found["samples"].items():
        documents = sorted(samples, key=lambda sample: sample["doc_id"])
        metrics = {key.split(",")[0]: value for key, value in found["results"][name].items() if key.endswith(",none")}
        answer["tasks"][name] = {
            "requests": [[list(arguments) for arguments in sample["arguments"]] for sample in documents],
            "scores": [[float(score) for score, _ in sample["filtered_resps"]] for sample in documents],
            "is_greedy": [[bool(greedy) for _, greedy in sample["filtered_resps"]] for sample in documents],
            "metrics": {
                key: value for key, value in metrics.items() if isinstance(value, (int, float)) and "stderr" not in key
            },
        }
    args.out.write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
