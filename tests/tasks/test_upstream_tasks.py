"""Tasks of files score what EleutherAI's lm-evaluation-harness recorded (`benchmarks.upstream_tasks --record`)."""

import json
from functools import cache
from pathlib import Path

import pytest

from lm_eval.config.run_config import RunConfig
from lm_eval.contexts.encoding_schemes import build_context
from lm_eval.evaluator import simple_evaluate
from lm_eval.tasks.documents import read_split
from lm_eval.tasks.registry import TASKS, find_task
from tests.support.paths import TOP
from tests.support.task_rows import rows
from tests.support.worlds import write_rows

MODEL = TOP / "demo" / "models" / "demo-gpt"
TOLERANCE = 1e-4

BUILT_IN = {
    **{
        name: name
        for name in ("arc_easy", "arc_challenge", "piqa", "winogrande", "openbookqa", "sciq", "copa", "boolq")
    },
    "commonsense_qa": "commonsense_qa",
    "storycloze": "storycloze_2016",
    "lambada": "lambada_openai",
}
"""Tasks of this project's own files, and the harness's of the same prompts."""

MMLU = {
    "template": """
dataset_path: somewhere/mmlu
test_split: test
fewshot_split: dev
fewshot_config: {sampler: first_n}
output_type: multiple_choice
doc_to_text: "{{question.strip()}}\\n{% for text in choices %}{{'ABCD'[loop.index0]}}. {{text}}\\n{% endfor %}Answer:"
doc_to_choice: [A, B, C, D]
doc_to_target: answer
metric_list: [{metric: acc}]
tag: every_subject
""",
    "group.yaml": "group: all_of_mmlu\ntask: [mmlu_anatomy, every_subject]\n",
    **{
        f"{name}.yaml": f"include: template\ntask: mmlu_{name}\ndescription: "
        f'"The following are multiple choice questions (with answers) about {name.replace("_", " ")}.\\n\\n"\n'
        for name in ("abstract_algebra", "anatomy", "astronomy")
    },
}


@cache
def recorded():
    return json.loads((TOP / "tests" / "tasks" / "recorded" / "upstream_tasks.json").read_text(encoding="utf-8"))[
        "tasks"
    ]


def requests(task: str, data_dir: Path, include_path: Path | None = None):
    """The context and the continuation of each choice of each row."""
    config = RunConfig(model="hf", pretrained="x", task=task, include_path=include_path and str(include_path))
    dataset = find_task(config.model, config.task, config.include_path).dataset
    found = []
    for example in read_split(dataset, dataset.evaluation_split, str(data_dir)):
        alone = [example.of_choice(index) for index in range(len(example.choices))] if example.contexts else [example]
        contexts = [build_context(dataset, one, (), "cross_encoding").samples for one in alone]
        texts = ["".join(text for sample in samples for text in sample) for samples in contexts]
        texts = texts if example.contexts else texts * len(example.choices)
        found.append([list(pair) for pair in zip(texts, example.choices, strict=True)])
    return found


def assert_equal(result, task, theirs):
    samples = sorted(result["samples"][task], key=lambda sample: int(sample["source"].rpartition(" ")[2]))
    for sample, scores, greedy in zip(samples, theirs["scores"], theirs["is_greedy"], strict=True):
        assert sample["scores"] == pytest.approx(scores, abs=TOLERANCE, rel=0)
        assert sample["is_exact_match"] == greedy
    for name, value in theirs["metrics"].items():
        if name in ("acc", "acc_norm"):
            assert result["results"][task][name] == value
        elif name == "perplexity":
            assert result["results"][task][name] == pytest.approx(value, rel=TOLERANCE)


def write_data(folder: Path, dataset: str, task: str, split: str) -> Path:
    write_rows(folder / task / f"{split}.jsonl", rows(dataset))
    return folder


@pytest.mark.parametrize("task", BUILT_IN)
def test_a_built_in_task_asks_and_scores_as_the_upstream_harness_does(task, tmp_path):
    write_data(tmp_path, task, task, TASKS[task].dataset.evaluation_split)
    theirs = recorded()[BUILT_IN[task]]
    assert requests(task, tmp_path) == theirs["requests"]
    result = simple_evaluate(
        model="hf",
        model_args=f"pretrained={MODEL},dtype=float32",
        tasks=task,
        task_args=f"data_dir={tmp_path}",
        device="cpu",
        log_samples=True,
    )
    assert_equal(result, task, theirs)


def test_a_group_with_descriptions_asks_and_scores_as_the_upstream_harness_does(tmp_path):
    for name, text in MMLU.items():
        (tmp_path / name).write_text(text)
    names = ["mmlu_anatomy", "mmlu_abstract_algebra", "mmlu_astronomy"]
    for name in names:
        write_data(tmp_path, "mmlu", name, "test")
        assert requests(name, tmp_path, tmp_path) == recorded()[name]["requests"]
    result = simple_evaluate(
        model="hf",
        model_args=f"pretrained={MODEL},dtype=float32",
        tasks="all_of_mmlu",
        task_args=f"data_dir={tmp_path}",
        include_path=str(tmp_path),
        device="cpu",
        log_samples=True,
    )
    assert list(result["results"]) == names
    mean = sum(recorded()[name]["metrics"]["acc"] for name in names) / 3  # of as many documents each
    assert result["groups"]["all_of_mmlu"] == {"acc": pytest.approx(mean)}
    for name in names:
        assert_equal(result, name, recorded()[name])


def test_the_hellaswag_of_the_task_files_form_is_the_built_in_one(tmp_path):
    (tmp_path / "cleaning.py").write_text(
        "from lm_eval.tasks.hellaswag import clean\n\n\n"
        "def process(rows):\n"
        "    return rows.map(lambda row: {\n"
        "        'asked': clean(f\"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}\"),\n"
        "        'cleaned': [clean(ending) for ending in row['endings']]})\n"
    )
    (tmp_path / "endings.yaml").write_text(
        "task: endings\ndataset_path: x/y\nvalidation_split: validation\noutput_type: multiple_choice\n"
        "process_docs: !function cleaning.process\n"
        "doc_to_text: asked\ndoc_to_choice: cleaned\ndoc_to_target: '{{label}}'\n"
    )
    write_data(tmp_path, "hellaswag", "endings", "validation")
    write_data(tmp_path, "hellaswag", "hellaswag", "validation")
    results = {}
    for task in ("endings", "hellaswag"):
        results[task] = simple_evaluate(
            model="hf",
            model_args=f"pretrained={MODEL},dtype=float32",
            tasks=task,
            task_args=f"data_dir={tmp_path}",
            include_path=str(tmp_path),
            device="cpu",
            log_samples=True,
        )
    assert requests("endings", tmp_path, tmp_path) == recorded()["hellaswag"]["requests"]
    assert_equal(results["endings"], "endings", recorded()["hellaswag"])
    assert results["hellaswag"]["results"]["hellaswag"]["acc"] == recorded()["hellaswag"]["metrics"]["acc"]
