"""Loading a model: device, dtype, several devices, and what is refused."""

import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.utils import logging as transformers_logging

from lm_eval.errors import ConfigurationError
from lm_eval.inference import loading
from lm_eval.inference.loading import choose_dtype, load_model
from lm_eval.models.families import FAMILIES as TABLE
from lm_eval.models.families import MAX_LENGTH_UNLIMITED
from lm_eval.models.info import read_facts
from tests.support.tiny_models import FAMILIES, save_tiny


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp("models")
    return {family: save_tiny(family, top / family, max_length=64) for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_config_and_loaded_model_agree_on_the_number_of_layers(folders, family):
    assert read_facts(str(folders[family])).num_layers == load_model(str(folders[family])).num_layers == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_the_longest_sequence_is_the_configs_or_for_bloom_the_tokenizers(folders, family):
    expected = MAX_LENGTH_UNLIMITED if family in ("t5", "t5_relu", "mt5") else 64
    assert load_model(str(folders[family])).max_length == expected


def test_a_bloom_tokenizer_without_limit_gives_the_common_maximum(tmp_path):
    assert load_model(str(save_tiny("bloom", tmp_path / "m", max_length=10**30))).max_length == MAX_LENGTH_UNLIMITED


def test_the_cpu_gets_float32_whatever_the_checkpoint_is_stored_in(folders):
    model = load_model(str(folders["gpt2"]))
    assert model.dtype == torch.float32
    assert model.device.type == "cpu"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_a_dtype_can_be_asked_for(folders, dtype):
    assert load_model(str(folders["gpt2"]), dtype=dtype).dtype == getattr(torch, dtype)


@pytest.mark.parametrize(
    ("capability", "family", "expected"),
    [
        ((9, 0), "gpt2", torch.bfloat16),
        ((8, 0), "t5", torch.bfloat16),
        ((7, 5), "gpt2", torch.float16),
        ((7, 5), "t5", torch.float32),
    ],
)
def test_a_gpu_gets_the_dtype_that_it_computes_natively_and_the_family_survives(
    monkeypatch, capability, family, expected
):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_dtype(None, TABLE[family], torch.device("cuda")) == expected


def test_a_model_can_be_spread_by_accelerate(folders):
    spread, whole = load_model(str(folders["gpt2"]), spread=True), load_model(str(folders["gpt2"]))
    ids = torch.arange(5).unsqueeze(0)
    assert torch.equal(spread.network(ids).logits, whole.network(ids).logits)


def test_loading_is_quiet_and_leaves_the_loggers_as_they_were(folders, capfd):
    before = transformers_logging.get_verbosity()
    load_model(str(folders["t5"]))
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    assert transformers_logging.get_verbosity() == before
    assert transformers_logging.is_progress_bar_enabled()
    assert logging.getLogger("lm_eval").level == logging.NOTSET


def test_a_model_that_scores_no_text_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert", "architectures": ["BertForMaskedLM"]}')
    with pytest.raises(
        ConfigurationError, match=r"model type 'bert' \(BertForMaskedLM\) scores no text; choose a causal"
    ):
        read_facts(str(tmp_path))


@pytest.mark.parametrize("content", ["{", "[]", '{"model_type": "gpt2"}', '{"model_type": "gpt2", "n_layer": null}'])
def test_a_config_that_cannot_be_used_is_named(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigurationError, match=r"config.json is not a usable model config|is not supported"):
        read_facts(str(tmp_path))


def test_a_hub_name_without_a_network_fails_at_once_and_says_what_to_do(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    message = r"pretrained=nobody/no-such-model: neither a local folder nor available from the model hub or its cache"
    with pytest.raises(ConfigurationError, match=message):
        read_facts("nobody/no-such-model")


def test_a_checkpoint_without_tokenizer_is_refused(folders, tmp_path):
    for path in folders["gpt2"].iterdir():
        if not path.name.startswith("tokenizer"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ConfigurationError, match="the tokenizer has no vocabulary; are its files there"):
        load_model(str(tmp_path))


def test_a_checkpoint_that_lacks_a_tensor_is_refused_rather_than_filled_at_random(folders, tmp_path):
    for path in folders["gpt2"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["transformer.h.0.mlp.c_fc.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigurationError, match=r"not complete: 1 of the model's tensors .*h\.0\.mlp\.c_fc\.weight"):
        load_model(str(tmp_path))


def test_a_truncated_checkpoint_is_refused(folders, tmp_path):
    for path in folders["gpt2"].iterdir():
        content = path.read_bytes()
        (tmp_path / path.name).write_bytes(content[: len(content) // 2] if path.suffix == ".safetensors" else content)
    with pytest.raises(ConfigurationError, match=f"pretrained={tmp_path}: the weights cannot be loaded"):
        load_model(str(tmp_path))


def test_a_device_that_is_not_there_is_refused(folders):
    with pytest.raises(ConfigurationError, match=r"device 'cuda:7' is not available on this machine"):
        load_model(str(folders["gpt2"]), device="cuda:7")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_taken_where_there_is_one(folders):
    assert loading.load_model(str(folders["gpt2"])).device.type == "cuda"
