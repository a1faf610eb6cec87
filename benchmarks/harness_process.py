"""The harness with a model and a task loaded, in a process that answers as often as it is asked."""

import copy
import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from benchmarks.compare import Scores
from benchmarks.harness import UnavailableError, driver_command, last_line, offline
from benchmarks.subjects import Subject

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


@dataclass(frozen=True)
class Scored:
    """What one side finds out in one evaluation."""

    seconds: float
    scores: Scores
    """Of each document, the log-likelihood of each choice."""
    metrics: Mapping[str, float]


class Harness:
    """The harness in a process of its own, with model and task loaded."""

    def __init__(self, python: Path, folder: Path, model: Path, *, batch_size: int) -> None:
        self._log = folder / "harness.log"
        command = driver_command(
            python, "upstream_driver.py", model=model, tasks=folder / "tasks", task=TASK,
            batch_size=batch_size, threads=torch.get_num_threads(),
        )  # fmt: skip
        try:
            with self._log.open("w") as log:
                self._process = subprocess.Popen(  # noqa: S603
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=folder,
                    env=offline(folder), encoding="utf-8",
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
        questions = _pipe(self._process.stdin)
        questions.write("evaluate\n")
        questions.flush()
        answer = self._answer()
        self.texts = answer["texts"]
        return Scored(answer["seconds"], answer["scores"], answer["metrics"])

    def _answer(self) -> dict[str, Any]:
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise UnavailableError(f"the harness ended: {last_line(self._log.read_text(errors='replace'))}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def _pipe(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise RuntimeError("the process was started without pipes")
    return stream


@contextmanager
def harness_of(
    python: Path, subject: Subject, documents: Sequence[Mapping[str, Any]], batch_size: int
) -> Iterator[Harness]:
    """Give the harness documents in a temporary folder, and the model where it isn't in files; end it afterwards."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = subject.path or write_model(folder / "model", subject)
        write_task(folder, documents)
        harness = Harness(python, folder, model, batch_size=batch_size)
        try:
            yield harness
        finally:
            harness.close()


def write_model(folder: Path, subject: Subject) -> Path:
    """Write model and tokenizer."""
    subject.model.network.save_pretrained(folder)
    tokenizer = copy.deepcopy(subject.model.tokenizer)
    if tokenizer.eos_token is None:  # the harness pads with it; it would give a tokenizer without one a new token
        tokenizer.eos_token = "<|endoftext|>"  # noqa: S105
    tokenizer.save_pretrained(folder)
    return folder


def write_task(folder: Path, documents: Sequence[Mapping[str, Any]]) -> None:
    """Write documents and task."""
    path = folder / "documents.jsonl"
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    (folder / "tasks").mkdir()
    (folder / "tasks" / f"{TASK}.yaml").write_text(TASK_YAML.format(documents=json.dumps(str(path))))
