"""The report for those who open no notebook, and one's own scores beside the published ones."""

import json
import re
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from lm_eval.analysis.published import compare_with_published, read_published
from lm_eval.analysis.report import find_architectures, make_report, report_on
from lm_eval.analysis.report.tables import baseline_table, best_table, missing_cells, readable, to_markdown
from lm_eval.analysis.runs import read_runs
from lm_eval.analysis.scores import add_scores
from lm_eval.errors import ConfigurationError
from lm_eval.results.failures import Failure, write_failure
from lm_eval.results.identity import resolve
from tests.support.grids import expand, grid
from tests.support.paths import TOP
from tests.support.results import BASELINE, put, result_of, table_of
from tests.support.runs import fake_runs

PYTHIA = "EleutherAI/pythia-1b-deduped"


def test_the_published_scores_are_each_of_one_configuration_and_plausible():
    published = read_published()
    keys = ["task", "kind", "pretrained", "num_fewshot", "encoding_scheme"]
    assert not published.duplicated(keys).any()
    assert published["normalised"].between(0.3, 1.1).all()
    assert len(published) == 164


@pytest.mark.parametrize(
    ("acc", "agrees"), [(0.37, True), (0.37 + 0.5 * 0.041, True), (0.37 + 0.5 * 0.042, False), (0.2, False)]
)
def test_a_score_agrees_with_the_published_one_within_two_standard_errors(acc, agrees):
    own = {"pretrained": PYTHIA, "num_fewshot": 0, "ENCODING_LAYER": "0", "acc": acc}
    baseline = {**BASELINE, "pretrained": PYTHIA, "num_fewshot": 0, "acc_stderr": 0.0}
    (row,) = compare_with_published(add_scores(table_of(own, baseline)).table, {}).to_dict("records")
    assert row["published"] == 0.74
    assert row["difference"] == pytest.approx(acc / 0.5 - 0.74)
    assert row["agrees"] is agrees  # the standard error is 0.02


def test_what_the_paper_has_not_is_left_out():
    table = table_of({"ENCODING_LAYER": "1"}, {"ENCODING_LAYER": "0"}, BASELINE)
    assert len(compare_with_published(add_scores(table).table, {})) == 0


@pytest.mark.reference
def test_the_published_study_agrees_with_what_was_published_of_it(study):
    compared = compare_with_published(add_scores(study.table).table, find_architectures(study.table))
    assert len(compared) == 164
    assert compared["agrees"].all()


def test_what_most_models_have_and_one_lacks_is_a_missing_cell():
    rows = [{"pretrained": name, "model": name, "num_fewshot": shots} for name in "abc" for shots in (0, 5)]
    missing = missing_cells(table_of(*rows[:-1], {**rows[0], "NORM": "L2"}), {})
    assert missing.to_dict("records") == [
        {
            "task": "hellaswag_dg", "kind": "dist_gen", "model": "c", "encoding_scheme": "concat_all_examples",
            "num_fewshot": 5, "WORD_AGG_SCHEME": "mean",
        }
    ]  # fmt: skip


def test_a_table_reads_in_words_with_errors_behind_their_numbers():
    row = {
        "kind": "dist_sim", "encoding_scheme": "concat_all_examples", "limit": "None", "acc": 0.12345,
        "acc_stderr": 0.0101, "normalised": float("nan"), "normalised_stderr": float("nan"), "versus_chance": "below",
        "WORD_AGG_SCHEME": "relu|mean", "ENCODING_LAYER": None, "num_documents": 200.0,
    }  # fmt: skip
    table = readable(pd.DataFrame([row, {**row, "acc_stderr": float("nan"), "versus_chance": "not told apart"}]))
    assert to_markdown(table) == (
        "| scheme | limit | acc | normalised | against guessing | token agg. | layer | documents |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
        "| concat_all_examples | all | 0.123 ± 0.010 | - | below | relu\\|mean | last | 200 |\n"
        "| concat_all_examples | all | 0.123 | - | not told apart | relu\\|mean | last | 200 |\n"
    )


def test_a_cell_of_markdown_is_one_line_and_shows_its_text_as_it_is():
    assert to_markdown(pd.DataFrame({"a": ["one\ntwo | <b>"]})).splitlines()[2] == "| one two \\| &lt;b&gt; |"


