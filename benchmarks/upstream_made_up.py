"""Whether hundreds of the harness's tasks score here as they do there, on rows made up for each (`made_up_rows.py`).

Of every way to write prompts, choices and targets among its task files, one task is taken, at most `--most` in all.
Both sides score the same rows with the same checkpoint, 0 shots, float32: prompts and choices follow from the requests'
log-likelihoods (equal to 1e-4), right answers from the metrics, of which those that both report must agree.

Exit status: 0 where all that could be compared agree, 1 where not, 2 where the harness isn't available.
"""

import json
import logging
import re
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.command_line import add_harness_place, make_parser, positive, write_figures
from benchmarks.compare import relative_difference
from benchmarks.harness import UnavailableError, find_python
from benchmarks.made_up_rows import find_rows, splits_of
from benchmarks.upstream_files import choice_files
from benchmarks.upstream_tasks import MODEL, TOLERANCE, evaluate_theirs, task_folder
from lm_eval.common.text import first_line, format_pairs
from lm_eval.errors import ConfigurationError
from lm_eval.evaluator import simple_evaluate
from lm_eval.tasks.yaml_tasks.build import make_tasks
from lm_eval.tasks.yaml_tasks.parser import TaskFile, plain
from tests.support.worlds import write_rows

_DECIDING = ("doc_to_text", "doc_to_choice", "doc_to_target", "process_docs", "process_results", "gen_prefix",
             "target_delimiter", "metric_list")  # fmt: skip
_CLOSE = 1e-9
_OF_PREDICTIONS = ("acc", "acc_norm", "acc_bytes", "exact_match", "f1", "mcc")
"""Metrics that are as exact as predictions are; others are sums of log-likelihoods."""


_ALL = 10**6


def choose_files(folder: Path, most: int) -> list[TaskFile]:
    """Return one file of each way to write a task; where there are too many, as many of each folder."""
    distinct: dict[str, TaskFile] = {}
    for file in choice_files(folder):
        distinct.setdefault(json.dumps([plain(file.keys.get(key)) for key in _DECIDING], sort_keys=True), file)
    rank = Counter[str]()
    ranked = []
    for file in distinct.values():
        part = file.path.relative_to(folder.resolve()).parts[0]
        ranked.append((rank[part], part, file))
        rank[part] += 1
    return [file for *_, file in sorted(ranked, key=lambda one: one[:2])[:most]]


def write_data(files: Sequence[TaskFile], folder: Path) -> dict[str, str]:
    """Write rows for each task where some are found; return why not for the others, by their names."""
    without: dict[str, str] = {}
    for file in files:
        name = str(file.keys["task"])
        try:
            rows = find_rows(file)
        except ConfigurationError as error:
            without[name] = f"refused here: {first_line(error)}"
            continue
        if rows is None:
            without[name] = "no row was found that it can read"
            continue
        if draws_at_random(file, rows):
            without[name] = "its functions draw at random"
            continue
        for split in splits_of(file):
            write_rows(folder / name / f"{split}.jsonl", rows)
    return without


