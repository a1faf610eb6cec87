"""The table of results, and which baseline a score is normalised by."""

import csv
import json
import re
from pathlib import Path

import pytest

from lm_eval.analysis.runs import read_runs
from lm_eval.analysis.scores import add_scores
from lm_eval.config.settings import SETTING_NAMES
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.labels import LABELS, SHORT_LABELS, say_cell
from lm_eval.results.table import View, find_baselines, format_results, sort_results, write_csv
from lm_eval.table import main
from tests.support.worlds import write_model_folder


def write_older(
    folder: Path, name: str, acc: float, *, limit: str, task: str = "hellaswag_dg", **config: object
) -> None:
    stated = {
        "model": "dist_gen",
        "model_args": "pretrained=any/model",
        "task_args": "encoding_scheme=cross_encoding",
        "num_fewshot": 0,
        "limit": limit,
        "description_dict": {},
        **config,
    }
    content = {"results": {task: {"acc": acc, "acc_stderr": 0.01}}, "versions": {task: 0}, "config": stated}
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(content))


def write_newer(folder: Path, name: str, acc: float, add_bos: str | None, front: list[str], scheme: str) -> None:
    settings = {"pretrained": "any/model", "ADD_BOS": add_bos}
    if scheme != "cross_encoding":
        settings["WORD_AGG_SCHEME"] = "mean"
    stated = ",".join(f"{key}={value}" for key, value in settings.items())
    write_older(folder, name, acc, limit="60", model_args=stated, task_args=f"encoding_scheme={scheme}")
    path = folder / f"{name}.json"
    identity = {"weights": {}, "data": {}, "encoding_scheme": scheme, **({"front_tokens": front} if front else {})}
    path.write_text(json.dumps({**json.loads(path.read_text()), "identity": {"hellaswag_dg": identity}}))


def shown(folder: Path, *names: str, **view) -> list[tuple[str, ...]]:
    """The cells of a table, of these columns."""
    results = sort_results(ResultsFolder(folder))
    text = write_csv(results, find_baselines(results), view=View(columns=names, **view))
    return [tuple(row) for row in csv.reader(text.splitlines())][1:]


MODEL = "ENCODING_LAYER=0,pretrained=any/model"
CONCEPT = {
    "model_args": f"WORD_AGG_SCHEME=mean,{MODEL}",
    "task_args": "encoding_scheme=concat_each_example",
}


def test_a_score_is_divided_by_the_baseline_of_its_own_dataset_limit_and_shots(tmp_path):
    write_older(tmp_path, "a", 0.3, limit="60", **CONCEPT)
    write_older(tmp_path, "b", 0.4, limit="60")
    write_older(tmp_path, "c", 0.2, limit="10")
    write_older(tmp_path, "d", 0.1, limit="60", task="webqs_dg")
    write_older(tmp_path, "e", 0.9, limit="60", num_fewshot=5)
    rows = shown(tmp_path, "task", "encoding_scheme", "shots", "acc", "normalised", "chance_corrected")
    found = {(*row[:3], row[3]): tuple(cell and f"{float(cell):.3f}" for cell in row[5:]) for row in rows}
    assert found["hellaswag_dg", "concat_each_example", "0", "0.3"] == ("0.750", "0.333")  # 0.05 / 0.15
    assert found["webqs_dg", "cross_encoding", "0", "0.1"] == ("1.000", "")  # there is no guessing
    assert found["hellaswag_dg", "cross_encoding", "0", "0.2"] == ("1.000", "")  # a baseline below chance


def test_a_score_without_its_baseline_has_no_normalised_score(tmp_path):
    write_older(tmp_path, "a", 0.3, limit="60", **CONCEPT)
    write_older(tmp_path, "b", 0.4, limit="61")
    rows = shown(tmp_path, "encoding_scheme", "normalised", "chance_corrected")
    assert ("concat_each_example", "", "") in rows


