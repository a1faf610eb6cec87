"""Weights, tokenizers and data that are exchanged while they are read: no result states one and holds another."""

import itertools
import json
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lm_eval.config.run_config import RunConfig
from lm_eval.config.runtime import Execution
from lm_eval.errors import ConfigurationError, DataError, RunError
from lm_eval.inference.loading import load_model
from lm_eval.models.info import model_identity
from lm_eval.results.identity import resolve
from lm_eval.scoring.run_pass import evaluate_many
from tests.support.exchanger import EXCHANGES
from tests.support.judging import load
from tests.support.tiny_models import save_tiny
from tests.support.worlds import hellaswag_row, write_rows

NUM_EXCHANGES = 30

Exchange = Callable[[Path, bytes], None]


def while_exchanged(path: Path, contents: list[bytes], exchange: Exchange) -> Iterator[int]:
    """Yield again and again while a file's content is exchanged at random moments, and once more when it stays."""
    rnd = random.Random(0)

    def run() -> None:
        for _, content in zip(range(NUM_EXCHANGES), itertools.cycle(contents), strict=False):
            exchange(path, content)
            time.sleep(rnd.uniform(0, 0.08))

    thread = threading.Thread(target=run)
    thread.start()
    for number in itertools.count():
        is_last = not thread.is_alive()
        yield number
        if is_last:
            return


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_data_that_are_exchanged_are_never_stated_for_the_others_scores(exchange, tmp_path):
    path = tmp_path / "hellaswag" / "validation.jsonl"
    rows = [hellaswag_row(number) for number in range(12)]
    turned = [{**row, "endings": row["endings"][::-1]} for row in rows]
    contents = []
    for some in (rows, turned):
        write_rows(path, some)
        contents.append(path.read_bytes())
    assert len(contents[0]) == len(contents[1])
    config = RunConfig.parse(
        model="dist_gen", model_args="pretrained=tiny", task="hellaswag_dg", num_fewshot=0, limit=3,
        task_args=f"encoding_scheme=cross_encoding,data_dir={tmp_path}",
    )  # fmt: skip
    model = load("gpt2")

    def once() -> tuple[str, list]:
        (evaluation,) = evaluate_many([resolve(config)], model, Execution())
        return json.dumps(evaluation.run.identity["data"]), [sample["scores"] for sample in evaluation.samples()]

    truth = {}
    for content in contents:
        path.write_bytes(content)
        stated, scores = once()
        truth[stated] = scores
    assert len(truth) == 2
    num_scored = 0
    for _ in while_exchanged(path, contents, exchange):
        with suppress(ConfigurationError, DataError, RunError):  # half a file
            stated, scores = once()
            assert truth[stated] == scores
            num_scored += 1
    assert num_scored > 0


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_model_states_the_files_that_it_was_loaded_from(name, exchange, tmp_path):
    folder = save_tiny("gpt2", tmp_path / "model")
    path, before = folder / name, (folder / name).read_bytes()
    if name == "tokenizer.json":
        after = before.replace(b'"add_prefix_space":false', b'"add_prefix_space":true ')
        after = before.replace(b'"add_prefix_space": false', b'"add_prefix_space": true ') if after == before else after
    else:
        tensors = {name: tensor + 1 for name, tensor in load_file(path).items()}
        save_file(tensors, path, metadata={"format": "pt"})
        after = path.read_bytes()
    assert len(before) == len(after)
    assert before != after

    def once() -> tuple[str, object]:
        model = load_model(str(folder), dtype="float32", device="cpu")
        assert model.content is not None
        weight = float(next(model.network.parameters()).detach().sum())
        return json.dumps(dict(model.content.weights)), (weight, model.tokenize(["the water"], special=False))

    truth = {}
    for content in (before, after):
        path.write_bytes(content)
        stated, holds = once()
        truth[stated] = holds
    assert len(truth) == 2
    num_loaded = 0
    for _ in while_exchanged(path, [before, after], exchange):
        with suppress(ConfigurationError):  # it changed while it was read
            stated, holds = once()
            assert truth[stated] == holds
            num_loaded += 1
    assert num_loaded > 0


def test_writing_over_a_file_in_place_changes_no_model_that_is_loaded(tmp_path):
    folder = save_tiny("gpt2", tmp_path / "model")
    model = load_model(str(folder), dtype="float32", device="cpu")
    before = [parameter.clone() for parameter in model.network.parameters()]
    path = folder / "model.safetensors"
    size = path.stat().st_size
    with path.open("r+b") as stream:
        stream.seek(size // 2)
        stream.write(b"\xff" * (size - size // 2))
    assert all(torch.equal(one, other) for one, other in zip(before, model.network.parameters(), strict=True))


def test_results_state_what_was_loaded_whatever_lies_there_now(tmp_path, data_dir):
    folder = save_tiny("gpt2", tmp_path / "model")
    model = load_model(str(folder), dtype="float32", device="cpu")
    config = RunConfig.parse(
        model="dist_gen", model_args=f"pretrained={folder}", task="hellaswag_dg", num_fewshot=0, limit=2,
        task_args=f"encoding_scheme=cross_encoding,data_dir={data_dir}",
    )  # fmt: skip
    run = resolve(config)
    shutil.rmtree(folder)
    save_tiny("gpt2", folder, seed=1)
    assert resolve(config).identity != run.identity
    (evaluation,) = evaluate_many([resolve(config)], model, Execution())
    assert evaluation.run.identity["weights"] == run.identity["weights"]


def test_shards_that_an_index_names_in_a_subfolder_are_identified(tmp_path):
    folder = save_tiny("gpt2", tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    (folder / "shards").mkdir()
    index = {"metadata": {}, "weight_map": dict.fromkeys(tensors, "shards/a.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    stated = []
    for added in (0.0, 1.0):
        changed = {name: tensor + added for name, tensor in tensors.items()}
        save_file(changed, folder / "shards" / "a.safetensors", metadata={"format": "pt"})
        stated.append(model_identity(str(folder), None))
    assert stated[0] != stated[1]


@pytest.mark.parametrize("name", ["qwen.tiktoken", "source.spm", "tokenizer.model", "vocab.txt", "tekken.json"])
def test_a_vocabulary_of_any_form_belongs_to_the_model(name, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    stated = []
    for content in ("one", "two"):
        (folder / name).write_text(content)
        stated.append(model_identity(str(folder), None))
    assert stated[0] != stated[1]
