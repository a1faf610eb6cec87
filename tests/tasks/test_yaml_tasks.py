"""Task files: what their keys do, and that what is wrong with them is told with file, key and remedy."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lm_eval.config.limit import Limit
from lm_eval.config.run_config import RunConfig
from lm_eval.config.settings import VectorSettings
from lm_eval.contexts.encoding_schemes import build_context
from lm_eval.errors import ConfigurationError, DataError
from lm_eval.tasks.base import Example, Task
from lm_eval.tasks.documents import read_split, select_documents
from lm_eval.tasks.registry import TASKS, expand_tasks, find_groups, find_task
from tests.support.runs import canonical, identify
from tests.support.worlds import write_rows

BASE = {
    "task": "quiz",
    "dataset_path": "some/quiz",
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": '"{{question}} is"',
    "doc_to_choice": "choices",
    "doc_to_target": "gold",
}
ROW = {"question": "Snow", "choices": ["white", "black"], "gold": 0}


def write_task(folder: Path, name: str = "quiz.yaml", **changes: Any) -> Path:
    """Write a task file; a key that is None stays out."""
    keys = {**BASE, **changes}
    path = folder / name
    path.write_text("".join(f"{key}: {value}\n" for key, value in keys.items() if value is not None))
    return path


def config(folder: Path, task: str = "quiz", model: str = "hf", **changes: Any) -> RunConfig:
    vectors = {"dist_sim": VectorSettings.parse(word_agg_scheme="mean", similarity_func="dot_product"),
               "dist_gen": VectorSettings.parse(word_agg_scheme="mean"), "hf": VectorSettings()}[model]  # fmt: skip
    scheme = None if model == "hf" else "concat_each_example"
    named = {"pretrained": str(folder), "encoding_scheme": scheme, "vectors": vectors, **changes}
    return RunConfig(model=model, task=task, include_path=str(folder), data_dir=str(folder), **named)


def find(folder: Path, task: str = "quiz", model: str = "hf") -> Task:
    return find_task(model, task, str(folder))


def read(folder: Path, *rows: dict[str, Any]) -> tuple[Example, ...]:
    """The examples of rows, by the task file of a folder."""
    write_rows(folder / "quiz" / "test.jsonl", rows or [ROW])
    return tuple(read_split(find(folder).dataset, "test", str(folder)))


def expand(names: list[str], model: str, folder: Path) -> list[str]:
    return expand_tasks(names, find_groups(names, model, str(folder)))


def text_of(folder: Path, example: Example, *shots: Example) -> str:
    (sample,) = build_context(find(folder).dataset, example, shots, "cross_encoding").samples
    return "".join(sample)


# --- what keys do ---


def test_a_file_becomes_a_task_in_three_forms(tmp_path):
    write_task(tmp_path, metadata="{version: 2.5}")
    for model, name, form in [("hf", "quiz", "standard"), ("dist_sim", "quiz_d", "similarity"),
                              ("dist_gen", "quiz_dg", "generation")]:  # fmt: skip
        task = find(tmp_path, name, model)
        assert (task.name, task.form, task.version, task.dataset.name) == (name, form, 2.5, "quiz")
    assert find(tmp_path).metrics == ("acc", "acc_norm_own")
    assert read(tmp_path) == (Example(question=("Snow is",), choices=(" white", " black"), gold=(0,), lengths=(5, 5)),)


@pytest.mark.parametrize(
    ("changes", "row", "question", "choices", "gold"),
    [
        ({"doc_to_text": "question"}, {}, "Snow", (" white", " black"), (0,)),
        ({"doc_to_text": '"{{question|upper}}\\n"'}, {}, "SNOW\n", (" white", " black"), (0,)),
        ({"target_delimiter": '""'}, {}, "Snow is", ("white", "black"), (0,)),
        ({"target_delimiter": '"\\n"'}, {}, "Snow is", ("\nwhite", "\nblack"), (0,)),
        ({"doc_to_choice": "[yes it is, 'no']"}, {}, "Snow is", (" yes it is", " no"), (0,)),
        ({"doc_to_choice": "{a: yes it is, b: 'no'}"}, {}, "Snow is", (" yes it is", " no"), (0,)),
        ({"doc_to_choice": "\"{{[choices[1], 'it''s' ]}}\"".replace("''", "\\\\'")}, {}, "Snow is", (" black", " it's"), (0,)),  # noqa: E501
        ({"doc_to_choice": "\"\\n{{('yes', 'no')}}\\n\""}, {}, "Snow is", (" yes", " no"), (0,)),
        ({"doc_to_target": "1"}, {}, "Snow is", (" white", " black"), (1,)),
        ({"doc_to_target": "'{{gold + 1}}'"}, {}, "Snow is", (" white", " black"), (1,)),
        ({}, {"gold": "black"}, "Snow is", (" white", " black"), (1,)),
        ({}, {"gold": [1, 0]}, "Snow is", (" white", " black"), (1, 0)),
        ({"doc_to_target": "'{{[0, 1]}}'"}, {}, "Snow is", (" white", " black"), (0, 1)),
        ({}, {"gold": True}, "Snow is", (" white", " black"), (1,)),
        ({"doc_to_text": "'{{question | regex_replace(\"[a-z]+\", \"?\")}}'"}, {}, "S?", (" white", " black"), (0,)),
        ({"doc_to_text": "'{{question}}'"}, {"question": "42"}, "42", (" white", " black"), (0,)),
    ],
)  # fmt: skip
def test_question_choices_and_target_come_from_templates_fields_or_lists(
    changes, row, question, choices, gold, tmp_path
):
    write_task(tmp_path, **changes)
    (example,) = read(tmp_path, {**ROW, **row})
    assert (example.question, example.choices, example.gold) == ((question,), choices, gold)


def test_functions_beside_the_file_prepare_rows_and_make_values(tmp_path):
    (tmp_path / "tools.py").write_text(
        "def keep(rows):\n    return rows.filter(lambda row: row['question'] != 'Coal')\n\n\n"
        "def ask(row):\n    return f\"What colour has {row['question']}?\"\n\n\n"
        "def right(row):\n    return row['choices'].index('white')\n"
    )
    write_task(tmp_path, process_docs="!function tools.keep", doc_to_text="!function tools.ask",
               doc_to_target="!function tools.right")  # fmt: skip
    examples = read(tmp_path, {**ROW, "question": "Coal"}, {**ROW, "choices": ["black", "white"]})
    assert [example.question for example in examples] == [("What colour has Snow?",)]
    assert examples[0].gold == (1,)
    assert examples[0].source.endswith("test.jsonl, row 0 of what process_docs returned")


def test_an_answer_hint_is_cut_off_the_question_and_changes_no_text(tmp_path):
    write_task(tmp_path, answer_hint='" is"')
    (example,) = read(tmp_path)
    dataset = find(tmp_path).dataset
    assert example.question == ("Snow",)
    assert text_of(tmp_path, example) == "Snow is"
    assert build_context(dataset, example, (example,), "segment_each_example").samples == (
        ("Snow", " is white"), ("Snow", " is"),
    )  # fmt: skip


def test_a_description_stands_before_the_shots_without_a_delimiter(tmp_path):
    write_task(tmp_path, description='"On {{question}}: "', fewshot_delimiter='" | "')
    snow, coal = read(tmp_path, ROW, {**ROW, "question": "Coal", "gold": 1})
    assert text_of(tmp_path, snow) == "On Snow: Snow is"
    assert text_of(tmp_path, snow, coal) == "On Snow: Coal is black | Snow is"
    dataset = find(tmp_path).dataset
    assert build_context(dataset, snow, (coal,), "concat_each_example", "Think.").samples == (
        ("Think.",), ("On Snow: ",), ("Coal is black",), ("Snow is",),
    )  # fmt: skip


def test_schemes_that_cut_alike_without_a_description_are_kept_apart_with_one(tmp_path):
    write_task(tmp_path, description="Colours.")
    write_task(tmp_path, "bare.yaml", task="bare")
    assert canonical(config(tmp_path, "quiz_dg", "dist_gen")).encoding_scheme == "concat_each_example"
    assert canonical(config(tmp_path, "bare_dg", "dist_gen")).encoding_scheme == "concat_all_examples"


def test_where_the_choices_are_contexts_a_shot_shows_the_right_one(tmp_path):
    write_task(tmp_path, doc_to_text="'{{gold}}'", doc_to_choice="'{{[question + choices[0], question + choices[1]]}}'",
               doc_to_target="after")  # fmt: skip
    first, second = read(
        tmp_path, {**ROW, "after": "it is"}, {**ROW, "question": "Coal ", "gold": 1, "after": "not so"}
    )
    assert (first.contexts, first.choices, first.gold) == (("Snowwhite", "Snowblack"), (" it is",) * 2, (0,))
    assert text_of(tmp_path, first.of_choice(1), second) == "Coal black not so\n\nSnowblack"


def test_a_task_without_choices_scores_its_target_as_it_stands(tmp_path):
    write_task(tmp_path, output_type="loglikelihood", doc_to_choice=None, doc_to_target="' {{choices[0]}}'")
    assert read(tmp_path) == (Example(question=("Snow is",), choices=(" white",), gold=(0,)),)
    assert find(tmp_path).metrics == ("acc_em", "perplexity")
    assert find(tmp_path, "quiz_dg", "dist_gen").metrics == ("acc_em", "perplexity")
    with pytest.raises(ConfigurationError, match="does similarity; it has no choices to compare for similarity"):
        find(tmp_path, "quiz_d", "dist_sim")


def shots(folder: Path, num_fewshot: int) -> list[tuple[str, ...]]:
    documents = select_documents(find(folder).dataset, str(folder), num_fewshot, Limit())
    return [tuple(shot.question[0] for shot in document.shots) for document in documents]


def test_shots_come_from_the_split_that_the_file_names_first_or_drawn(tmp_path):
    for split in ("train", "validation", "dev"):
        write_rows(tmp_path / "quiz" / f"{split}.jsonl", [{**ROW, "question": f"{split}{n}"} for n in range(3)])
    splits = {"training_split": "train", "validation_split": "validation"}
    for changes, prefix in [({"fewshot_split": "dev"}, "dev"), ({}, "train"), ({"training_split": None}, "validation"),
                            ({"fewshot_config": "{split: dev}"}, "dev")]:  # fmt: skip
        write_task(tmp_path, **{**splits, **changes})
        read(tmp_path)
        assert all(shot.startswith(prefix) for shot in shots(tmp_path, 2)[0]), changes
    write_task(tmp_path, fewshot_split="dev", fewshot_config="{sampler: first_n}")
    assert shots(tmp_path, 2) == [("dev0 is", "dev1 is")]
    write_task(tmp_path, fewshot_config="{sampler: first_n}")
    read(tmp_path, ROW, {**ROW, "question": "Coal"})
    assert sorted(shots(tmp_path, 1)) == [("Coal is",), ("Snow is",)]  # never the document itself


def test_a_file_may_bring_shots_of_its_own(tmp_path):
    samples = "[{question: Milk, choices: [white, red], gold: 0}]"
    write_task(tmp_path, training_split="train", fewshot_config=f"{{sampler: first_n, samples: {samples}}}")
    read(tmp_path)
    assert shots(tmp_path, 1) == [("Milk is",)]
    with pytest.raises(ConfigurationError, match="num_fewshot=2: quiz has only 1 rows to draw shots from"):
        shots(tmp_path, 2)


def test_what_is_not_supported_of_shots_matters_only_where_there_are_any(tmp_path):
    write_task(tmp_path, training_split="train", fewshot_config="{doc_to_text: x, sampler: balanced}")
    read(tmp_path)
    assert shots(tmp_path, 0) == [()]
    with pytest.raises(
        ConfigurationError, match=r"num_fewshot=1: .*quiz.yaml: fewshot_config: sampler 'balanced' is not"
    ):
        shots(tmp_path, 1)


def test_what_is_left_out_is_noted(tmp_path):
    metrics = "[{metric: acc}, {metric: rouge}, {metric: acc_norm, aggregation: median}]"
    there_are = "there are acc, acc_norm, acc_bytes, exact_match, f1, mcc"
    path = write_task(tmp_path, num_fewshot=5, metric_list=metrics)
    task = find(tmp_path)
    assert task.metrics == ("acc",)
    assert task.notes == (
        f"{path}: num_fewshot: 5 is left out: shots are what --num_fewshot says",
        f"{path}: metric_list: rouge is left out: {there_are}",
        f"{path}: metric_list: acc_norm by median is left out: {there_are}",
    )


# --- which file ---


def test_a_file_takes_keys_from_those_that_it_includes_and_its_own_win(tmp_path):
    (tmp_path / "base").write_text(
        "dataset_path: a\ntest_split: test\noutput_type: multiple_choice\ndoc_to_target: 0\n"
    )
    (tmp_path / "more").write_text("include: base\ndataset_path: b\ndoc_to_text: question\ndoc_to_choice: choices\n")
    (tmp_path / "quiz.yaml").write_text("include: [base, more]\ntask: quiz\ndoc_to_target: 1\n")
    assert find(tmp_path).dataset.hub_path == "b"
    assert read(tmp_path)[0].gold == (1,)


def test_a_users_task_wins_over_a_built_in_one_of_its_name(tmp_path):
    write_task(tmp_path, task="piqa")
    assert find(tmp_path, "piqa").dataset.hub_path == "some/quiz"
    assert find(tmp_path, "sciq_d", "dist_sim") is TASKS["sciq_d"]


def test_groups_and_tags_stand_for_their_tasks(tmp_path):
    (tmp_path / "template").write_text("tag: [science, all_tags]\n")
    for name in ("one", "two", "three"):
        write_task(tmp_path, f"{name}.yaml", task=name, **({"include": "template"} if name != "three" else {}))
    (tmp_path / "group.yaml").write_text("group: both\ntask: [three, inner, {task: one, task_alias: first}]\n")
    (tmp_path / "inner.yaml").write_text("group: inner\ntask:\n- science\n- group: nested\n  task: [two]\n")
    assert expand(["science_d"], "dist_sim", tmp_path) == ["one_d", "two_d"]
    assert expand(["both_dg", "piqa_dg"], "dist_gen", tmp_path) == [
        "three_dg",
        "one_dg",
        "two_dg",
        "piqa_dg",
    ]
    assert expand(["both_dg"], "dist_sim", tmp_path) == ["both_dg"]
    with pytest.raises(ConfigurationError, match=r"unknown task 'both_dg' .*; for similarity choose from hellaswag_d"):
        find(tmp_path, "both_dg", "dist_sim")


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("task: [quizz]", "task of group 'g': 'quizz' is neither a task, a group nor a tag in"),
        ("task: [g]", "group 'g' is part of itself (g → g)"),
        ("task: [{task: quiz, dataset_name: x}]", "an entry with dataset_name changes a task, which is not supported"),
        ("task: [3]", "task of group 'g': each entry must be a name, got 3"),
    ],
)
def test_a_group_that_cannot_be_followed_is_refused(group, message, tmp_path):
    write_task(tmp_path)
    (tmp_path / "g.yaml").write_text(f"group: g\n{group}\n")
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        expand(["g"], "hf", tmp_path)


def test_a_name_of_two_files_is_refused_only_where_it_is_asked_for(tmp_path):
    write_task(tmp_path)
    first, second = write_task(tmp_path, "a.yaml", task="twice"), write_task(tmp_path, "b.yaml", task="twice")
    find(tmp_path)
    message = f"task: 'twice' is defined by {first} and {second}; rename one of them, or give a narrower include_path"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        find(tmp_path, "twice")


def test_a_broken_file_matters_only_where_a_task_is_not_found(tmp_path):
    write_task(tmp_path)
    (tmp_path / "bad.yaml").write_text("task: [quizz\n")
    find(tmp_path)
    with pytest.raises(
        ConfigurationError, match=r"\(did you mean 'quiz'\?\); not readable there: .*bad.yaml, line 2: not"
    ):
        find(tmp_path, "quizz")


def test_a_folder_that_is_none_or_holds_no_task_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="holds no task file"):
        find(tmp_path)
    with pytest.raises(ConfigurationError, match=r"include_path: .*nowhere is not a folder"):
        find(tmp_path / "nowhere")


def test_a_file_that_is_written_again_counts_as_it_is_then(tmp_path):
    write_task(tmp_path)
    before = find(tmp_path)
    write_task(tmp_path, doc_to_text='"{{question}} looks"')
    assert read(tmp_path)[0].question == ("Snow looks",)
    assert find(tmp_path).definition != before.definition


# --- what is wrong with a file ---

WRONG_FILES = [
    ({"doc_to_text": '"{{question"'}, "doc_to_text, line 1 of the template: unexpected end of template"),
    ({"metric_list": [{"metric": "acc", "aggregate": "mean"}]}, "metric_list[0]: unknown key 'aggregate' (did you mean 'aggregation'?)"),  # noqa: E501
    ({"fewshot_config": {"smapler": "first_n"}}, "fewshot_config: unknown key 'smapler' (did you mean 'sampler'?)"),
    ({"fewshot_config": {"fewshot_delimiter": 7}}, "fewshot_config: fewshot_delimiter must be text, got 7"),
    ({"doc_to_txt": "x"}, "unknown key 'doc_to_txt' (did you mean 'doc_to_text'?); choose from include, task, dataset_path"),  # noqa: E501
    ({"test_split": "3"}, "test_split must be a split's name or null, got 3"),
    ({"doc_to_choice": "5.5"}, "doc_to_choice must be a template or a field's name or a number or a list or !function"),
    ({"dataset_kwargs": "[a]"}, "dataset_kwargs must be KEY: value lines or null, got ['a']"),
    ({"process_docs": "keep"}, "process_docs must be !function, got 'keep'"),
    ({"process_docs": "!function tools.keep"}, "process_docs: !function tools.keep: {folder}/tools.py does not exist"),
    ({"dataset_path": None}, "dataset_path is missing; add a line dataset_path: …"),
    ({"doc_to_choice": None}, "doc_to_choice is missing; output_type multiple_choice needs it"),
    ({"test_split": None}, "neither test_split nor validation_split is there"),
    ({"output_type": "generate_until"}, "output_type is 'generate_until', which is not supported; only tasks of multiple_"),  # noqa: E501
    ({"output_type": None}, "output_type is missing, which means generate_until, which is not supported"),
    ({"filter_list": "[a]"}, "filter_list is not supported, and scores without it would differ"),
    ({"metric_list": "[acc]"}, "metric_list[0] must have a metric: NAME, got 'acc'"),
    ({"include": "other.yaml"}, "include: {folder}/other.yaml cannot be read (No such file or directory); correct the path"),  # noqa: E501
    ({"include": "quiz.yaml"}, "include: the files include each other ({folder}/quiz.yaml → {folder}/quiz.yaml)"),
    ({"fewshot_config": "{split: 3}"}, "fewshot_config: split must be a split's name, got 3"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), WRONG_FILES)
def test_a_wrong_file_is_refused_with_its_path_the_key_and_the_remedy(changes, message, tmp_path):
    path = write_task(tmp_path, **changes)
    with pytest.raises(ConfigurationError) as caught:
        find(tmp_path)
    assert str(path) in str(caught.value)
    assert message.replace("{folder}", str(tmp_path)) in str(caught.value)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import nowhere_to\n", "'nowhere_to'); install it: python -m pip install nowhere-to"),
        ("def f(:\n", "cannot be imported (SyntaxError"),
        ("from lm_eval.tasks.nowhere import x\n", "to the upstream harness; give its whole folder of task files"),
        ("from json.nowhere import x\n", "the installed json has no such module; correct the import"),
        ("def other(row): ...\n", "tools.py has no function 'keep'; it has other"),
    ],
)  # fmt: skip
def test_python_that_cannot_be_used_is_named(code, message, tmp_path):
    (tmp_path / "tools.py").write_text(code)
    path = write_task(tmp_path, doc_to_text="!function tools.keep")
    with pytest.raises(ConfigurationError, match=re.escape(message)) as caught:
        find(tmp_path)
    assert f"{path}: doc_to_text: !function tools.keep" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: quiz\n  a: b\n", ", line 2: not valid YAML (mapping values are not allowed in this context)"),
        ("- quiz\n", ": it must hold KEY: value lines, got ['quiz']"),
        (
            "task: quiz\ntest_split: a\ntest_split: b\n",
            ", line 3: not valid YAML (key 'test_split' is given twice, with",
        ),
        ("task: quiz\nmetadata: !other x\n", ", line 2: not valid YAML (could not determine a constructor for the tag"),
    ],
)
def test_a_file_that_is_no_yaml_is_named_with_its_line(text, message, tmp_path):
    (tmp_path / "quiz.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match="not readable there") as caught:
        find(tmp_path)
    assert f"{tmp_path / 'quiz.yaml'}{message}" in str(caught.value)


# --- what is wrong with a row ---

WRONG_ROWS = [
    ({"doc_to_text": "'{{questoin}}'"}, {}, "doc_to_text of {file}: 'questoin' is undefined; the row has question, choices, gold"),  # noqa: E501
    ({"doc_to_text": "'{{question / 2}}'"}, {}, "doc_to_text of {file}: TypeError: unsupported operand"),
    ({"doc_to_text": "gold"}, {}, "doc_to_text of {file} must give text, got 0"),
    ({"doc_to_choice": "'{{[question, nope]}}'"}, {}, "doc_to_choice of {file}: 'nope' is undefined; the row has question"),  # noqa: E501
    ({}, {"gold": 2}, "doc_to_target of {file} must be an index into 2 choices, from 0, got 2; correct it or the row"),
    ({}, {"gold": -1}, "doc_to_target of {file} must be an index into 2 choices, from 0, got -1"),
    ({}, {"gold": [0, 5]}, "doc_to_target of {file} must be an index into 2 choices, from 0, got [0, 5]"),
    ({}, {"gold": []}, "doc_to_target of {file} must name at least one right choice, got []"),
    ({}, {"gold": "grey"}, "doc_to_target of {file} must be one of the choices ['white', 'black'] or an index, got 'grey'"),  # noqa: E501
    ({}, {"gold": None}, "doc_to_target of {file} must be an index into 2 choices"),
    ({}, {"choices": "white"}, "doc_to_choice of {file} must give a list of texts, got 'white'"),
    ({}, {"choices": []}, "doc_to_choice of {file} must give a list of texts, got []"),
    ({}, {"choices": ["white", 3]}, "doc_to_choice of {file} must give a list of texts, none of them empty: [1] is not, got 3"),  # noqa: E501
    ({}, {"choices": ["white", " "]}, "doc_to_choice of {file} must give a list of texts, none of them empty: [1] is not"),  # noqa: E501
    ({"doc_to_choice": "'{{question}}'"}, {}, "doc_to_choice of {file} must give a list of texts, got 'Snow'"),
    ({"answer_hint": "'A:'"}, {}, "doc_to_text of {file} must end in answer_hint ('A:'), got 'Snow is'"),
    ({"doc_to_text": "'{{gold}}'", "doc_to_target": "question"}, {"gold": 3}, "doc_to_text of {file} must be an index into 2"),  # noqa: E501
    ({"description": "'{{nothing}}'"}, {}, "description of {file}: 'nothing' is undefined"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "row", "message"), WRONG_ROWS)
def test_a_row_that_breaks_a_rule_is_named_with_file_and_key(changes, row, message, tmp_path):
    path = write_task(tmp_path, **changes)
    with pytest.raises(DataError) as caught:
        read(tmp_path, {**ROW, **row})
    place = f"{tmp_path / 'quiz' / 'test.jsonl'}, line 1: "
    assert str(caught.value).startswith(place + message.replace("{file}", str(path)))


def test_a_function_that_fails_on_rows_is_named(tmp_path):
    (tmp_path / "tools.py").write_text("def keep(rows):\n    return rows['missing']\n")
    write_task(tmp_path, process_docs="!function tools.keep")
    with pytest.raises(DataError, match=r"test.jsonl: process_docs of .*quiz.yaml: ValueError: .* correct tools.keep"):
        read(tmp_path)


# --- identity ---


def identity(folder: Path, **changes: Any) -> dict[str, Any]:
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    (folder / "model.safetensors").write_text("weights")
    write_rows(folder / "quiz" / "test.jsonl", [ROW])
    return identify(config(folder, **changes))


def test_a_definition_is_known_by_its_content_not_by_its_place(tmp_path):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        write_task(tmp_path / name, process_docs="!function tools.keep", tag=name)
        (tmp_path / name / "tools.py").write_text("def keep(rows):\n    return rows\n")
    here = identity(tmp_path / "here")
    assert identity(tmp_path / "there") == here
    (tmp_path / "there" / "tools.py").write_text("def keep(rows):\n    return rows.select([0])\n")
    assert identity(tmp_path / "there")["task_definition"] != here["task_definition"]


def test_tasks_that_are_modules_have_the_identity_that_they_always_had(data_dir, tmp_path):
    write_task(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    found = replace(config(tmp_path, task="hellaswag"), data_dir=str(data_dir))
    assert "task_definition" not in identify(found)
    assert identify(found) == identify(replace(found, include_path=None))
