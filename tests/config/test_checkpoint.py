"""What is loaded beside or in place of a model's own files: real files, really loaded."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from lm_eval.config.checkpoint import Checkpoint
from lm_eval.config.run_config import RunConfig
from lm_eval.errors import ConfigurationError
from lm_eval.evaluator import simple_evaluate
from lm_eval.inference.loading import load_model
from lm_eval.models.info import model_identity, read_facts
from tests.support.runs import identify
from tests.support.tiny_models import save_tiny, tiny_model

LONG = 512


def evaluate(pretrained: Path, data_dir: Path, further: str = "") -> dict:
    return simple_evaluate(
        model="dist_gen",
        model_args=f"pretrained={pretrained}{further}",
        tasks="hellaswag_dg",
        task_args=f"encoding_scheme=cross_encoding,data_dir={data_dir}",
        limit=3,
        log_samples=True,
    )


def scores(result: dict) -> list[float]:
    return [score for sample in result["samples"]["hellaswag_dg"] for score in sample["scores"]]


def weights_of(result: dict) -> dict:
    return result["identity"]["hellaswag_dg"]["weights"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny("llama", tmp_path_factory.mktemp("model") / "llama", max_length=LONG)


def test_a_subfolder_holds_the_model(model, data_dir, tmp_path):
    shutil.copytree(model, tmp_path / "all" / "best")
    found = evaluate(tmp_path / "all", data_dir, ",subfolder=best")
    assert scores(found) == scores(evaluate(model, data_dir))
    assert "subfolder=best" in found["config"]["model_args"]
    with pytest.raises(ConfigurationError, match=r"its subfolder=worst has no config.json"):
        evaluate(tmp_path / "all", data_dir, ",subfolder=worst")


def test_another_tokenizer_is_taken_and_makes_another_run(model, data_dir, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(model, bare, ignore=shutil.ignore_patterns("tokenizer*", "special*"))
    with pytest.raises(ConfigurationError, match="the folder has no tokenizer"):
        evaluate(bare, data_dir)
    found = evaluate(bare, data_dir, f",tokenizer={model}")
    assert scores(found) == scores(evaluate(model, data_dir))
    assert weights_of(found).keys() == {"content", "tokenizer"}


def test_what_is_loaded_decides_the_identity_and_nothing_else_does(model):
    plain = model_identity(str(model), None)
    assert plain.keys() == {"content"}
    assert model_identity(str(model), None, Checkpoint(load_in_4bit=True)) == {**plain, "bits": 4}
    assert model_identity("some/model", None, Checkpoint(peft="some/adapter", subfolder="x")) == {
        "hub": "some/model", "revision": None, "peft": "some/adapter", "subfolder": "x",
    }  # fmt: skip
    assert model_identity(str(model), None, Checkpoint(trust_remote_code=True)) == plain  # which has no code
    assert model_identity("some/model", None, Checkpoint(trust_remote_code=True)) == {
        "hub": "some/model", "revision": None, "trust_remote_code": True,
    }  # fmt: skip


def test_a_result_says_what_was_loaded_and_is_found_again_by_it(model, data_dir):
    config = RunConfig.parse(
        model="hf", model_args=f"pretrained={model},tokenizer={model},trust_remote_code=True,load_in_8bit=False",
        task="hellaswag", task_args=f"data_dir={data_dir}", num_fewshot=0,
    )  # fmt: skip
    assert config.checkpoint == Checkpoint(tokenizer=str(model), trust_remote_code=True)
    again = RunConfig.parse(
        model="hf", model_args=config.model_args(), task="hellaswag", task_args=config.task_args(), num_fewshot=0
    )
    assert again == config
    assert identify(again) == identify(config)


@pytest.mark.parametrize(
    ("further", "message"),
    [
        (",trust_remote_code=yes", "trust_remote_code=yes: must be True or False"),
        (",load_in_8bit=True,load_in_4bit=True", "exclude each other; leave one out"),
        (",peft=/nowhere", "peft=/nowhere: no such folder, or it has none of adapter_config.json"),
        (",tokenizer=/nowhere", "tokenizer=/nowhere: no such folder, or it has none of tokenizer.json"),
        (",peft=a/b,load_in_4bit=True", "peft=a/b: an adapter isn't merged into quantised weights"),
    ],
)
def test_a_wrong_key_is_refused_before_anything_is_loaded(model, data_dir, further, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        evaluate(model, data_dir, further)


def test_a_package_that_is_needed_and_missing_is_named(model, data_dir, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match="run pip install bitsandbytes"):
        evaluate(model, data_dir, ",load_in_8bit=True")


def save_adapter(folder: Path, *, seed: int) -> Path:
    """Write a LoRA adapter of the tiny Llama, none of its matrices zero."""
    network, _ = tiny_model("llama", max_length=LONG)
    adapted = get_peft_model(network, LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
    adapted.save_pretrained(folder)
    return folder


def test_an_adapter_is_merged_into_the_weights(model, data_dir, tmp_path):
    adapter = save_adapter(tmp_path / "adapter", seed=1)
    loaded = load_model(str(model), checkpoint=Checkpoint(peft=str(adapter)), dtype="float32")
    weights = dict(loaded.network.named_parameters())
    before = dict(load_model(str(model), dtype="float32").network.named_parameters())
    assert weights.keys() == before.keys()
    changed = {name.rpartition(".self_attn.")[2] for name in weights if not torch.equal(weights[name], before[name])}
    assert changed == {"q_proj.weight", "v_proj.weight"}
    adapted = evaluate(model, data_dir, f",peft={adapter}")
    assert scores(adapted) != pytest.approx(scores(evaluate(model, data_dir)))
    other = save_adapter(tmp_path / "other", seed=2)
    assert weights_of(adapted) != model_identity(str(model), None, Checkpoint(peft=str(other)))


def test_an_adapter_of_another_model_is_refused(data_dir, tmp_path):
    adapter = save_adapter(tmp_path / "adapter", seed=1)
    other = save_tiny("gpt2", tmp_path / "gpt2", max_length=LONG)
    with pytest.raises(ConfigurationError, match=r"peft=.*: cannot be merged into the model .*; was it trained for it"):
        evaluate(other, data_dir, f",peft={adapter}")


CODE = """
from transformers import LlamaConfig, LlamaForCausalLM

