#!/usr/bin/env python3
"""How many times faster `cross_encoding` is than EleutherAI's lm-evaluation-harness, measured side by side in one run.

Both score the same strings, rendered by this project (HellaSwag, 5 shots), with the same random model of GPT-2 small's
shape, in float32 on all cores, and must agree. Loading isn't measured. The harness (`lm-eval` on the package index) is
a package `lm_eval` too, so it has an environment and a process of its own: `--python` names one that is at hand,
otherwise one is made in the folder `--env`.

Exit status: 0 where both agree, 1 where they don't, 2 where the harness can't be had.
"""

import argparse
import copy
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

TOP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP)]

from bench import time_engine  # noqa: E402

from benchmarks.subjects import Subject, gpt2_small  # noqa: E402
from lm_eval.common.text import format_pairs  # noqa: E402
from lm_eval.config.run_config import RunConfig  # noqa: E402
from lm_eval.contexts.encoding_schemes import build_context  # noqa: E402
from lm_eval.tasks.documents import Document, select_documents  # noqa: E402
from lm_eval.tasks.registry import find_task  # noqa: E402

SHOTS = 5
AT_LEAST = 2.5
"""Times the documents a second of the harness."""
TOLERANCE = 1e-3
"""Between log-likelihoods, relative where one is larger than 1."""
TASK = "same_texts"
TASK_YAML = f"""\
task: {TASK}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {{documents}}
test_split: test
output_type: multiple_choice
num_fewshot: 0
doc_to_text: context
doc_to_choice: choices
doc_to_target: gold
target_delimiter: ""
metric_list:
  - metric: acc
  - metric: acc_norm
"""


class UnavailableError(Exception):
    """The harness can't be installed or doesn't run; says why."""


def requirements() -> list[str]:
    """Return what the harness's environment holds; torch and transformers are ours, so that they make no difference."""
    ours = {"torch": torch.__version__.partition("+")[0], "transformers": transformers.__version__}
    return ["lm-eval[hf]==0.4.13", *(f"{name}=={version}" for name, version in ours.items())]


def has_harness(python: Path) -> bool:
    """Whether an interpreter is there and has the harness; told by a module that this project hasn't."""
    if not python.is_file():
        return False
    code = "import sys, importlib.util as util; sys.exit(util.find_spec('lm_eval.models.huggingface') is None)"
    return subprocess.run([python, "-I", "-c", code], capture_output=True, check=False).returncode == 0  # noqa: S603