def test_a_baseline_not_clear_of_chance_gives_no_chance_corrected_score(tmp_path):
    write_older(tmp_path, "a", 0.26, limit="60", **CONCEPT)
    for name, acc, limit in (("b", 0.269, "60"), ("c", 0.271, "61")):
        write_older(tmp_path, name, acc, limit=limit)
    write_older(tmp_path, "d", 0.26, limit="61", **CONCEPT)
    rows = shown(tmp_path, "encoding_scheme", "limit", "chance_corrected")
    found = {limit: cell for scheme, limit, cell in rows if scheme == "concat_each_example"}
    assert found["60"] == ""  # 0.019 above chance, with a standard error of 0.01
    assert float(found["61"]) == pytest.approx(0.01 / 0.021)


@pytest.mark.parametrize(
    ("of_run", "of_baseline", "normalised"),
    [
        (("True", ["<s>"]), (None, ["<s>"]), "0.750"), ((None, ["<s>"]), ("True", ["<s>"]), "0.750"),
        (("False", []), (None, []), "0.750"), (("False", []), (None, ["<s>"]), "-"), ((None, []), (None, ["<s>"]), "-"),
    ],
)  # fmt: skip
def test_a_baseline_belongs_to_runs_of_the_same_tokens_in_front(of_run, of_baseline, normalised, tmp_path, capsys):
    write_newer(tmp_path, "a", 0.3, *of_run, "concat_each_example")
    write_newer(tmp_path, "b", 0.4, *of_baseline, "cross_encoding")
    (found,) = [row[1] for row in shown(tmp_path, "encoding_scheme", "normalised") if row[0] == "concat_each_example"]
    assert (f"{float(found):.3f}" if found else "-") == normalised
    assert main([str(tmp_path)]) == 0
    assert ("no cross_encoding baseline" in capsys.readouterr().out) is (normalised == "-")


@pytest.mark.parametrize(
    ("of_run", "of_baseline", "belongs"),
    [
        ({}, {}, True), ({}, {"trust_remote_code": "True"}, True), ({"revision": "main"}, {}, True),
        ({"revision": "step1000"}, {}, False), ({"load_in_4bit": "True"}, {}, False), ({}, {"peft": "any/a"}, False),
        ({"dtype": "float16"}, {"dtype": "float32"}, False), ({"dtype": "float16"}, {}, True),
        ({}, {"dtype": "float32"}, True),
    ],
)  # fmt: skip
def test_a_baseline_belongs_to_runs_of_the_same_weights(of_run, of_baseline, belongs, tmp_path):
    for name, acc, more, of_task in (("a", 0.3, of_run, CONCEPT), ("b", 0.4, of_baseline, {})):
        usual = {"model_args": "pretrained=any/model", **of_task}
        stated = ",".join([usual["model_args"], *(f"{key}={value}" for key, value in more.items())])
        write_older(tmp_path, name, acc, limit="60", **{**usual, "model_args": stated})
    (cell,) = [row[1] for row in shown(tmp_path, "encoding_scheme", "normalised") if row[0] == "concat_each_example"]
    assert (cell != "") is belongs
    scored = add_scores(read_runs(tmp_path).table).table
    assert list(scored["normalised"].notna()) == [belongs]


def write_chunks(folder: Path) -> None:
    for number, (aggregation, acc) in enumerate({"chunk16": 0.3, "chunk2": 0.5, "mean": 0.4, "concat": 0.6}.items()):
        settings = f"WORD_AGG_SCHEME={aggregation},ENCODING_LAYER=0,pretrained=any/model"
        write_older(folder, str(number), acc, limit="60", **{**CONCEPT, "model_args": settings})
    write_older(folder, "baseline", 0.7, limit="60")


def test_settings_are_sorted_by_the_size_of_their_numbers(tmp_path):
    write_chunks(tmp_path)
    order = [row[0] for row in shown(tmp_path, "WORD_AGG_SCHEME")]
    assert order == ["concat", "chunk2", "chunk16", "mean", "-"]  # concat is chunk1


