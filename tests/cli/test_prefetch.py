"""Models and data of a grid are fetched ahead of time from a hub, and then the grid runs without one."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lm_eval.cli.prefetch import grids_of
from lm_eval.common.hub import lacking, needed_files
from lm_eval.errors import ConfigurationError
from tests.support.clusters import environment, one_core
from tests.support.hub_stand_in import COMMIT, Hub, running_hub
from tests.support.paths import TOP
from tests.support.tiny_models import save_tiny

GRID = "run_parallel_sim_gpt.py"
CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train.jsonl
  - split: validation
    path: data/validation.jsonl
---
"""


@pytest.fixture
def hub(tmp_path, data_dir) -> Iterator[Hub]:
    """A hub with one model, in two forms of weights and with what nobody needs beside them, and HellaSwag's rows."""
    model = save_tiny("gpt2", tmp_path / "hub" / "models" / "some" / "tiny", max_length=512)
    for name in ("pytorch_model.bin", "flax_model.msgpack", "README.md"):
        (model / name).write_text("not needed")
    (model / "onnx").mkdir()
    (model / "onnx" / "model.onnx").write_text("not needed")
    dataset = tmp_path / "hub" / "datasets" / "Rowan" / "hellaswag"
    shutil.copytree(data_dir / "hellaswag", dataset / "data")
    (dataset / "README.md").write_text(CARD)
    with running_hub(tmp_path / "hub") as running:
        yield running


