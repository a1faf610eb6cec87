"""A model of the hub is pinned to the commit that its cache holds, without the hub being asked."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lm_eval.config.run_config import RunConfig
from lm_eval.errors import ConfigurationError
from lm_eval.grid.preflight import preflight
from lm_eval.models.info import read_facts
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.result_file import config_content
from lm_eval.scheduling.hardware import Gpu, Machine
from tests.support.clusters import environment
from tests.support.grids import grid, options
from tests.support.paths import TOP
from tests.support.runs import identify

OLD, NEW = "0123456789abcdef0123456789abcdef01234567", "fedcba9876543210fedcba9876543210fedcba98"
CONFIG = {"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 32, "n_positions": 128, "vocab_size": 500}
MACHINE = Machine(host="any", num_cpus=2, memory_gib=8.0, gpus=())


def write_cache(cache: Path, *commits: str, head: str | None, **changes: object) -> Path:
    """Write what the hub's client keeps of a model's config: snapshots, and which of them is the newest it knows."""
    model = cache / "models--some--model"
    for commit in commits:
        (model / "snapshots" / commit).mkdir(parents=True, exist_ok=True)
        (model / "snapshots" / commit / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    (model / "refs").mkdir(parents=True, exist_ok=True)
    if head is not None:
        (model / "refs" / "main").write_text(head)
    return cache


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """The hub's cache of this process, at one commit; whoever asks the hub fails."""
    folder = write_cache(tmp_path / "cache", OLD, head=OLD)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    monkeypatch.setattr("lm_eval.models.info.answers", lambda *asked: pytest.fail(f"the hub was asked: {asked}"))
    return folder


def configs_of(data_dir: Path, tmp_path: Path, *models: str, machine: Machine = MACHINE, **flags) -> list[RunConfig]:
    made = grid(models=list(models), num_fewshot=[1])
    checked = preflight([made], options(data_dir, tmp_path / "results", **flags), lambda: [machine])
    return [run.config for run in checked.runs]


def test_the_commit_in_the_cache_is_the_revision_of_every_configuration(cache, data_dir, tmp_path):
    configs = configs_of(data_dir, tmp_path, "some/model")
    assert [(config.pretrained, config.revision, config.dtype) for config in configs] == [
        ("some/model", OLD, "float32")
    ]
    assert identify(configs[0])["weights"] == {"hub": "some/model", "revision": OLD}


def test_the_commit_follows_the_cache(cache, data_dir, tmp_path):
    write_cache(cache, NEW, head=NEW)
    assert {config.revision for config in configs_of(data_dir, tmp_path, "some/model")} == {NEW}
    assert read_facts("some/model", OLD).commit == OLD


def test_a_local_folder_has_no_revision(cache, data_dir, tmp_path):
    folder = tmp_path / "folder"
    shutil.copytree(cache / "models--some--model" / "snapshots" / OLD, folder)
    for name in ("model.safetensors", "tokenizer.json"):
        (folder / name).write_text("{}")
    configs = configs_of(data_dir, tmp_path, str(folder), "some/model")
    assert [config.revision for config in configs] == [None, OLD]


def test_the_dtype_is_decided_with_the_commit_as_asked_for_or_by_the_machines(cache, data_dir, tmp_path):
    gpu = Gpu(name="any", memory_gib=80.0, capability=(9, 0))
    machine = Machine(host="any", num_cpus=2, memory_gib=8.0, gpus=(gpu,))
    (config,) = configs_of(data_dir, tmp_path, "some/model", machine=machine)
    assert (config.dtype, config.revision) == ("bfloat16", OLD)
    (config,) = configs_of(data_dir, tmp_path, "some/model", machine=machine, dtype="float16")
    assert (config.dtype, config.revision) == ("float16", OLD)


SCRIPT = """
from lm_eval.grid.grid import Grid
from lm_eval.grid.script import launch

def run():
    "Two runs of a hub model."
    return Grid(model="dist_gen", task="hellaswag_dg", models=["some/model"], arch_type="decoder-only",
                num_fewshot=[1, 0], encoding_scheme=["concat_each_example"], settings={"WORD_AGG_SCHEME": ["mean"]})

launch(run, results_dir="unused")
"""