def make_env(folder: Path) -> Path:
    """Return the interpreter of the environment in a folder; make it unless the harness is there already.

    Raises:
        UnavailableError: it can't be made, or the harness not be installed.
    """
    python = folder.absolute() / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if has_harness(python):
        return python
    print(f"installing {' '.join(requirements())} in {folder}", file=sys.stderr, flush=True)
    for step in ([sys.executable, "-m", "venv", folder], [python, "-m", "pip", "install", "-qq", *requirements()]):
        done = subprocess.run(step, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise UnavailableError(f"{' '.join(map(str, step[1:]))} failed: {_last_line(done.stderr)}")
    return python


def find_python(python: Path | None, env: Path) -> Path:
    """Return the interpreter that was named, else that of the environment in a folder.

    Raises:
        UnavailableError: it lacks the harness, or the environment can't be made.
    """
    if python is None:
        return make_env(env)
    if not has_harness(python):
        raise UnavailableError(f"{python} isn't a Python that has it; leave --python out to make an environment")
    return python.absolute()


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no message"


@dataclass(frozen=True)
class Scored:
    """What one side finds out in one evaluation."""

    seconds: float
    scores: Sequence[Sequence[float]]
    """Of each document, the log-likelihood of each choice."""
    metrics: dict[str, float]


class Harness:
    """The harness in a process of its own, with model and task loaded."""

    def __init__(self, python: Path, folder: Path, *, batch_size: int) -> None:
        options = {"model": folder / "model", "tasks": folder / "tasks", "task": TASK, "batch-size": batch_size,
                   "threads": torch.get_num_threads()}  # fmt: skip
        self._log = folder / "harness.log"
        # -I: neither this folder nor PYTHONPATH may put our lm_eval before the harness's
        command = [python, "-I", TOP / "benchmarks" / "upstream_driver.py"]
        command += [f"--{name}={value}" for name, value in options.items()]
        offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "hf")}
        try:
            with self._log.open("w") as log:
                self._process = subprocess.Popen(  # noqa: S603
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=folder,
                    env={**os.environ, **offline}, encoding="utf-8",
                )  # fmt: skip
        except OSError as error:
            raise UnavailableError(f"{python} can't be run: {error.strerror}") from error
        self.texts: list[list[list[str]]] = []
        """Context and choice of everything that the last evaluation scored."""

    def versions(self) -> dict[str, str]:
        """Wait until model and task are loaded, and return the versions of the harness's packages.

        Raises:
            UnavailableError: they can't be loaded.
        """
        return self._answer()

    def evaluate(self) -> Scored:
        """Evaluate once."""
        self._process.stdin.write("evaluate\n")
        self._process.stdin.flush()
        answer = self._answer()
        self.texts = answer["texts"]
        return Scored(answer["seconds"], answer["scores"], answer["metrics"])

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            raise UnavailableError(f"the harness ended: {_last_line(self._log.read_text(errors='replace'))}")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def harness_of(
    python: Path, subject: Subject, documents: Sequence[dict[str, Any]], batch_size: int
) -> Iterator[Harness]:
    """Give the harness model and documents in a temporary folder, and end it afterwards."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, subject, documents)
        harness = Harness(python, folder, batch_size=batch_size)
        try:
            yield harness
        finally:
            harness.close()


def write_inputs(folder: Path, subject: Subject, documents: Sequence[dict[str, Any]]) -> None:
    """Write model, tokenizer, documents and task."""
    subject.model.network.save_pretrained(folder / "model")
    tokenizer = copy.deepcopy(subject.model.tokenizer)
    if tokenizer.eos_token is None:  # the harness pads with it; it would give a tokenizer without one a new token
        tokenizer.eos_token = "<|endoftext|>"  # noqa: S105
    tokenizer.save_pretrained(folder / "model")
    path = folder / "documents.jsonl"
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    (folder / "tasks").mkdir()
    (folder / "tasks" / f"{TASK}.yaml").write_text(TASK_YAML.format(documents=json.dumps(str(path))))


def make_config(subject: Subject, documents: int) -> RunConfig:
    """Return the configuration that is measured."""
    return RunConfig.parse(
        model="dist_gen",
        model_args=format_pairs({"pretrained": "random"}),
        task="hellaswag_dg",
        task_args=format_pairs({"encoding_scheme": "cross_encoding", "data_dir": subject.data_dir}),
        num_fewshot=SHOTS,
        limit=documents,
    )


def render(config: RunConfig) -> list[dict[str, Any]]:
    """Return context, choices and gold of each document."""
    dataset = find_task(config.model, config.task, config.include_path).dataset
    found = select_documents(dataset, config.data_dir, config.num_fewshot, config.limit)

    def context(document: Document) -> str:
        return "".join(build_context(dataset, document.example, document.shots, config.encoding_scheme).samples[0])

    return [{"context": context(d), "choices": list(d.example.choices), "gold": d.example.gold[0]} for d in found]


def evaluate_ours(subject: Subject, config: RunConfig) -> Scored:
    """Evaluate once with the engine."""
    with torch.inference_mode():
        seconds, (evaluation,) = time_engine(subject, [config])
    scores = [sample["scores"] for sample in evaluation.samples()]
    return Scored(seconds, scores, {name: evaluation.metrics()[name] for name in ("acc", "acc_norm")})


def difference(ours: Scored, theirs: Scored) -> float:
    """Return the largest difference between log-likelihoods, relative where one is larger than 1."""
    pairs = (
        pair for mine, other in zip(ours.scores, theirs.scores, strict=True) for pair in zip(mine, other, strict=True)
    )
    return max(abs(a - b) / max(1.0, abs(b)) for a, b in pairs)


def measure(subject: Subject, config: RunConfig, harness: Harness, repetitions: int) -> dict[str, Any]:
    """Measure both in turn, each after a warm-up, and return medians.

    Where others use the machine, the fastest evaluation of each side tells more: it was disturbed least.
    """
    evaluate_ours(subject, config)
    harness.evaluate()
    pairs = [(evaluate_ours(subject, config), harness.evaluate()) for _ in range(repetitions)]
    faster = [theirs.seconds / ours.seconds for ours, theirs in pairs]
    fastest = min(theirs.seconds for _, theirs in pairs) / min(ours.seconds for ours, _ in pairs)
    count, (ours, theirs) = len(pairs[0][0].scores), pairs[-1]
    return {
        "work": "cross_encoding, 5 shots",
        "documents": count,
        "times lm-eval": round(statistics.median(faster), 2),
        "range": [round(min(faster), 2), round(max(faster), 2)],
        "fastest against fastest": round(fastest, 2),
        "at least": AT_LEAST,
        "seconds a document": round(statistics.median(mine.seconds for mine, _ in pairs) / count, 3),
        "seconds a document, lm-eval": round(statistics.median(other.seconds for _, other in pairs) / count, 3),
        "seconds of each evaluation": [round(mine.seconds, 2) for mine, _ in pairs],
        "seconds of each evaluation, lm-eval": [round(other.seconds, 2) for _, other in pairs],
        "largest difference": max(difference(*pair) for pair in pairs),
        "metrics": ours.metrics,
        "metrics, lm-eval": theirs.metrics,
    }


def format_row(row: dict[str, Any]) -> str:
    """Return a measurement as a line."""
    low, high = row["range"]
    mine, other = row["seconds a document"], row["seconds a document, lm-eval"]
    line = f"{row['work']:52} {row['times lm-eval']:7} ({low} to {high}) times lm-eval, wanted {row['at least']}"
    line += f"; fastest against fastest {row['fastest against fastest']}"
    line += f"; {mine} s a document, lm-eval {other}; largest difference {row['largest difference']:.1e}"
    figures = (f"{name} {row['metrics'][name]:.3g} and {row['metrics, lm-eval'][name]:.3g}" for name in row["metrics"])
    return f"{line}; {', '.join(figures)}"


def disagreements(row: dict[str, Any], texts: list[Any], documents: Sequence[dict[str, Any]]) -> list[str]:
    """Return in what the two sides differ, beyond speed."""
    found = []
    if texts != [[[d["context"], choice] for choice in d["choices"]] for d in documents]:
        found.append("lm-eval scored other strings")
    if row["largest difference"] > TOLERANCE:
        found.append(f"log-likelihoods differ by {row['largest difference']:.1e}, more than {TOLERANCE:.0e}")
    if row["metrics"] != row["metrics, lm-eval"]:
        found.append(f"metrics differ: {row['metrics']} and {row['metrics, lm-eval']}")
    return found


def main() -> int:
    """Measure and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--python", type=Path, help="the Python of an environment that has lm-eval")
    place.add_argument("--env", type=Path, default=TOP / "cache" / "lm-eval", help="where to make one (%(default)s)")
    parser.add_argument("--documents", type=int, default=8)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=4, help="rows a batch of lm-eval (%(default)s)")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    args = parser.parse_args()
    try:
        python = find_python(args.python, args.env)
        subject = gpt2_small()
        config = make_config(subject, args.documents)
        documents = render(config)
        with harness_of(python, subject, documents, args.batch_size) as harness:
            versions = harness.versions()
            row = measure(subject, config, harness, args.repetitions)
            differing = disagreements(row, harness.texts, documents)
    except UnavailableError as error:
        print(f"nothing measured, lm-eval is not to be had: {error}", file=sys.stderr)
        return 2
    print(format_row(row))
    print(f"lm-eval with {', '.join(f'{k} {v}' for k, v in versions.items())}, batches of {args.batch_size} rows; "
          f"here torch {torch.__version__}, transformers {transformers.__version__}; "
          f"{torch.get_num_threads()} threads")  # fmt: skip
    for text in differing:
        print(f"NOT COMPARABLE: {text}", file=sys.stderr)
    if args.out is not None:
        setting = {"threads": torch.get_num_threads(), "batch size, lm-eval": args.batch_size, "versions": versions}
        args.out.write_text(json.dumps({**setting, "rows": [row]}, indent=2) + "\n")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
