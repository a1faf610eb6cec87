"""Results sent to Weights & Biases: with its package in its offline mode; and what is said where it isn't there."""

import importlib.util
import sys
from pathlib import Path

import pytest

from lm_eval.cli.evaluate import main
from lm_eval.config.run_config import RunConfig
from lm_eval.errors import ConfigurationError
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.weights_and_biases import LoggedResult, check_wandb, log_report, log_results
from tests.support.results import put, result_of


def logged(folder: Path) -> list[LoggedResult]:
    for number, scheme in enumerate(("concat_all_examples", "concat_each_example")):
        config = RunConfig.parse(
            model="dist_gen", model_args="pretrained=any/model,WORD_AGG_SCHEME=mean", task="hellaswag_dg",
            task_args=f"encoding_scheme={scheme}", num_fewshot=number,
        )  # fmt: skip
        put(folder, f"{number}.json", result_of(config, 0.25 + number / 4, older=False, num_documents=8))
    for path in folder.glob("*.json"):  # identities that differ
        path.write_text(path.read_text().replace("cd" * 20, path.stem * 20))
    return [LoggedResult.of(stored) for stored in ResultsFolder(folder)]


def test_what_is_sent_are_settings_as_config_and_metrics_as_summary(tmp_path):
    first, second = logged(tmp_path)
    assert first.name != second.name
    assert len(first.name) == 64
    settings, summary = second.settings(), second.summary()
    assert (settings["WORD_AGG_SCHEME"], settings["NORM"], settings["num_fewshot"]) == ("mean", "None", 1)
    assert (settings["model"], settings["encoding_scheme"], settings["seed"]) == ("model", "concat_each_example", 42)
    assert (summary["acc"], summary["acc_stderr"], summary["num_documents"]) == (0.5, 0.1, 8)


def test_without_the_package_a_call_ends_with_the_remedy_before_anything_runs(monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None if name == "wandb" else found(name, *more))
    argv = ["--model", "hf", "--model_args", "pretrained=nothing", "--tasks", "hellaswag", "--wandb", "mine"]
    assert main(argv) == 2
    assert "--wandb mine: the package wandb is not installed; python -m pip install wandb" in capsys.readouterr().err
    assert "wandb" not in sys.modules


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:b"])
def test_a_project_needs_a_usable_name(name):
    with pytest.raises(ConfigurationError, match="--wandb must be a project's name"):
        check_wandb(name)


def test_a_folder_of_the_packages_name_is_not_the_package(tmp_path, monkeypatch):
    (tmp_path / "wandb").mkdir()  # which its offline mode makes
    monkeypatch.setattr(sys, "path", [str(tmp_path)])  # and without the package
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with pytest.raises(ConfigurationError, match="the package wandb is not installed"):
        check_wandb("mine")


@pytest.mark.slow
def test_a_second_call_adds_nothing_twice(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="the optional package wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    results = logged(tmp_path / "results")
    assert log_results("mine", [*results, results[0]]) == "Weights & Biases, project mine: 2 results sent"
    runs = sorted(path.name.rpartition("-")[2] for path in (tmp_path / "wandb").glob("offline-run-*"))
    assert runs == sorted(result.name for result in results)
    assert log_results("mine", results).endswith("0 results sent, 2 were there before")
    report = tmp_path / "report"
    report.mkdir()
    (report / "report.html").write_text("<p>a report</p>")
    assert log_report("mine", report).endswith("the report sent")
    assert log_report("mine", report).endswith("the report was there before")
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 3
