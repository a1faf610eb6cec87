"""Metrics of task files and what else of the upstream harness's files is followed: functions, prefixes, imports."""

import re
import sys
from pathlib import Path

import pytest

from lm_eval.config.run_config import RunConfig
from lm_eval.errors import ConfigurationError, DataError
from lm_eval.tasks.base import Task
from lm_eval.tasks.documents import documents_of, read_split
from lm_eval.tasks.registry import find_task
from lm_eval.tasks.yaml_tasks.upstream_names import neighbours_of, weighted_f1_score
from tests.support.worlds import write_rows

ROW = {"question": "Snow", "choices": ["white", "black"], "gold": 0}
BASE = (
    "task: quiz\ndataset_path: some/quiz\ntest_split: test\noutput_type: multiple_choice\n"
    "doc_to_text: '{{question}} is'\ndoc_to_choice: choices\ndoc_to_target: gold\n"
)


def write(folder: Path, more: str = "", code: str | None = None) -> Path:
    if code is not None:
        (folder / "tools.py").write_text(code)
    write_rows(folder / "data" / "quiz" / "test.jsonl", [ROW])
    path = folder / "quiz.yaml"
    path.write_text(BASE + more)
    return path


def find(folder: Path, name: str = "quiz", model: str = "hf") -> Task:
    return find_task(model, name, str(folder))


def question(folder: Path) -> str:
    (example,) = read_split(find(folder).dataset, "test", str(folder / "data"))
    return "".join(example.question)


def test_a_key_of_a_metric_that_is_not_computed_does_no_harm(tmp_path):
    write(
        tmp_path, "metric_list: [{metric: acc, weight_by_size: true}, {metric: rouge, average: micro, anything: 1}]\n"
    )
    task = find(tmp_path)
    assert task.metrics == ("acc",)
    assert [note.partition("metric_list: ")[2].partition(":")[0] for note in task.notes] == ["rouge is left out"]


def test_f1_correlation_bytes_and_exact_matches_are_computed(tmp_path):
    write(tmp_path, "metric_list: [{metric: f1, average: binary}, {metric: mcc, aggregation: matthews_corrcoef}, "
          "{metric: acc_bytes, aggregation: mean}, {metric: exact_match}]\n")  # fmt: skip
    assert find(tmp_path).metrics == ("acc", "f1", "mcc", "acc_bytes_own", "exact_match")  # acc is always stated
    assert find(tmp_path, "quiz_dg", "dist_gen").metrics == ("acc", "rand_acc", "acc_norm", "em")


def test_an_aggregation_may_be_a_function(tmp_path):
    write(tmp_path, "metric_list: [{metric: acc}, {metric: f1, aggregation: !function tools.count}]\n",
          "def count(pairs):\n    return len(pairs)\n")  # fmt: skip
    own = find(tmp_path).own
    assert own.aggregations["f1"]([(0, 1), (1, 1)]) == 2
    assert find(tmp_path, "quiz_dg", "dist_gen").own is None


def test_an_aggregation_whose_module_is_missing_is_left_out_and_the_remedy_named(tmp_path):
    write(tmp_path, "metric_list: [{metric: acc}, {metric: f1, aggregation: !function tools.count}]\n",
          "import sklearn_of_another_world\n")  # fmt: skip
    task = find(tmp_path)
    assert task.metrics == ("acc",)
    assert "install it: python -m pip install sklearn-of-another-world" in task.notes[0]
    write(tmp_path, "metric_list: [{metric: f1, aggregation: !function tools.count}]\n")
    assert find(tmp_path).metrics == ("acc",)  # which is always stated


def test_process_results_is_tried_on_every_row_before_anything_is_scored(tmp_path):
    code = "def score(row, scored):\n    return {'acc': float(scored[row['gold']][0] == max(s for s, _ in scored))}\n"
    write(tmp_path, "process_results: !function tools.score\n", code)
    task = find(tmp_path)
    assert (task.metrics, task.own.made) == (("acc", "acc_norm"), ("acc", "acc_norm"))
    config = RunConfig(model="hf", pretrained="x", task="quiz", data_dir=str(tmp_path / "data"))
    (document,) = documents_of(config, task.dataset)
    assert document.example.row == ROW
    assert task.own.process_results(ROW, [(-2.0, True), (-1.0, False)], "here") == {"acc": 0.0}
    write(tmp_path, "process_results: !function tools.score\n", "def score(row, scored):\n    return row['nothing']\n")
    with pytest.raises(DataError, match=r"test.jsonl, line 1: process_results of .*: KeyError: 'nothing'; correct"):
        documents_of(config, find(tmp_path).dataset)


