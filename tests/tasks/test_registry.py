"""Datasets: rows read as examples, broken rows refused with file and line, tasks matched with models."""

import json
import re

import pytest

from lm_eval.config.run_config import RunConfig
from lm_eval.config.settings import VectorSettings
from lm_eval.errors import ConfigurationError, DataError
from lm_eval.tasks.base import Example
from lm_eval.tasks.documents import read_split
from lm_eval.tasks.hellaswag import HELLASWAG, clean
from lm_eval.tasks.hellaswag import read_row as read_hellaswag
from lm_eval.tasks.registry import TASKS, find_task
from lm_eval.tasks.webqs import WEBQS
from lm_eval.tasks.webqs import read_row as read_webqs
from tests.support.worlds import hellaswag_row, webqs_row, write_rows

MISSING = object()


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  plain text.  ", "plain text."),
        ("How to tie [title] Take a rope.", "How to tie. Take a rope."),
        ("[step] Pull it.", " Pull it."),
        ("Pull [substeps] it.", "Pull it."),
        ("a [b [c] d] e", "a d] e"),
        ("a    b", "a  b"),
        ("a     b", "a   b"),
        ("x [title]", "x. "),
        ("[title] x", " x"),
        ("a [ b", "a [ b"),
        ("", ""),
    ],
)
def test_markup_is_cleaned_in_one_pass(text, cleaned):
    assert clean(text) == cleaned


@pytest.mark.reference
def test_cleaning_agrees_with_the_reference(reference):
    cases = json.loads((reference / "clean.json").read_text())
    assert len(cases) > 10
    assert [clean(text) for text, _ in cases] == [cleaned for _, cleaned in cases]


def test_a_hellaswag_row_becomes_one_question_and_its_endings_behind_a_blank():
    row = {
        "activity_label": "Kite flying",
        "ctx_a": "A man [header] runs.",
        "ctx_b": "his KITE",
        "endings": ["flies [step] high.", " falls. "],
        "label": "1",
        "ind": 7,
    }
    assert read_hellaswag(row, "somewhere") == Example(
        question=("Kite flying: A man runs. His kite",), choices=(" flies high.", " falls."), gold=(1,)
    )
    assert read_hellaswag(row, "somewhere").source == "somewhere"


def test_a_hellaswag_row_without_second_part_has_no_blank_at_its_end():
    assert read_hellaswag(hellaswag_row(0, ctx_a="A man runs.", ctx_b=""), "").question == ("Kite flying: A man runs.",)


@pytest.mark.parametrize("label", ["2", 2])
def test_a_label_may_be_a_number_or_its_text(label):
    assert read_hellaswag(hellaswag_row(0, label=label), "").gold == (2,)


def test_a_webquestions_row_takes_every_accepted_answer_as_right_in_order():
    row = {"url": "", "question": "who came?", "answers": ["Ann", "Mr. Bo", "Ann Lee"]}
    assert read_webqs(row, "") == Example(
        question=("Question: who came?",), choices=(" Ann", " Mr. Bo", " Ann Lee"), gold=(0, 1, 2)
    )


def test_two_rows_of_equal_content_are_equal_wherever_they_stand():
    assert read_webqs(webqs_row(1), "here") == read_webqs(webqs_row(1), "there") != read_webqs(webqs_row(2), "here")


HELLASWAG_DEFECTS = [
    ("activity_label", MISSING, "field 'activity_label' is missing; the row has ind, ctx_a, ctx_b, endings, label"),
    ("ctx_a", MISSING, "field 'ctx_a' is missing"),
    ("ctx_b", MISSING, "field 'ctx_b' is missing"),
    ("endings", MISSING, "field 'endings' is missing"),
    ("label", MISSING, "field 'label' is missing"),
    ("activity_label", 3, "field 'activity_label' must be of type str, got 3"),
    ("ctx_a", None, "field 'ctx_a' must be of type str, got None"),
    ("ctx_b", ["x"], "field 'ctx_b' must be of type str, got ['x']"),
    ("endings", "abcd", "field 'endings' must be of type list, got 'abcd'"),
    ("endings", ["one"], "field 'endings' must be a list of at least 2 strings, got ['one']"),
    ("endings", [], "field 'endings' must be a list of at least 2 strings, got []"),
    ("endings", ["a", "b", 3, "d"], "field 'endings' must be a list of at least 2 strings, got ['a', 'b', 3, 'd']"),
    ("endings", ["a", "b", " ", "d"], "endings[2] is empty after cleaning; every choice needs text, correct or remove"),
    ("endings", ["[x]", "b", "c", "d"], "endings[0] is empty after cleaning"),
    ("label", "4", "field 'label' must be an index into 4 endings, got '4'"),
    ("label", 4, "field 'label' must be an index into 4 endings, got '4'"),
    ("label", "-1", "field 'label' must be an index into 4 endings, got '-1'"),
    ("label", -1, "field 'label' must be an index into 4 endings, got '-1'"),
    ("label", "", "field 'label' must be an index into 4 endings, got ''"),
    ("label", "²", "field 'label' must be an index into 4 endings, got '²'"),
    ("label", True, "field 'label' must be an index into 4 endings, got 'True'"),
    ("label", 1.0, "field 'label' must be of type str, got 1.0"),
    ("label", None, "field 'label' must be of type str, got None"),
]
WEBQS_DEFECTS = [
    ("question", MISSING, "field 'question' is missing; the row has url, answers"),
    ("question", 5, "field 'question' must be of type str, got 5"),
    ("answers", MISSING, "field 'answers' is missing"),
    ("answers", "Ann", "field 'answers' must be of type list, got 'Ann'"),
    ("answers", [], "field 'answers' must be a list of at least 1 strings, got []"),
    ("answers", ["Ann", None], "field 'answers' must be a list of at least 1 strings, got ['Ann', None]"),
    (
        "answers",
        ["Ann", "\t"],
        "answers[1] is empty after cleaning; every choice needs text, correct or remove the row",
    ),
]