def python(*arguments: str | Path, url: str, home: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Start Python with a hub and a cache of its own."""
    kept = {key: value for key, value in environment().items() if not key.startswith(("HF_", "HUGGINGFACE_"))}
    with one_core():
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            env={**kept, "PYTHONPATH": str(TOP), "HF_ENDPOINT": url, "HF_HOME": str(home), **changes},
            cwd=TOP, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip


def call(script: str, *flags: str | Path, url: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Call a script with a hub and a cache of its own."""
    return python(TOP / "scripts" / script, *flags, url=url, home=home)


def revisions(results: Path) -> list[str]:
    """The commits of the models that the results of a folder are of."""
    contents = [json.loads(path.read_text()) for path in results.glob("*.json")]
    return [content["identity"]["hellaswag_d"]["weights"]["revision"] for content in contents]


ONE_RUN = [
    *("-m", "lm_eval", "--model", "dist_sim", "--tasks", "hellaswag_d", "--limit", "3"),
    *("--model_args", "pretrained=some/tiny,WORD_AGG_SCHEME=mean,SIMILARITY_FUNC=dot_product"),
    *("--task_args", "encoding_scheme=concat_each_example"),
]


@pytest.mark.slow
@pytest.mark.ray
def test_what_was_fetched_ahead_runs_when_the_hub_is_gone_whether_told_so_or_not(hub, tmp_path):
    prefetch = ("prefetch.py", GRID, "--models", "some/tiny")
    place = {"url": hub.url, "home": tmp_path / "home"}
    told = call(*prefetch, "--dry_run", **place)
    assert told.returncode == 0, told.stderr
    files = list(hub.folder("models", "some/tiny").iterdir())
    size = sum(file.stat().st_size for file in files if file.name in needed_files([file.name for file in files]))
    assert f"some/tiny ({COMMIT[:12]}): 0 of 5 files in the cache, {size / 1e6:.2f} MB of" in told.stdout
    assert "dataset Rowan/hellaswag: to fetch" in told.stdout
    assert hub.fetched == []
    fetched = call(*prefetch, **place)
    assert fetched.returncode == 0, fetched.stderr
    assert "all is in the cache" in fetched.stdout
    assert sorted(name.rpartition("/")[2] for name in hub.fetched if name.startswith("some/")) == [
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    hub.fetched.clear()
    again = call(*prefetch, **place)
    assert again.returncode == 0, again.stderr
    assert "some/tiny (0123456789ab): 5 of 5 files in the cache\n" in again.stdout
    assert not any(name.startswith("some/") for name in hub.fetched)
    gone = {"url": "http://127.0.0.1:1", "home": tmp_path / "home"}
    ran = call(GRID, "--models", "some/tiny", "--limit", "3", "--results_dir", tmp_path / "grid", **gone)
    assert ran.returncode == 0, ran.stderr
    assert revisions(tmp_path / "grid") == [COMMIT] * 5
    told_so = python(*ONE_RUN, "--output_dir", tmp_path / "one", **gone, HF_HUB_OFFLINE="1")
    assert told_so.returncode == 0, told_so.stderr
    assert revisions(tmp_path / "one") == [COMMIT]
    offline_again = call(*prefetch, **gone)
    assert offline_again.returncode == 0
    assert "in the cache, but the hub could not be asked for a newer version: some/tiny" in offline_again.stderr


@pytest.mark.slow
def test_all_that_is_missing_is_told_at_once_with_the_flags_that_help(hub, tmp_path, data_dir):
    url = "http://127.0.0.1:1"
    ended = call(GRID, "--models", "some/tiny,other/one", "--results_dir", tmp_path / "results", url=url, home=tmp_path)
    assert ended.returncode == 2
    lines = ended.stderr.splitlines()
    assert lines[0] == "error: 2 things are not available or not usable:"
    assert lines[1].startswith(
        "  2 models are neither folders nor in the hub's cache, and the model hub doesn't provide"
    )
    assert ": some/tiny, other/one; " in lines[1]
    assert lines[2].startswith("  Rowan/hellaswag: the validation split cannot be loaded")
    assert "--data_dir to a script" in lines[2]
    assert all("scripts/prefetch.py" in line for line in lines[1:])
    assert len(lines) == 3
    fetched = call("prefetch.py", GRID, "--models", "some/tiny", "--data_dir", data_dir, url=hub.url, home=tmp_path)
    assert fetched.returncode == 0, fetched.stderr
    (weights,) = (tmp_path / "hub").rglob("snapshots/*/model.safetensors")
    weights.unlink()
    ended = call(
        GRID, "--models", "some/tiny", "--data_dir", data_dir, "--results_dir", tmp_path / "results", url=url,
        home=tmp_path,
    )  # fmt: skip
    assert ended.returncode == 2
    assert "pretrained=some/tiny: the cache lacks the weights, and the model hub doesn't provide it" in ended.stderr
    assert "(scripts/prefetch.py), or give other models or folders (--models)" in ended.stderr
    assert not (tmp_path / "results").exists() or not list((tmp_path / "results").glob("*.json"))


def test_a_name_that_the_hub_does_not_know_is_missing_and_the_rest_is_fetched(hub, tmp_path, data_dir):
    flags = ("--models", "some/tiny,some/nothing", "--data_dir", data_dir)
    ended = call("prefetch.py", GRID, *flags, url=hub.url, home=tmp_path / "home")
    assert ended.returncode == 1
    assert "missing: some/nothing: the model is not available from the hub (RepositoryNotFoundError" in ended.stderr
    assert lacking(next((tmp_path / "home" / "hub").rglob("snapshots/*"))) == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["nowhere.py"], "nowhere.py: no such grid script"),
        ([GRID, "--models", "./nowhere"], "no such model folder"),
        ([GRID, "--models", "demo", "--data_dir", "/nowhere"], "does not exist; it must hold"),
    ],
)
def test_a_wrong_call_is_one_message_and_status_2(flags, message, tmp_path):
    ended = call("prefetch.py", *flags, url="http://127.0.0.1:1", home=tmp_path)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_script_without_a_grid_is_told(tmp_path):
    for text, message in (("x = 1", "no function `run` that returns a Grid"), ("run = lambda: 1 / 0", "ZeroDivision")):
        (tmp_path / "script.py").write_text(text)
        with pytest.raises(ConfigurationError, match=message):
            grids_of(tmp_path / "script.py")


SHARDED = ["model.safetensors.index.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


@pytest.mark.parametrize(
    ("there", "needed"),
    [
        (
            ["config.json", "model.safetensors", "pytorch_model.bin", "tf_model.h5"],
            ["config.json", "model.safetensors"],
        ),
        (["pytorch_model.bin", "flax_model.msgpack", "merges.txt"], ["merges.txt", "pytorch_model.bin"]),
        ([*SHARDED, "consolidated.safetensors", "pytorch_model.bin", "onnx/model.onnx"], SHARDED),
        (
            ["model.safetensors.index.json", "model_00001-of-00072.safetensors"],
            ["model.safetensors.index.json", "model_00001-of-00072.safetensors"],
        ),
        (["README.md", "optimizer.bin"], []),
    ],
)
def test_of_a_repository_only_what_loading_needs_is_taken(there, needed):
    assert needed_files(there) == needed


def test_a_snapshot_without_a_shard_lacks_it(tmp_path):
    assert lacking(tmp_path) == ["config.json", "the tokenizer", "the weights"]
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("{}")
    index = {"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "model-1-of-2.safetensors").write_text("x")
    assert lacking(tmp_path) == ["model-2-of-2.safetensors"]
    (tmp_path / "model-2-of-2.safetensors").write_text("x")
    assert lacking(tmp_path) == []