def dry_run(tmp_path: Path, data_dir: Path, **variables: str):
    """Call a script of two runs, with the hub out of reach and whatever cache its variables name."""
    script = tmp_path / "grid.py"
    script.write_text(SCRIPT)
    flags = ("--dry_run", "--list", "--dtype", "float32", "--data_dir", data_dir, "--results_dir", tmp_path / "results")
    caches = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE")
    kept = {key: text for key, text in environment(HF_HUB_OFFLINE="1").items() if key not in caches}
    return subprocess.run(
        [sys.executable, str(script), *map(str, flags)],
        cwd=tmp_path, env={**kept, "PYTHONPATH": str(TOP), **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HF_HOME"])
def test_a_hub_model_in_the_cache_is_planned_offline(tmp_path, data_dir, variable):
    place = tmp_path / "home"
    write_cache(place / "hub" if variable == "HF_HOME" else place, OLD, head=OLD)
    shown = dry_run(tmp_path, data_dir, **{variable: str(place)})
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    assert lines[0] == f"{tmp_path / 'results'}: 2 to run, 0 done"
    assert [line.partition(", concat")[0] for line in lines if line.startswith("to run: ")] == [
        "to run: hellaswag_dg, model",
        "to run: hellaswag_dg, model",
    ]
    assert not (tmp_path / "results").exists()


def test_a_hub_model_that_is_not_in_the_cache_is_refused_offline(tmp_path, data_dir):
    ended = dry_run(tmp_path, data_dir, HF_HUB_CACHE=str(tmp_path / "empty"))
    assert ended.returncode == 2
    assert "pretrained=some/model: neither a local folder nor available from the model hub or its cache" in ended.stderr
    assert "check the name and the network, or give a folder" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_cache_that_does_not_know_the_newest_commit_is_no_help_offline(tmp_path, data_dir):
    write_cache(tmp_path / "cache", OLD, head=None)
    ended = dry_run(tmp_path, data_dir, HF_HUB_CACHE=str(tmp_path / "cache"))
    assert ended.returncode == 2
    assert "pretrained=some/model: neither a local folder nor available" in ended.stderr


def test_a_hub_model_of_the_wrong_architecture_is_refused(tmp_path, data_dir):
    write_cache(tmp_path / "cache", OLD, head=OLD, model_type="t5", num_layers=2)
    ended = dry_run(tmp_path, data_dir, HF_HUB_CACHE=str(tmp_path / "cache"))
    assert ended.returncode == 2
    assert "some/model: encoder-decoder, but this script is for decoder-only models" in ended.stderr


def write_result(folder: Path, config: RunConfig) -> None:
    content = {
        "results": {config.task: {"acc": 0.25, "acc_stderr": 0.125}},
        "versions": {config.task: 0},
        "config": config_content(config),
        "identity": {config.task: identify(config)},
    }
    ResultsFolder(folder).write(config, content)


def test_a_result_of_the_commit_is_done_and_one_of_an_earlier_commit_is_outdated(cache, tmp_path, data_dir):
    (config,) = configs_of(data_dir, tmp_path, "some/model", limit=None)
    write_result(tmp_path / "results", config)
    shown = dry_run(tmp_path, data_dir, HF_HUB_CACHE=str(cache))
    assert shown.stdout.splitlines()[0].endswith("results: 1 to run, 1 done")
    write_cache(cache, NEW, head=NEW)
    shown = dry_run(tmp_path, data_dir, HF_HUB_CACHE=str(cache))
    assert shown.stdout.splitlines()[0].endswith("results: 2 to run (1 of them outdated), 0 done")
    assert f"[outdated, differs in model (revision): {OLD[:12]} there, {NEW[:12]} here (" in shown.stdout


def test_an_impossible_grid_is_refused_though_the_weights_are_elsewhere(cache, data_dir, tmp_path):
    made = grid(models=["some/model"], num_fewshot=[1], settings={"WORD_AGG_SCHEME": ["mean"], "ENCODING_LAYER": [9]})
    with pytest.raises(ConfigurationError, match=r"ENCODING_LAYER=9: out of range; .* for some/model has 2 layers"):
        preflight([made], options(data_dir, tmp_path), lambda: [MACHINE])
