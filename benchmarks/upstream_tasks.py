#!/usr/bin/env python3
"""Whether tasks of EleutherAI's lm-evaluation-harness, run from its own files, score here as they do there.

Both score the same made-up rows (`tests/task_rows.py`) with the same checkpoint, 0 shots, float32, from task files of
the harness. Log-likelihoods must agree to 1e-4, accuracies exactly. The harness has an environment of its own, as for
`upstream.py`. `--record` writes what it scored for `tests/test_upstream_tasks.py`, which needs no harness.

Exit status: 0 where both agree, 1 where they don't, 2 where the harness can't be had.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP)]

from benchmarks.upstream import UnavailableError, find_python  # noqa: E402
from lm_eval.common.text import format_pairs  # noqa: E402
from lm_eval.evaluator import simple_evaluate  # noqa: E402
from tests.support.task_rows import rows  # noqa: E402
from tests.support.worlds import write_rows  # noqa: E402

TOLERANCE = 1e-4
"""Between log-likelihoods; relative where one is larger than 1, as sums of many in float32 are."""
MODEL = TOP / "demo" / "models" / "demo-gpt"
RECORDING = TOP / "tests" / "tasks" / "recorded" / "upstream_tasks.json"
MMLU = ("abstract_algebra", "anatomy", "astronomy")
DATASETS = {
    **{name: name for name in ("arc_easy", "arc_challenge", "piqa", "winogrande", "openbookqa", "sciq", "copa", "boolq",
                               "commonsense_qa", "hellaswag", "race", "logiqa", "truthfulqa_mc1")},
    "storycloze_2016": "storycloze",
    "lambada_openai": "lambada",
    **{f"mmlu_{name}": "mmlu" for name in MMLU},
}  # fmt: skip
"""The harness's tasks, and the rows that each gets."""


def write_data(folder: Path) -> Path:
    """Write every task's rows, as any split that a task may ask for."""
    for task, dataset in DATASETS.items():
        for split in ("train", "validation", "test", "dev"):
            write_rows(folder / task / f"{split}.jsonl", rows(dataset))
    return folder


def task_folder(python: Path) -> Path:
    """Return where the harness keeps its task files."""
    code = "import importlib.util as util; print(util.find_spec('lm_eval').submodule_search_locations[0])"
    found = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    return Path(found.stdout.strip()) / "tasks"


def evaluate_theirs(python: Path, model: Path, data: Path, folder: Path) -> dict[str, Any]:
    """Evaluate with the harness."""
    out = folder / "answer.json"
    command = [python, "-I", TOP / "benchmarks" / "upstream_tasks_driver.py", f"--model={model}", f"--data={data}"]
    kind = json.loads((model / "config.json").read_text()).get("is_encoder_decoder", False)
    command += [f"--tasks={','.join(DATASETS)}", f"--out={out}", f"--backend={'seq2seq' if kind else 'causal'}"]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "hf")}
    done = subprocess.run(  # noqa: S603
        command, env={**os.environ, **offline}, capture_output=True, text=True, check=False, cwd=folder
    )
    if done.returncode:
        raise UnavailableError(f"the harness ended: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(out.read_text())


def evaluate_ours(model: Path, data: Path, include_path: Path | None, tasks: list[str]) -> dict[str, dict[str, Any]]:
    """Evaluate with this project, and return each task's scores in the order of its rows, and its metrics."""
    found = simple_evaluate(
        model="hf",
        model_args=format_pairs({"pretrained": model, "dtype": "float32"}),
        tasks=tasks,
        task_args=format_pairs({"data_dir": data}),
        include_path=None if include_path is None else str(include_path),
        device="cpu",
        log_samples=True,
    )
    answers = {}
    for task in found["samples"]:
        samples = sorted(found["samples"][task], key=lambda sample: int(sample["source"].rpartition(" ")[2]))
        answers[task] = {
            "scores": [sample["scores"] for sample in samples],
            "is_greedy": [sample["is_exact_match"] for sample in samples],
            "metrics": found["results"][task],
        }
    return answers


def compare(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Return how far two answers are apart."""
    pairs = [
        pair
        for one, other in zip(ours["scores"], theirs["scores"], strict=True)
        for pair in zip(one, other, strict=True)
    ]
    metrics = [name for name in ("acc", "acc_norm", "perplexity") if name in theirs["metrics"]]
    return {
        "requests": len(pairs),
        "largest difference": max(abs(a - b) for a, b in pairs),
        "relative difference": max(abs(a - b) / max(1.0, abs(b)) for a, b in pairs),
        "same greedy": ours["is_greedy"] == theirs["is_greedy"],
        "metrics": {name: (ours["metrics"][name], theirs["metrics"][name]) for name in metrics},
    }


def agrees(row: dict[str, Any]) -> bool:
    """Whether a comparison is as good as it must be."""
    exact = all(
        a == b if name.startswith("acc") else abs(a - b) <= TOLERANCE * b for name, (a, b) in row["metrics"].items()
    )
    return row["relative difference"] <= TOLERANCE and row["same greedy"] and exact


def record(theirs: dict[str, Any], path: Path) -> None:
    """Write what the harness scored."""
    path.parent.mkdir(exist_ok=True)
    lines = ",\n".join(
        f" {json.dumps(name)}: {json.dumps(found, ensure_ascii=False)}"
        for name, found in sorted(theirs["tasks"].items())
    )
    path.write_text(f'{{"versions": {json.dumps(theirs["versions"])},\n"tasks": {{\n{lines}\n}}}}\n', encoding="utf-8")


def main() -> int:
    """Compare and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--python", type=Path, help="the Python of an environment that has lm-eval")
    place.add_argument("--env", type=Path, default=TOP / "cache" / "lm-eval", help="where to make one (%(default)s)")
    parser.add_argument("--model", type=Path, default=MODEL, help="a checkpoint (%(default)s)")
    parser.add_argument("--record", action="store_true", help=f"write {RECORDING.relative_to(TOP)}")
    args = parser.parse_args()
    try:
        python = find_python(args.python, args.env)
        with tempfile.TemporaryDirectory() as name:
            data = write_data(Path(name) / "data")
            theirs = evaluate_theirs(python, args.model.resolve(), data, Path(name))
            ours = evaluate_ours(args.model.resolve(), data, task_folder(python), list(DATASETS))
    except UnavailableError as error:
        print(f"nothing compared, lm-eval is not to be had: {error}", file=sys.stderr)
        return 2
    table = {task: compare(ours[task], theirs["tasks"][task]) for task in DATASETS}
    print(f"{'task':24} {'requests':>8} {'largest difference':>18}  metrics (here, lm-eval)")
    for task, row in table.items():
        figures = ", ".join(f"{name} {a:.6g} {b:.6g}" for name, (a, b) in row["metrics"].items())
        remark = "" if agrees(row) else "  NOT EQUAL"
        print(f"{task:24} {row['requests']:8} {row['largest difference']:18.1e}  {figures}{remark}")
    if args.record:
        record(theirs, RECORDING)
    return 0 if all(map(agrees, table.values())) else 1


if __name__ == "__main__":
    sys.exit(main())