@pytest.mark.parametrize(
    ("metric", "value", "message"),
    [
        ("acc", "(0, 1)", "acc must be a number, as its aggregation is no function, got (0, 1)"),
        ("mass", "None", "mass must be a number, as its aggregation is no function, got None"),
        ("mass", "'0.5'", "mass must be a number, as its aggregation is no function, got '0.5'"),
        ("f1", "0.5", "f1 must be a pair of the right label and the chosen one, got 0.5"),
        ("mcc", "([0], 1)", "mcc must be a pair of the right label and the chosen one, got ([0], 1)"),
    ],
)
def test_a_made_value_that_cannot_be_summed_up_is_refused_before_anything_is_scored(metric, value, message, tmp_path):
    more = f"process_results: !function tools.score\nmetric_list: [{{metric: {metric}}}]\n"
    write(tmp_path, more, f"def score(row, scored):\n    return {{'{metric}': {value}, 'other': None}}\n")
    config = RunConfig(model="hf", pretrained="x", task="quiz", data_dir=str(tmp_path / "data"))
    with pytest.raises(DataError, match=re.escape(message)):
        documents_of(config, find(tmp_path).dataset)


def test_a_made_value_may_be_anything_where_the_aggregation_is_a_function(tmp_path):
    more = "process_results: !function tools.score\nmetric_list: [{metric: mass, aggregation: !function tools.count}]\n"
    code = "def score(row, scored):\n    return {'mass': 'text'}\n\ndef count(values):\n    return len(values)\n"
    write(tmp_path, more, code)
    assert find(tmp_path).own.process_results(ROW, [(-1.0, True)], "here") == {"mass": "text"}


def test_a_row_stays_as_it_is_whatever_process_results_does_to_it(tmp_path):
    code = "def score(row, scored):\n    row['choices'].pop()\n    return {'acc': len(row['choices'])}\n"
    write(tmp_path, "process_results: !function tools.score\n", code)
    process = find(tmp_path).own.process_results
    assert [process(ROW, [], "here"), process(ROW, [], "here")] == [{"acc": 1}] * 2


def test_of_a_metric_that_is_listed_twice_the_later_entry_counts(tmp_path):
    own, usual = "{metric: f1, aggregation: !function tools.count}", "{metric: f1}"
    write(tmp_path, f"metric_list: [{own}, {usual}]\n", "def count(pairs):\n    return len(pairs)\n")
    assert (find(tmp_path).metrics, find(tmp_path).own) == (("acc", "f1"), None)
    write(tmp_path, f"metric_list: [{usual}, {own}]\n")
    assert set(find(tmp_path).own.aggregations) == {"f1"}