def test_tables_tell_of_how_many_a_run_is_the_best_and_the_errors_of_baselines():
    run = {"acc_stderr": 0.01, "num_documents": 100}
    table = table_of({**BASELINE, "acc_stderr": None}, {**run, "acc": 0.3}, {**run, "acc": 0.4, "NORM": "L2"})
    (best,) = best_table(add_scores(table).table).to_dict("records")
    assert (best["acc"], best["num_runs"]) == (0.4, 2)
    (baseline,) = baseline_table(table.assign(num_documents=100.0)).to_dict("records")
    assert baseline["acc_stderr"] == pytest.approx((0.5 * 0.5 / 99) ** 0.5)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two runs, the baseline of one of them, a failure and a file that is none."""
    results = tmp_path / "results"
    first, second, third = expand(grid(models=["some/<model>"], num_fewshot=[1, 2, 3]))
    (baseline,) = expand(
        grid(models=["some/<model>"], num_fewshot=[1], encoding_scheme=["cross_encoding"], settings={})
    )
    put(results, "a.json", result_of(first, 0.4))
    put(results, "b.json", result_of(second, 0.2, error=0.02))
    put(results, "c.json", result_of(baseline, 0.5))
    put(results, "d.json", "{")
    (run,) = fake_runs([third])
    run = replace(run, identity={"model": "x", "weights": {}, "data": {}})
    write_failure(results, run, Failure(message="no luck\nmore"))
    return results


def test_a_report_is_one_page_with_its_tables_beside_it(folder, tmp_path):
    page = report_on([folder], tmp_path / "out").read_text()
    assert "&lt;model&gt;" in page
    assert "<model>" not in page
    for text in ("3 runs", "no baseline: ", "failed: hellaswag_dg", "no luck", "not a result: d.json", "0.800"):
        assert text in page
    assert re.search(r"<(script|link|img)[^>]*(src|href)=(?!\"data:)", page) is None  # it needs nothing beside it
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"report.html", "all_runs.csv", "all_runs.md", "all_runs.tex", "best_settings_of_each_model.csv"} <= names
    assert "<summary>3 problems: " in page  # the remedy is none of its own
    table = pd.read_csv(tmp_path / "out" / "all_runs.csv")
    assert sorted(table["normalised"].dropna()) == [0.8]
    assert list(table["versus_chance"]) == ["not told apart", "below"]  # 0.4 ± 0.1, 0.2 ± 0.02


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no such folder; give the results folders of grids"):
        report_on([tmp_path / "nowhere"], tmp_path / "out")
    with pytest.raises(ConfigurationError, match=r"no result in .*; scripts/run_parallel_\*.py make results"):
        report_on([tmp_path], tmp_path / "out")
    put(tmp_path, "half.json", '{"results": {')
    with pytest.raises(ConfigurationError, match=r"no result in .* \(half.json: "):
        report_on([tmp_path], tmp_path / "out")


def test_a_cause_of_failures_is_told_once_and_long_lists_are_cut(tmp_path):
    results = tmp_path / "results"
    configs = expand(grid(num_fewshot=[1, 2, 3, 4, 5, 6]))
    put(results, "a.json", result_of(configs[0]))
    for config in configs[1:]:
        write_failure(results, resolve(config), Failure(message="no luck"))
    for number in range(20):
        put(results, f"bad{number}.json", "{")
    report = make_report([results], read_runs(results), {})
    (failed,) = [remark for remark in report.remarks if remark.startswith("failed: ")]
    assert failed.endswith("; and 2 more: no luck")
    unreadable = [remark for remark in report.remarks if remark.startswith("not a result: ")]
    assert len(unreadable) == 12
    assert report.remarks[-1] == "and 8 more"


@pytest.mark.slow
def test_the_script_writes_a_report_or_says_what_is_wrong(folder, tmp_path, capsys, monkeypatch):
    script = TOP / "scripts" / "report.py"
    command = [sys.executable, str(script), str(folder), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    beside = "with all runs in explore.html and the tables beside it"
    assert (done.returncode, done.stdout) == (0, f"written to {tmp_path / 'out' / 'report.html'}, {beside}\n")
    (tmp_path / "file").write_text("")
    wrong = {"error: ": [tmp_path / "nowhere"], "cannot be written": [folder, "--out", tmp_path / "file" / "out"]}
    for message, arguments in wrong.items():
        monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
        with pytest.raises(SystemExit, match=r"^2$"):
            runpy.run_path(str(script), run_name="__main__")
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "architecture"),
    [("google/flan-t5-xl", "encoder-decoder"), ("bigscience/mt0-large", "encoder-decoder"), ("x/y", "decoder-only")],
)
def test_architectures_are_told_by_list_or_name(name, architecture):
    assert find_architectures(pd.DataFrame({"pretrained": [name]})) == {name: architecture}


def test_a_folder_s_architecture_is_its_config_s(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    assert find_architectures(pd.DataFrame({"pretrained": [str(tmp_path)]})) == {str(tmp_path): "encoder-decoder"}