def draws_at_random(file: TaskFile, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a task's functions make other examples of the same rows each time."""
    dataset = make_tasks(file)["standard"].dataset
    first, *others = (dataset.examples([(row, "") for row in rows]) for _ in range(4))
    return any(first != other for other in others)


def evaluate_ours(model: Path, data: Path, include_path: Path, task: str) -> dict[str, Any]:
    """Evaluate one task here; see `upstream_tasks.evaluate_ours`."""
    evaluation = simple_evaluate(
        model="hf",
        model_args=format_pairs({"pretrained": model, "dtype": "float32"}),
        tasks=[task],
        task_args=format_pairs({"data_dir": data}),
        include_path=str(include_path),
        device="cpu",
        log_samples=True,
    )
    samples = sorted(evaluation["samples"][task], key=lambda sample: _place_of(sample["source"]))
    return {
        "scores": [sample["scores"] for sample in samples],
        "is_greedy": [sample["is_exact_match"] for sample in samples],
        "metrics": evaluation["results"][task],
    }


def _place_of(source: str) -> int:
    return int(re.findall(r"(?:line|row) (\d+)", source)[-1])


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Return in what two answers differ."""
    found = []
    if list(map(len, ours["scores"])) != list(map(len, theirs["scores"])):
        return ["other numbers of choices"]
    if relative_difference(ours["scores"], theirs["scores"]) > TOLERANCE:
        found.append("log-likelihoods")
    if ours["is_greedy"] != theirs["is_greedy"]:
        found.append("greedy decoding")
    for name in _shared_metrics(ours, theirs) if not _is_close_call(theirs) else ():
        here, there = ours["metrics"][name], theirs["metrics"][name]
        if abs(here - there) > (_CLOSE if name in _OF_PREDICTIONS else TOLERANCE * max(1.0, abs(there))):
            found.append(f"{name}: {here:.6g} here, {there:.6g} there")
    return found


def _is_close_call(answer: Mapping[str, Any]) -> bool:
    """Whether rounding decides which of a document's choices is best, as where two are one text."""
    best = (sorted(scores)[-2:] for scores in answer["scores"] if len(scores) > 1)
    return any(high - low <= TOLERANCE for low, high in best)


def _shared_metrics(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    return [name for name in theirs["metrics"] if name in ours["metrics"] and theirs["metrics"][name] is not None]


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what functions in task files, and hundreds of runs, would tell."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def compare_all(python: Path, model: Path, files: Sequence[TaskFile]) -> dict[str, Any]:
    """Evaluate on both sides and return what came out.

    Raises:
        UnavailableError: the harness doesn't run.
    """
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        without = write_data(files, data)
        tasks = [task for file in files if (task := str(file.keys["task"])) not in without]
        print(f"rows were found for {len(tasks)} of {len(files)} tasks", file=sys.stderr, flush=True)
        theirs = evaluate_theirs(python, model, data, tasks, apart=True)
        without |= {task: f"fails there: {why}" for task, why in theirs["failed"].items()}
        equal, unequal, metrics = [], {}, Counter[str]()
        for task, there in theirs["tasks"].items():
            try:
                here = evaluate_ours(model, data, task_folder(python), task)
            except ConfigurationError as error:
                without[task] = f"refused here: {first_line(error)}"
                continue
            metrics.update(_shared_metrics(here, there))
            if found := differences(here, there):
                unequal[task] = found
            else:
                equal.append(task)
    return {"versions": theirs["versions"], "equal": equal, "unequal": unequal, "metrics": metrics, "without": without}


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and return the exit status."""
    parser = make_parser(__doc__)
    add_harness_place(parser)
    parser.add_argument("--model", type=Path, default=MODEL, help="a checkpoint (%(default)s)")
    parser.add_argument("--most", type=positive, default=400, metavar="N", help="tasks at most (%(default)s)")
    parser.add_argument("--tasks", nargs="+", default=(), metavar="TASK", help="only these")
    args = parser.parse_args(arguments)
    try:
        python = find_python(args.python, args.env)
        files = choose_files(task_folder(python), args.most if not args.tasks else _ALL)
        files = [file for file in files if not args.tasks or file.keys["task"] in args.tasks]
        with _quiet():
            found = compare_all(python, args.model.resolve(), files)
    except UnavailableError as error:
        print(f"nothing compared, lm-eval is not available: {error}", file=sys.stderr)
        return 2
    print(f"{len(found['equal'])} tasks are equal, {len(found['unequal'])} not, {len(found['without'])} not compared")
    print(f"metrics compared: {', '.join(f'{name} {number}' for name, number in found['metrics'].most_common())}")
    for task, differing in found["unequal"].items():
        print(f"NOT EQUAL  {task}: {'; '.join(differing)}")
    for task, why in found["without"].items():
        print(f"not compared  {task}: {why}")
    write_figures(args.out, found)
    return 0 if not found["unequal"] else 1


if __name__ == "__main__":
    sys.exit(main())
