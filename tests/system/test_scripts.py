"""The grid scripts as a user calls them, with Ray really started."""

import json
import re
import runpy
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.clusters import call, running_cluster
from tests.support.grid_runs import DEMO_LIMIT
from tests.support.paths import TOP
from tests.support.tiny_models import save_tiny

SCRIPTS = TOP / "scripts"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_tiny("gpt2", tmp_path_factory.mktemp("models") / "tiny-gpt2")


@pytest.fixture
def call_here(monkeypatch, capsys) -> Iterator[Callable[..., tuple[object, str]]]:
    """Call a script in this process, which has imported what takes a second; return its status and what it says."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]

    def call(script: Path, *arguments: str | Path) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(script), run_name="__main__")
        return ended.value.code, capsys.readouterr().err

    yield call
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--overwrite-result"], "unknown flag --overwrite-result (did you mean --overwrite_results?); choose from"),
        (
            ["--models", "demo", "--data_dir", "/nowhere"],
            "does not exist; it must hold the validation rows of hellaswag",
        ),
    ],
)
def test_a_wrong_call_ends_in_one_message_and_status_2(arguments, message, tmp_path):
    ended = call("run_parallel_gen_gpt.py", *arguments, "--results_dir", tmp_path / "results")
    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "demo", "--limit", "5:5"], "limit '5:5' selects no document"),
        (["--models", "demo", "--dry_run=maybe"], "--dry_run is a switch"),
        (["--models", "demo", "-N", "0"], "--NUM_GPUS_PER_RUN must be a whole number of at least 1, got 0"),
        (["--models", "demo", "--dtype", "fp16"], "--dtype: unknown value 'fp16'; choose from float32, float16, bfl"),
        (["demo"], "unexpected argument 'demo'"),
        (["--models", "./nowhere"], "no such model folder"),
    ],
)
def test_a_wrong_value_of_a_flag_ends_in_one_message_and_status_2(arguments, message, call_here, tmp_path):
    status, said = call_here(SCRIPTS / "run_parallel_gen_gpt.py", *arguments, "--results_dir", tmp_path / "results")
    assert status == 2
    assert message in said
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "results").exists()


def test_a_broken_data_file_is_named_with_its_line_before_anything_runs(model, data_dir, tmp_path):
    folder = tmp_path / "data" / "hellaswag"
    folder.mkdir(parents=True)
    rows = (data_dir / "hellaswag" / "validation.jsonl").read_text().splitlines()
    row = json.loads(rows[2])
    del row["endings"]
    (folder / "validation.jsonl").write_text("\n".join([*rows[:2], json.dumps(row), *rows[3:]]))
    (folder / "train.jsonl").write_text((data_dir / "hellaswag" / "train.jsonl").read_text())
    arguments = ("--models", model, "--data_dir", tmp_path / "data", "--results_dir", tmp_path / "results")
    ended = call("run_parallel_gen_gpt.py", *arguments)
    assert ended.returncode == 2
    assert f"{folder / 'validation.jsonl'}, line 3: field 'endings' is missing" in ended.stderr


@pytest.mark.slow
def test_a_grid_runs_once_and_a_deleted_file_is_run_again(demo_run, tmp_path):
    shutil.copytree(demo_run.results / "lmeval_results_gen", tmp_path / "results")
    arguments = ("--models", "demo", "--limit", DEMO_LIMIT, "--compression", "--results_dir", tmp_path / "results")
    again = call("run_parallel_gen_gpt.py", *arguments)
    assert again.returncode == 0
    assert "0 to run, 30 done" in again.stdout
    file = sorted((tmp_path / "results").glob("*.json"))[5]
    before = json.loads(file.read_text())
    file.unlink()
    third = call("run_parallel_gen_gpt.py", "--cluster", "none", *arguments)
    assert third.returncode == 0
    assert "1 to run, 29 done" in third.stdout
    assert json.loads(file.read_text())["results"] == before["results"]


@pytest.mark.slow
def test_every_script_runs_its_grid(demo_run):
    """The demonstration calls each of them."""
    files = demo_run.results.glob("*/*.json")
    assert Counter((path.parent.name, *json.loads(path.read_text())["results"]) for path in files) == {
        ("lmeval_results_baseline", "hellaswag_dg"): 6,
        ("lmeval_results_baseline", "hellaswag_d"): 2,
        ("lmeval_results_gen", "hellaswag_dg"): 30,
        ("lmeval_results_t5", "hellaswag_dg"): 21,
        ("lmeval_results_t5", "hellaswag_d"): 14,
        ("lmeval_results_sim_latest", "hellaswag_d"): 5,
    }


@pytest.mark.slow
def test_the_baseline_runs_its_controls_beside_it_and_no_other_script_has_any(demo_run, model, data_dir, tmp_path):
    """The demonstration calls it with the switch."""
    files = (demo_run.results / "lmeval_results_baseline").glob("*.json")
    contents = [json.loads(path.read_text()) for path in files]
    stated = [(*content["results"], content["config"]["task_args"].partition(",")[0]) for content in contents]
    num_models = 2
    assert Counter(stated) == {
        ("hellaswag_dg", "encoding_scheme=cross_encoding"): 2 * num_models,
        ("hellaswag_dg", "encoding_scheme=no_context"): num_models,
        ("hellaswag_d", "encoding_scheme=no_context"): num_models,
    }
    named = ("--models", model, "--data_dir", data_dir, "--results_dir", tmp_path)
    without = call("run_parallel_baseline.py", "--dry_run", *named)
    assert "2 to run, 0 done" in without.stdout
    refused = call("run_parallel_gen_gpt.py", "--controls", *named)
    assert refused.returncode == 2
    assert "unknown flag --controls; choose from" in refused.stderr


@pytest.fixture
def cluster() -> Iterator[str]:
    """The address of a running cluster with two declared GPUs."""
    with running_cluster(6399, 2) as (address, _):
        yield address


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.cluster
def test_a_running_cluster_can_be_joined_and_runs_take_the_gpus_they_ask_for(cluster, model, data_dir, tmp_path):
    arguments = ("--models", model, "--data_dir", data_dir, "--results_dir", tmp_path, "--limit", "3")
    found = call("run_parallel_sim_gpt.py", "-c", "auto", "-N", "2", *arguments)
    assert found.returncode == 0, found.stderr
    assert re.search(
        r"^--cluster auto: joined the Ray cluster at \S+:6399, which \w+ runs$", found.stderr, re.MULTILINE
    )
    assert "2 GPUs a run: tiny-gpt2" in found.stdout
    assert len(list(tmp_path.glob("*.json"))) == 5
    refused = call("run_parallel_sim_gpt.py", "-c", cluster, "-N", "3", "--overwrite_results", *arguments)
    assert refused.returncode == 2
    assert "--NUM_GPUS_PER_RUN 3: no machine of the cluster has so many GPUs; the largest has 2" in refused.stderr


def test_an_address_where_nothing_listens_is_refused_at_once(model, data_dir, tmp_path):
    arguments = ("--models", model, "--data_dir", data_dir, "--limit", "3", "--results_dir", tmp_path)
    ended = call("run_parallel_sim_gpt.py", "-c", "127.0.0.1:1", *arguments)
    assert ended.returncode == 2
    assert "--cluster 127.0.0.1:1: no Ray cluster can be joined there" in ended.stderr


def test_without_a_cluster_to_join_the_call_is_refused(model, data_dir, tmp_path, monkeypatch):
    """No process of another test's cluster may be seen."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    alone = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode != 0:
        alone = []
        if any(process.info["name"] == "raylet" for process in psutil.process_iter(["name"])):
            pytest.skip("a Ray cluster runs on this machine, and processes can't be hidden here")
    arguments = ("--models", model, "--data_dir", data_dir, "--limit", "3", "--results_dir", tmp_path)
    ended = call("run_parallel_sim_gpt.py", "-c", "auto", *arguments, prefix=alone)
    assert ended.returncode == 2
    assert "--cluster auto: no Ray cluster can be joined there" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_a_dataset_hub_the_call_is_refused_with_the_flag_that_helps(model, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    ended = call("run_parallel_sim_gpt.py", "--models", model, "--results_dir", tmp_path / "results")
    assert ended.returncode == 2
    assert "error: Rowan/hellaswag: the validation split cannot be loaded" in ended.stderr
    assert "--data_dir" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "misspelt", "message"),
    [
        (
            "encoding_scheme=[",
            "encoding_schem=[",
            "unexpected keyword argument 'encoding_schem'; its lists are model, task",
        ),
        ("max_size=14", "max_siz=14", "unexpected keyword argument 'max_siz'"),
        (
            '"decoder-only", max',
            '"decoder", max',
            "unknown arch_type 'decoder'; choose from decoder-only, encoder-decoder",
        ),
        (
            '"NORM": [None]',
            '"NROM": [None]',
            "unknown setting NROM (did you mean 'NORM'?); choose from WORD_AGG_SCHEME",
        ),
    ],
)
def test_a_slip_in_the_grid_that_a_user_edits_is_one_message(tmp_path, line, misspelt, message):
    text = (SCRIPTS / "run_parallel_gen_gpt.py").read_text()
    assert line in text
    script = tmp_path / "edited.py"
    script.write_text(text.replace(line, misspelt, 1))
    ended = subprocess.run(
        [sys.executable, str(script), "--dry_run"], cwd=TOP, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