class MineConfig(LlamaConfig):
    model_type = "mine"

class MineForCausalLM(LlamaForCausalLM):
    config_class = MineConfig
"""


def test_code_that_comes_with_a_model_runs_only_where_that_is_allowed(model, data_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    mine = tmp_path / "mine"
    shutil.copytree(model, mine)
    config = json.loads((mine / "config.json").read_text())
    config |= {"model_type": "mine", "architectures": ["MineForCausalLM"]}
    config["auto_map"] = {"AutoConfig": "code.MineConfig", "AutoModelForCausalLM": "code.MineForCausalLM"}
    (mine / "config.json").write_text(json.dumps(config))
    (mine / "code.py").write_text(CODE)
    with pytest.raises(ConfigurationError, match="trust_remote_code=True"):
        evaluate(mine, data_dir)
    found = evaluate(mine, data_dir, ",trust_remote_code=True")
    assert scores(found) == pytest.approx(scores(evaluate(model, data_dir)), rel=1e-5)
    (mine / "code.py").write_text(CODE + "# changed\n")
    assert weights_of(found) != model_identity(str(mine), None, Checkpoint(trust_remote_code=True))


@pytest.mark.filterwarnings("ignore")  # bitsandbytes tells of casts
def test_quantised_weights_are_scored(data_dir, tmp_path):
    pytest.importorskip("bitsandbytes")
    wide = {"hidden_size": 64, "intermediate_size": 128}  # a block of weights that share a scale
    model = save_tiny("llama", tmp_path / "wide", max_length=LONG, **wide)
    exact = scores(evaluate(model, data_dir))
    for key in ("load_in_8bit", "load_in_4bit"):
        found = evaluate(model, data_dir, f",{key}=True")
        assert scores(found) != exact
        assert scores(found) == pytest.approx(exact, rel=0.5)
        assert f"{key}=True" in found["config"]["model_args"]


def test_facts_of_a_subfolder_are_its_own(model, tmp_path):
    shutil.copytree(model, tmp_path / "x")
    assert read_facts(str(tmp_path), None, Checkpoint(subfolder="x")).num_layers == 3