def test_scores_are_sorted_highest_first_and_settings_in_their_order(tmp_path):
    write_chunks(tmp_path)
    assert [row[0] for row in shown(tmp_path, "acc", sort=["acc"])] == ["0.7", "0.6", "0.5", "0.4", "0.3"]
    by_name = [row[0] for row in shown(tmp_path, "WORD_AGG_SCHEME", sort=["WORD_AGG_SCHEME"])]
    assert by_name[1:] == ["concat", "chunk2", "chunk16", "mean"]


def test_the_best_are_told_with_how_many_they_are_the_best_of_without_baselines(tmp_path):
    write_chunks(tmp_path)
    write_older(tmp_path, "five", 0.2, limit="60", num_fewshot=5, **CONCEPT)
    rows = shown(tmp_path, "shots", "WORD_AGG_SCHEME", "best_of", best=1)
    assert rows == [("5", "mean", "1"), ("0", "concat", "4")]
    assert len(shown(tmp_path, "shots", best=2)) == 3


def test_what_the_best_all_leave_unset_stands_above_and_ties_are_counted(tmp_path, capsys):
    for number, acc in enumerate([0.5, 0.4, 0.4, 0.4, 0.1]):
        norm = ",NORM=L2" if acc < 0.2 else ""
        settings = f"WORD_AGG_SCHEME=chunk{number + 2}{norm},pretrained=any/model"
        write_older(tmp_path, str(number), acc, limit="60", **{**CONCEPT, "model_args": settings})
    assert main([str(tmp_path), "--best", "3"]) == 0
    printed = capsys.readouterr().out
    assert "NORM=none" in printed.splitlines()[0]
    tie = "best 3 of hellaswag_dg, model, 0 shots: 3 runs share 0.400, 2 of them shown; --best 4 shows all"
    assert tie in printed
    assert main([str(tmp_path), "--best", "4"]) == 0
    assert "share" not in capsys.readouterr().out


def test_a_sorted_table_in_a_terminal_is_one_ranking(tmp_path):
    for number, acc in enumerate([0.3, 0.5, 0.2, 0.4]):
        config = {**CONCEPT, "num_fewshot": number % 2, "model_args": f"WORD_AGG_SCHEME=chunk{number + 1},{MODEL}"}
        write_older(tmp_path, str(number), acc, limit="60", **config)
    results = sort_results(ResultsFolder(tmp_path))
    assert "\n\n" in format_results(results, width=26)  # sections by shots
    drawn = format_results(results, view=View(sort=["acc"]), width=26)
    assert re.findall(r"(\S+) ± ", drawn)[1:] == ["0.500", "0.400", "0.300", "0.200"]
    assert "\n\n" not in drawn


def test_runs_over_other_documents_are_no_choice_to_be_the_best_of(tmp_path):
    write_older(tmp_path, "few", 0.9, limit="10", **CONCEPT)
    write_older(tmp_path, "many", 0.4, limit="60", **CONCEPT)
    rows = shown(tmp_path, "limit", "acc", "best_of", best=1)
    assert sorted(rows) == [("10", "0.9", "0.01", "1"), ("60", "0.4", "0.01", "1")]


def test_headers_are_the_names_that_settings_are_typed_by_and_csv_has_all_digits(tmp_path):
    write_chunks(tmp_path)
    results = sort_results(ResultsFolder(tmp_path))
    lines = write_csv(results, find_baselines(results)).splitlines()
    assert lines[0] == (
        "task,model,encoding_scheme,shots,WORD_AGG_SCHEME,ENCODING_LAYER,acc,acc_stderr,normalised,chance_corrected"
    )
    assert lines[1].startswith("hellaswag_dg,model,concat_each_example,0,concat,0,0.6,0.01,0.857142857")