def test_the_two_tests_say_that_process_results_does_not_concern_them(tmp_path):
    write(tmp_path, "process_results: !function tools.score\n", "def score(row, scored):\n    return {'acc': 1}\n")
    task = find(tmp_path, "quiz_dg", "dist_gen")
    assert task.own is None
    assert task.notes[-1].endswith("process_results is left out: only --model hf scores by it")
    assert task.dataset.try_scoring is None


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ("gen_prefix: 'The colour:'\n", "Snow is The colour:"),
        ("gen_prefix: ' {{question|upper}}:'\n", "Snow is SNOW:"),
        ("gen_prefix: 'So'\ntarget_delimiter: \"\\n\"\n", "Snow is\nSo"),
        ("gen_prefix: 'So'\ntarget_delimiter: ''\n", "Snow isSo"),
    ],
)
def test_a_prefix_of_the_answer_ends_the_question(more, text, tmp_path):
    write(tmp_path, more)
    assert question(tmp_path) == text


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("class: !function tools.Task\n", "class is not supported: the task is a Python class of the upstream harness"),
        (
            "custom_dataset: !function tools.rows\n",
            "its function loads the rows; write them to files and give data_dir=",
        ),
        (
            "metric_list: [{metric: rouge}]\n",
            "no metric is supported for multiple_choice (rouge: there are acc, acc_norm",
        ),
        ("metric_list: [{metric: acc, aggregate: mean}]\n", "unknown key 'aggregate' (did you mean 'aggregation'?)"),
        (
            "metric_list: [{metric: acc, aggregation: [mean]}]\n",
            "aggregation must be a name or !function, got ['mean']",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused_with_the_remedy(more, message, tmp_path):
    write(tmp_path, more)
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        find(tmp_path)


# --- imports of the upstream harness ---


def test_functions_may_come_from_a_file_that_imports_from_the_harness(tmp_path):
    write(
        tmp_path,
        "doc_to_text: !function tools.ask\n"
        "metric_list: [{metric: f1, aggregation: !function tools.weighted_f1_score}]\n",
        "from lm_eval.api.filter import Filter\nfrom lm_eval.api.registry import register_filter\n"
        "from lm_eval.utils import weighted_f1_score\n\n"
        "@register_filter('mine')\nclass Mine(Filter):\n    pass\n\n"
        "def ask(row):\n    return row['question'] + '?'\n",
    )
    path = tmp_path / "quiz.yaml"
    path.write_text(path.read_text().replace("doc_to_text: '{{question}} is'\n", ""))
    assert question(tmp_path) == "Snow?"
    assert find(tmp_path).own.aggregations["f1"] is weighted_f1_score
    assert not any(name.startswith("lm_eval.api") for name in sys.modules)


def test_a_function_of_the_harness_that_is_not_here_is_named_where_it_is_used(tmp_path):
    code = "from lm_eval.utils import detokenize\n\ndef right(row):\n    return detokenize(row['gold'])\n"
    write(tmp_path, "", code)
    path = tmp_path / "quiz.yaml"
    path.write_text(path.read_text().replace("doc_to_target: gold", "doc_to_target: !function tools.right"))
    with pytest.raises(
        DataError, match=r"lm_eval.utils.detokenize is a function of the upstream harness; copy it into"
    ):
        question(tmp_path)


def test_a_neighbours_module_is_found_below_the_folder_and_counts_in_the_definition(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "words.py").write_text("END = '!'\n")
    code = "from lm_eval.tasks.other.words import END\n\ndef keep(rows):\n    return rows\n"
    write(tmp_path, "process_docs: !function tools.keep\n", code)
    before = find(tmp_path).definition
    (tmp_path / "other" / "words.py").write_text("END = '?'\n")
    write(tmp_path, "process_docs: !function tools.keep\n", code + "\n")
    write(tmp_path, "process_docs: !function tools.keep\n", code)
    assert find(tmp_path).definition != before
    assert "lm_eval.tasks.other" not in sys.modules


def folders_beside(top: Path, files: dict[str, str]) -> list[str]:
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(text.encode("latin-1"))
    return [folder.name for folder in neighbours_of(top / "quiz" / "tools.py", top)]


def test_what_a_neighbours_module_imports_counts_too(tmp_path):
    files = {
        "quiz/tools.py": "from lm_eval.tasks import first\n",
        "first/__init__.py": "",
        "quiz/more.py": "from lm_eval.tasks.unrelated.words import X\n",
        "unrelated/words.py": "",
    }
    assert folders_beside(tmp_path, files) == ["first"]
    files["quiz/tools.py"] = "def ask():\n    from lm_eval.tasks.first.a import (\n        X,\n    )\n"
    files |= {
        "first/a.py": "# caf\xe9\nimport os, lm_eval.tasks.second.b as b\nfrom .inner.c import X\n",
        "second/b.py": "from lm_eval.tasks.first.a import X\nfrom ..third import d\n",
        "first/inner/c.py": "",
        "third/d.py": "from lm_eval.tasks.quiz.tools import ask\n",
    }
    assert folders_beside(tmp_path, files) == ["first", "inner", "second", "third"]
    files["quiz/tools.py"] = "no Python (\n"
    assert folders_beside(tmp_path, files) == []


def test_nothing_above_the_folder_of_task_files_is_imported_or_looked_at(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "words.py").write_text("END = '!'\n")
    top = tmp_path / "tasks"
    (top / "quiz").mkdir(parents=True)
    write(top / "quiz", "process_docs: !function tools.keep\n",
          "from lm_eval.tasks.other.words import END\n\ndef keep(rows):\n    return rows\n")  # fmt: skip
    with pytest.raises(ConfigurationError, match="that belongs to the upstream harness"):
        find(top)
    file = top / "quiz" / "tools.py"
    assert (neighbours_of(file, top), neighbours_of(file)) == ([], [])
    assert neighbours_of(file, tmp_path) == [tmp_path / "other"]
    for folder in (top, tmp_path):  # where the top isn't known, task files show how far the folders reach
        (folder / "a.yaml").touch()
    assert neighbours_of(file) == [tmp_path / "other"]


def test_the_weighted_f1_score_is_the_mean_of_the_labels_by_how_often_each_is_right():
    pairs = [("a", "a"), ("a", "b"), ("b", "b"), ("c", "a")]
    of_a, of_b, of_c = 2 * 1 / (2 + 2), 2 * 1 / (1 + 2), 0.0
    assert weighted_f1_score(pairs) == pytest.approx((2 * of_a + of_b + of_c) / 4)
