"""Whether tasks of EleutherAI's lm-evaluation-harness, run from its own files, score here as they do there.

Both score the same made-up rows (`tests/support/task_rows.py`) with the same checkpoint, 0 shots, float32, from task
files of the harness. Log-likelihoods must agree to 1e-4, accuracies exactly. The harness has an environment of its
own, as for `upstream.py`. `--record` writes what it scored for `tests/tasks/test_upstream_tasks.py`, which needs no
harness.

Exit status: 0 where both agree, 1 where they don't, 2 where the harness isn't available.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.command_line import TOP, add_harness_place, make_parser, write_figures
from benchmarks.compare import largest_difference, relative_difference
from benchmarks.harness import UnavailableError, driver_command, find_python, last_line, offline
from lm_eval.common.text import format_pairs
from lm_eval.evaluator import simple_evaluate
from tests.support.task_rows import rows
from tests.support.worlds import write_rows

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


def write_data(folder: Path, tasks: Sequence[str]) -> Path:
    """Write the tasks' rows, as any split that a task may ask for."""
    for task in tasks:
        for split in ("train", "validation", "test", "dev"):
            write_rows(folder / task / f"{split}.jsonl", rows(DATASETS[task]))
    return folder


def task_folder(python: Path) -> Path:
    """Return where the harness keeps its task files."""
    code = "import importlib.util as util; print(util.find_spec('lm_eval').submodule_search_locations[0])"
    ended = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    return Path(ended.stdout.strip()) / "tasks"


def evaluate_theirs(
    python: Path, model: Path, data: Path, tasks: Sequence[str], *, apart: bool = False
) -> dict[str, Any]:
    """Evaluate with the harness.

    Args:
        python: of the harness's environment.
        model: the checkpoint.
        data: the folder of rows.
        tasks: their names.
        apart: whether each is evaluated alone, so that one which fails there leaves the others.

    Raises:
        UnavailableError: it doesn't run.
    """
    folder = data.parent
    out = folder / "answer.json"
    is_t5 = json.loads((model / "config.json").read_text()).get("is_encoder_decoder", False)
    command = driver_command(
        python, "upstream_tasks_driver.py", model=model, data=data, tasks=",".join(tasks), out=out,
        backend="seq2seq" if is_t5 else "causal",
    )  # fmt: skip
    command += ["--apart"] if apart else []
    done = subprocess.run(command, env=offline(folder), capture_output=True, text=True, check=False, cwd=folder)  # noqa: S603
    if done.returncode:
        raise UnavailableError(f"the harness ended: {last_line(done.stderr)}")
    answer: dict[str, Any] = json.loads(out.read_text())
    return answer


def evaluate_ours(model: Path, data: Path, include_path: Path, tasks: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Evaluate with this project, and return each task's scores in the order of its rows, and its metrics."""
    evaluation = simple_evaluate(
        model="hf",
        model_args=format_pairs({"pretrained": model, "dtype": "float32"}),
        tasks=list(tasks),
        task_args=format_pairs({"data_dir": data}),
        include_path=str(include_path),
        device="cpu",
        log_samples=True,
    )
    answers = {}
    for task in evaluation["samples"]:
        samples = sorted(evaluation["samples"][task], key=lambda sample: int(sample["source"].rpartition(" ")[2]))
        answers[task] = {
            "scores": [sample["scores"] for sample in samples],
            "is_greedy": [sample["is_exact_match"] for sample in samples],
            "metrics": evaluation["results"][task],
        }
    return answers


def compare(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return how far two answers are apart."""
    metrics = [name for name in ("acc", "acc_norm", "perplexity") if name in theirs["metrics"]]
    return {
        "requests": sum(map(len, theirs["scores"])),
        "largest difference": largest_difference(ours["scores"], theirs["scores"]),
        "relative difference": relative_difference(ours["scores"], theirs["scores"]),
        "same greedy": ours["is_greedy"] == theirs["is_greedy"],
        "metrics": {name: (ours["metrics"][name], theirs["metrics"][name]) for name in metrics},
    }


def agrees(row: Mapping[str, Any]) -> bool:
    """Whether a comparison is as good as it must be."""
    exact = all(
        a == b if name.startswith("acc") else abs(a - b) <= TOLERANCE * b for name, (a, b) in row["metrics"].items()
    )
    return bool(row["relative difference"] <= TOLERANCE and row["same greedy"] and exact)


def format_row(task: str, row: Mapping[str, Any]) -> str:
    """Return a comparison as a line."""
    figures = ", ".join(f"{name} {a:.6g} {b:.6g}" for name, (a, b) in row["metrics"].items())
    remark = "" if agrees(row) else "  NOT EQUAL"
    return f"{task:24} {row['requests']:8} {row['largest difference']:18.1e}  {figures}{remark}"


def record(theirs: dict[str, Any], path: Path) -> None:
    """Write what the harness scored."""
    path.parent.mkdir(exist_ok=True)
    lines = ",\n".join(
        f" {json.dumps(name)}: {json.dumps(answer, ensure_ascii=False)}"
        for name, answer in sorted(theirs["tasks"].items())
    )
    path.write_text(f'{{"versions": {json.dumps(theirs["versions"])},\n"tasks": {{\n{lines}\n}}}}\n', encoding="utf-8")


def evaluate_both(python: Path, model: Path, tasks: Sequence[str]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Return each task's answer here, and what the harness says.

    Raises:
        UnavailableError: the harness doesn't run.
    """
    with tempfile.TemporaryDirectory() as name:
        data = write_data(Path(name) / "data", tasks)
        theirs = evaluate_theirs(python, model, data, tasks)
        return evaluate_ours(model, data, task_folder(python), tasks), theirs


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and return the exit status."""
    parser = make_parser(__doc__)
    add_harness_place(parser)
    parser.add_argument("--model", type=Path, default=MODEL, help="a checkpoint (%(default)s)")
    parser.add_argument(
        "--tasks", nargs="+", choices=DATASETS, default=list(DATASETS), metavar="TASK", help="only these"
    )
    parser.add_argument("--record", action="store_true", help=f"write {RECORDING.relative_to(TOP)}")
    args = parser.parse_args(arguments)
    if args.record and len(args.tasks) < len(DATASETS):
        parser.error("--record: a recording holds all tasks; leave --tasks out")
    try:
        ours, theirs = evaluate_both(find_python(args.python, args.env), args.model.resolve(), args.tasks)
    except UnavailableError as error:
        print(f"nothing compared, lm-eval is not available: {error}", file=sys.stderr)
        return 2
    table = {task: compare(ours[task], theirs["tasks"][task]) for task in args.tasks}
    print(f"{'task':24} {'requests':>8} {'largest difference':>18}  metrics (here, lm-eval)")
    for task, row in table.items():
        print(format_row(task, row))
    if args.record:
        record(theirs, RECORDING)
    write_figures(args.out, {"versions": theirs["versions"], "tasks": table})
    return 0 if all(map(agrees, table.values())) else 1


if __name__ == "__main__":
    sys.exit(main())