def test_a_table_in_a_terminal_is_no_wider_than_that(tmp_path):
    write_chunks(tmp_path)
    results = sort_results(ResultsFolder(tmp_path))
    for width in (80, 60):
        drawn = format_results(results, find_baselines(results), width=width)
        assert max(map(len, drawn.splitlines())) <= width
    assert drawn.startswith("task=hellaswag_dg, model=model, shots=0, ENCODING_LAYER=0 or")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--sort", "ac"], "--sort: unknown column 'ac' (did you mean 'acc'?); choose from task, model, enc"),
        (["--columns", "acc,NROM"], "--columns: unknown column 'NROM' (did you mean 'NORM'?); choose from task"),
        (["--best", "0"], "--best must be a whole number of at least 1, got 0"),
    ],
)
def test_a_column_that_there_is_not_is_refused(tmp_path, argv, message, capsys):
    write_chunks(tmp_path)
    assert main([str(tmp_path), *argv]) == 2
    assert message in capsys.readouterr().err


def test_csv_is_printed_without_a_word_around_it(tmp_path, capsys):
    write_chunks(tmp_path)
    assert main([str(tmp_path), "--csv", "--columns", "shots,acc", "--best", "1"]) == 0
    assert capsys.readouterr().out == "shots,acc,acc_stderr\n0,0.6,0.01\n"


def test_the_table_of_folders_is_printed_and_unreadable_files_are_named(tmp_path, capsys):
    settings = "WORD_AGG_SCHEME=mean,pretrained=any/model"
    write_older(tmp_path / "r", "a", 0.25, limit="60")
    write_older(
        tmp_path / "r", "b", 0.2, limit="60", model_args=settings, task_args="encoding_scheme=concat_all_examples"
    )
    (tmp_path / "r" / "bad.json").write_text("{")
    assert main([str(tmp_path / "r")]) == 0
    printed = capsys.readouterr()
    assert "cross_encoding" in printed.out
    assert "0.250" in printed.out
    assert "documents a run: not stated in results of the older form" in printed.out
    assert "not a result: " in printed.err


def test_an_empty_folder_is_an_error(tmp_path, capsys):
    write_model_folder(tmp_path / "unrelated")
    assert main([str(tmp_path / "unrelated")]) == 2
    assert "no result in" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_an_error(tmp_path, capsys):
    assert main([str(tmp_path / "nothing")]) == 2
    assert f"error: {tmp_path / 'nothing'}: no such folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "value", "kind", "scheme", "said"),
    [
        ("ENCODING_LAYER", None, "dist_sim", "concat_all_examples", "last"),
        ("SEGMENT_AGG_SCHEME", None, "dist_gen", "concat_all_examples", "none"),
        ("OUT_ENCODING_LAYER", None, "dist_sim", "concat_all_examples", "same"),
        ("SIMILARITY_FUNC", None, "dist_gen", "concat_all_examples", "-"),
        ("ENCODING_LAYER", None, "dist_gen", "cross_encoding", "-"),
        ("ENCODING_LAYER", None, "dist_gen", "no_context", "-"),
        ("ENCODING_LAYER", None, "dist_sim", "no_context", "last"),
        ("ENCODING_LAYER", "0", "dist_gen", "concat_all_examples", "0"),
    ],
)
def test_what_is_not_set_is_told_from_what_has_nothing_to_do(setting, value, kind, scheme, said):
    assert say_cell(setting, value, kind=kind, scheme=scheme) == said


def test_every_setting_has_a_name_for_readers():
    assert set(LABELS) == set(SHORT_LABELS) == {"encoding_scheme", *SETTING_NAMES}


@pytest.mark.parametrize("words", [["--csv", "out.csv", "."], [".", "--csv", "out.csv"]])
def test_a_file_behind_csv_is_answered_by_how_to_write_one(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "--csv takes no file, it prints: write > out.csv at the end of the call" in capsys.readouterr().err
