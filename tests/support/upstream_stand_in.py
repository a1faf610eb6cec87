"""A stand-in for an environment with EleutherAI's lm-evaluation-harness: as much of it as the drivers call.

Its `evaluate` scores strings with transformers alone, one choice at a time, or answers what the harness once recorded.
"""

import shutil
import sys
from pathlib import Path

from lm_eval.models.model_list import DEMO
from tests.support import preloaded

TOP = DEMO.parent
RECORDING = TOP / "tests" / "tasks" / "recorded" / "upstream_tasks.json"

LIBRARIES = "import datasets\nfrom transformers import AutoTokenizer, GPT2LMHeadModel, LlamaForCausalLM"
"""What a harness that scores needs, as code."""

_INTERPRETER = """\
#!{python}
import runpy, sys
assert sys.argv[1] == "-I", "our lm_eval must not come before the harness's"
if {libraries!r} and __name__ == "__main__" and sys.argv[2] != "-c":
    sys.exit(runpy.run_path({preloaded!r})["go_on_in_copy"]({libraries!r}))
sys.path.insert(0, {folder!r})
if sys.argv[2] == "-c":
    exec(sys.argv[3])
else:
    del sys.argv[:2]
    runpy.run_path(sys.argv[0], run_name="__main__")
"""

_FILES = {
    "lm_eval/__init__.py": "",
    "lm_eval/api/__init__.py": "",
    "lm_eval/api/task.py": "class ConfigurableTask:\n    pass\n",
    "lm_eval/models/__init__.py": "",
    "lm_eval/models/huggingface.py": """\
class HFLM:
    def __init__(self, pretrained, gguf_file=None, **_):
        self.place = {"pretrained_model_name_or_path": pretrained, "gguf_file": gguf_file}
""",
    "lm_eval/tasks/__init__.py": """\
from pathlib import Path


class TaskManager:
    def __init__(self, include_path=None, include_defaults=True):
        self.folder = include_path

    def load(self, names):
        print("what the harness prints must not get between the answers")
        return (names, self.folder)
""",
    "lm_eval-0.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: lm-eval\nVersion: 0.0\n",
}

_SCORES = """\
import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


@torch.inference_mode()
def evaluate(model, tasks, bootstrap_iters):
    name, folder = tasks
    network = AutoModelForCausalLM.from_pretrained(**model.place, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(**model.place)

    def score(context, choice):
        before, after = tokenizer(context).input_ids, tokenizer(choice, add_special_tokens=False).input_ids
        logits = network(torch.tensor([before + after])).logits[0, len(before) - 1 : -1].log_softmax(-1)
        return sum(float(row[token]) for row, token in zip(logits, after))

    samples, hits, normalised = [], 0, 0
    for line in (Path(folder).parent / "documents.jsonl").read_text().splitlines():
        document = json.loads(line)
        scores = [score(document["context"], choice) for choice in document["choices"]]
        by_length = [one / len(choice) for one, choice in zip(scores, document["choices"])]
        hits += scores.index(max(scores)) == document["gold"]
        normalised += by_length.index(max(by_length)) == document["gold"]
        arguments = [[document["context"], choice] for choice in document["choices"]]
        responses = [[one, False] for one in scores]
        samples.insert(0, {"doc_id": len(samples), "arguments": arguments, "filtered_resps": responses})
    metrics = {"acc,none": hits / len(samples), "acc_norm,none": normalised / len(samples)}
    return {"samples": {name: samples}, "results": {name: metrics}}
"""

_RECORDED = """\
import json


def evaluate(model, tasks, bootstrap_iters):
    recorded = json.load(open(RECORDING, encoding="utf-8"))["tasks"]
    samples, results = {}, {}
    for name in tasks[0]:
        one = recorded[name]
        rows = zip(one["requests"], one["scores"], one["is_greedy"])
        samples[name] = [
            {"doc_id": number, "arguments": arguments, "filtered_resps": [list(pair) for pair in zip(scores, greedy)]}
            for number, (arguments, scores, greedy) in enumerate(rows)
        ][::-1]
        results[name] = {f"{key},none": value for key, value in one["metrics"].items()}
    return {"samples": samples, "results": results}
"""


_MADE_UP = """\
from types import SimpleNamespace

import torch
from lm_eval.api.task import ConfigurableTask
from transformers import AutoModelForCausalLM, AutoTokenizer


@torch.inference_mode()
def evaluate(model, tasks, bootstrap_iters):
    (name,), _ = tasks
    task = ConfigurableTask()
    task.config = SimpleNamespace(task=name)
    task.download()
    network = AutoModelForCausalLM.from_pretrained(**model.place, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(**model.place)

    def score(story, ending):
        before, whole = tokenizer(story).input_ids, tokenizer(story + " " + ending).input_ids
        logits = network(torch.tensor([whole])).logits[0, len(before) - 1 : -1].log_softmax(-1)
        after = whole[len(before) :]
        return [sum(float(row[token]) for row, token in zip(logits, after)), logits.argmax(-1).tolist() == after]

    samples, hits = [], 0
    for number, row in enumerate(task.dataset["test"]):
        answers = [score(row["story"], ending) for ending in row["endings"]]
        hits += max(range(len(answers)), key=lambda place: answers[place][0]) == row["label"]
        arguments = [[row["story"], " " + ending] for ending in row["endings"]]
        samples.append({"doc_id": number, "arguments": arguments, "filtered_resps": answers})
    return {"samples": {name: samples}, "results": {name: {"acc,none": hits / len(samples)}}}
"""

STORIES = """\
task: stories
dataset_path: any
output_type: multiple_choice
test_split: test
doc_to_text: "{{story}}"
doc_to_choice: "{{endings}}"
doc_to_target: "{{label}}"
metric_list: [{metric: acc}]
"""
"""A task file."""


def write_harness(folder: Path, evaluator: str, libraries: Path | None = None) -> Path:
    """Write a package `lm_eval` in place of the harness's, and return an interpreter that has it.

    Args:
        folder: for the package.
        evaluator: its module of that name.
        libraries: the socket of a Python that has them (`preloaded`); left out, what is needed is imported.
    """
    for name, text in {**_FILES, "lm_eval/evaluator.py": evaluator}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    place = str(libraries or "")
    text = _INTERPRETER.format(python=sys.executable, folder=str(folder), libraries=place, preloaded=preloaded.__file__)
    python = folder / "python"
    python.write_text(text, encoding="utf-8")
    python.chmod(0o755)
    return python


def write_scoring_harness(folder: Path, libraries: Path | None = None) -> Path:
    """Return the interpreter of a harness that scores documents of the form `upstream.py` writes."""
    return write_harness(folder, _SCORES, libraries)


def write_harness_of_stories(folder: Path, libraries: Path) -> Path:
    """Return the interpreter of a harness that has one task of its own and computes it, whatever the rows are."""
    python = write_harness(folder, _MADE_UP, libraries)
    (folder / "lm_eval" / "tasks" / "stories.yaml").write_text(STORIES, encoding="utf-8")
    return python


def write_recorded_harness(folder: Path) -> Path:
    """Return the interpreter of a harness that answers what was recorded, with task files of the same prompts."""
    python = write_harness(folder, f"RECORDING = {str(RECORDING)!r}\n{_RECORDED}")
    builtin = TOP / "lm_eval" / "tasks" / "builtin"
    shutil.copytree(builtin, folder / "lm_eval" / "tasks", dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.py"))
    return python
