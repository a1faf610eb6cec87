"""The other side of `upstream.py`: runs in an environment with lm-eval, knows nothing of this project.

Loads model and task, says so in a line of JSON, then answers each line it reads with an evaluation: its seconds, the
strings that were scored, their log-likelihoods and the metrics. Everything else that is printed goes to stderr.
"""

import argparse
import json
import os
import sys
import time
from importlib.metadata import version


def main():
    """Serve evaluations until there are no more lines."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="folder of model and tokenizer")
    parser.add_argument("--tasks", required=True, help="folder with the task's YAML")
    parser.add_argument("--task", required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args()

    import torch  # noqa: PLC0415  (after stdout is out of the way)
    from lm_eval.models.huggingface import HFLM  # noqa: PLC0415

    from lm_eval import evaluator  # noqa: PLC0415
    from lm_eval.tasks import TaskManager  # noqa: PLC0415

    def answer(content):
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    torch.set_num_threads(args.threads)
    model = HFLM(pretrained=args.model, device="cpu", dtype="float32", batch_size=args.batch_size)
    tasks = TaskManager(include_path=args.tasks, include_defaults=False).load(args.task)
    answer({name: version(name) for name in ("lm-eval", "torch", "transformers")})
    for _ in sys.stdin:
        began = time.perf_counter()
        found = evaluator.evaluate(model, tasks, bootstrap_iters=0)
        seconds = time.perf_counter() - began
        samples = sorted(found["samples"][args.task], key=lambda sample: sample["doc_id"])
        answer(
            {
                "seconds": seconds,
                "texts": [sample["arguments"] for sample in samples],
                "scores": [[score for score, _ in sample["filtered_resps"]] for sample in samples],
                "metrics": {name: found["results"][args.task][f"{name},none"] for name in ("acc", "acc_norm")},
            }
        )


if __name__ == "__main__":
    main()