@pytest.mark.parametrize(
    ("dataset", "make", "field", "value", "message"),
    [
        *((HELLASWAG, hellaswag_row, *defect) for defect in HELLASWAG_DEFECTS),
        *((WEBQS, webqs_row, *defect) for defect in WEBQS_DEFECTS),
    ],
)
def test_a_broken_field_is_refused_with_its_file_and_line(tmp_path, dataset, make, field, value, message):
    row = make(2, **{field: value})
    if value is MISSING:
        del row[field]
    path = write_rows(tmp_path / dataset.name / f"{dataset.evaluation_split}.jsonl", [make(0), make(1), row, make(3)])
    with pytest.raises(DataError, match=re.escape(f"{path}, line 3: {message}")):
        list(read_split(dataset, dataset.evaluation_split, str(tmp_path)))


def test_a_row_without_any_field_says_so():
    with pytest.raises(DataError, match="here: field 'question' is missing; the row has no fields"):
        read_webqs({}, "here")


@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        ("hellaswag", ("acc", "acc_norm_unspaced")),
        ("hellaswag_d", ("acc", "rand_acc")),
        ("hellaswag_dg", ("acc", "rand_acc", "acc_norm", "em")),
        ("webqs", ("acc_em",)),
        ("webqs_dg", ("acc_em",)),
    ],
)
def test_every_task_reports_its_metrics_in_version_0(name, metrics):
    assert (TASKS[name].name, TASKS[name].metrics, TASKS[name].version) == (name, metrics, 0)


def config(model: str, task: str) -> RunConfig:
    vectors = {
        "hf": VectorSettings(),
        "dist_sim": VectorSettings.parse(word_agg_scheme="mean", similarity_func="dot_product"),
        "dist_gen": VectorSettings.parse(word_agg_scheme="mean"),
    }[model]
    scheme = None if model == "hf" else "concat_all_examples"
    return RunConfig(model=model, pretrained="x", task=task, encoding_scheme=scheme, vectors=vectors)


FORMS = {"hf": "standard", "dist_sim": "similarity", "dist_gen": "generation"}
SUFFIXES = {"hf": "", "dist_sim": "_d", "dist_gen": "_dg"}


@pytest.mark.parametrize("model", FORMS)
@pytest.mark.parametrize("task", TASKS)
def test_a_model_scores_the_tasks_of_its_form_and_no_others(model, task):
    if TASKS[task].form == FORMS[model]:
        assert find_task(model, task) is TASKS[task]
        return
    wanted = task.removesuffix("_dg").removesuffix("_d") + SUFFIXES[model]
    fitting = [wanted] if wanted in TASKS else [name for name in TASKS if TASKS[name].form == FORMS[model]]
    message = (
        f"task '{task}' is for {TASKS[task].form} scoring, but --model {model} does {FORMS[model]}; "
        f"choose from {', '.join(fitting)}"
    )
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        find_task(model, task)


def test_an_unknown_task_is_refused_with_the_names_there_are():
    message = "unknown task 'webqs_d'; for similarity choose from hellaswag_d, arc_challenge_d, arc_easy_d, boolq_d"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        find_task("dist_sim", "webqs_d")


@pytest.mark.parametrize("name", [name for name in TASKS if TASKS[name].definition is not None])
def test_a_task_of_a_file_reports_what_its_form_and_file_say(name):
    by_form = {"similarity": ("acc", "rand_acc"), "generation": ("acc", "rand_acc", "acc_norm", "em")}
    task = TASKS[name]
    if name.startswith("lambada"):
        assert task.metrics == ("acc_em", "perplexity")
    elif task.form in by_form:
        assert task.metrics == by_form[task.form]
    else:
        assert task.metrics in [("acc",), ("acc", "acc_norm_own")]
    assert task.notes == ()
