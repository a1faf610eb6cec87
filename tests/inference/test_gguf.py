"""GGUF files are read as what they were made of: weights, config, tokenizer; and refused where that can't be."""

from pathlib import Path

import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from peft import LoraConfig, get_peft_model

from lm_eval.config.checkpoint import Checkpoint
from lm_eval.errors import ConfigurationError
from lm_eval.evaluator import simple_evaluate
from lm_eval.inference.loading import load_model
from lm_eval.models.info import read_facts
from tests.support.gguf_files import write_gguf
from tests.support.tiny_models import SENTENCES, tiny_model
from tests.support.tokenizer_forms import load_with_tokenizer

SIX = ["sliding_attention"] * 5 + ["full_attention"]
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 10_000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 32}
MODELS = {
    "llama": ("llama", {}),
    "llama 3.1": ("llama", {"rope_parameters": LLAMA3, "head_dim": 16}),
    "llama, untied, with biases": ("llama", {"tie_word_embeddings": False, "attention_bias": True, "mlp_bias": True}),
    "llama with few frequencies": (
        "llama",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 5e5, "factor": 2.0}},
    ),
    "mistral": ("mistral_full", {"head_dim": 16}),
    "qwen2": ("qwen2", {}),
    "qwen2 in yarn": ("qwen2", {"rope_parameters": YARN, "tie_word_embeddings": True}),
    "qwen3": ("qwen3", {"head_dim": 16}),
    "phi3": ("phi3", {"sliding_window": 8}),
    "phi3 with longrope": ("phi3_turning", {}),
    "gemma2": ("gemma2", {"attn_logit_softcapping": 20.0, "final_logit_softcapping": 10.0}),
    "gemma3": ("gemma3_text", {"num_hidden_layers": 7, "layer_types": [*SIX, SIX[0]]}),
    "gpt2": ("gpt2", {}),
    "gpt2, untied": ("gpt2", {"tie_word_embeddings": False}),
    "bloom": ("bloom", {}),
    "bloom, untied": ("bloom", {"tie_word_embeddings": False}),
    "falcon, untied": ("falcon", {"tie_word_embeddings": False}),
    "falcon": ("falcon", {}),
    "stablelm": ("stablelm", {"use_qkv_bias": True}),
    "starcoder2": ("starcoder2", {"tie_word_embeddings": True}),
}


def pair(folder: Path, name: str, kind: Kind = Kind.F32, **further) -> tuple[Path, Path]:
    """Write a tiny model as a GGUF file, and what that decodes to as a folder."""
    family, overrides = MODELS[name]
    model, tokenizer = tiny_model(family, **{**overrides, **further})
    path = write_gguf(folder / "a model.gguf", model, tokenizer, kind=kind)
    model.save_pretrained(folder / "plain")
    tokenizer.save_pretrained(folder / "plain")
    return path, folder / "plain"


@torch.no_grad()
def logits(path: Path, dtype: str = "float32") -> torch.Tensor:
    model = load_model(str(path), dtype=dtype, device="cpu")
    rows = model.tokenize([" ".join(SENTENCES)], special=False)
    return model.network(torch.tensor(rows)[:, :100]).logits


@pytest.mark.parametrize("name", MODELS)
def test_a_gguf_file_predicts_what_its_checkpoint_predicts(name, tmp_path):
    path, plain = pair(tmp_path, name)
    torch.testing.assert_close(logits(path), logits(plain), rtol=1e-5, atol=1e-5)
    assert read_facts(str(path)).parameters == sum(p.numel() for p in load_model(str(plain)).network.parameters())
    assert read_facts(str(path)).family == read_facts(str(plain)).family


@pytest.mark.parametrize(
    "kind", [Kind.F16, Kind.BF16, Kind.Q8_0, Kind.Q4_1, Kind.Q4_K, Kind.Q6_K], ids=lambda k: k.name
)
def test_weights_of_every_format_are_those_that_its_blocks_stand_for(kind, tmp_path):
    wide = {"hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 2}
    path, plain = pair(tmp_path, "llama", kind, **wide)
    torch.testing.assert_close(logits(path), logits(plain), rtol=1e-5, atol=1e-5)


def scores(pretrained: Path, data_dir: Path, model: str, task: str, scheme: str, settings: str = "") -> list[float]:
    result = simple_evaluate(
        model=model,
        model_args=f"pretrained={pretrained},dtype=float32{settings}",
        tasks=task,
        task_args=f"encoding_scheme={scheme},data_dir={data_dir}",
        num_fewshot=1,
        limit=4,
        log_samples=True,
    )
    return [score for sample in result["samples"][task] for score in sample["scores"]]


@pytest.mark.parametrize("body", ["byte level", "prepend", "sentencepiece without prefix"])
def test_all_scores_are_those_of_the_decoded_weights(body, data_dir, tmp_path):
    loaded = load_with_tokenizer("llama", body, "BOS")
    vocabulary = {"pre": "gpt-2"} if body == "byte level" else {}
    path = write_gguf(tmp_path / "m.gguf", loaded.network, loaded.tokenizer, kind=Kind.Q8_0, vocabulary=vocabulary)
    plain = tmp_path / "plain"
    loaded.network.save_pretrained(plain)
    loaded.tokenizer.save_pretrained(plain)
    for one in (
        ("dist_gen", "hellaswag_dg", "cross_encoding"),
        ("dist_gen", "hellaswag_dg", "sentence_level_segmentation", ",WORD_AGG_SCHEME=mean,ENCODING_LAYER=1"),
        ("dist_sim", "hellaswag_d", "concat_each_example", ",WORD_AGG_SCHEME=w1mean,SIMILARITY_FUNC=dot_product"),
    ):
        assert scores(path, data_dir, *one) == pytest.approx(scores(plain, data_dir, *one), abs=1e-5)


def test_a_smaller_dtype_is_that_of_the_loaded_weights(tmp_path):
    path, plain = pair(tmp_path, "llama")
    model = load_model(str(path), dtype="bfloat16", device="cpu")
    assert {parameter.dtype for parameter in model.network.parameters()} == {torch.bfloat16}
    torch.testing.assert_close(logits(path, "bfloat16"), logits(plain, "bfloat16"))


def test_an_adapter_is_merged_into_decoded_weights(tmp_path):
    path, plain = pair(tmp_path, "llama")
    base = load_model(str(plain), dtype="float32", device="cpu").network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        adapted = get_peft_model(base, LoraConfig(target_modules=["q_proj"], r=2, init_lora_weights=False))
    adapted.save_pretrained(tmp_path / "adapter")
    found = [
        load_model(str(one), checkpoint=Checkpoint(peft=str(tmp_path / "adapter")), dtype="float32").network
        for one in (path, plain)
    ]
    torch.testing.assert_close(found[0].state_dict(), found[1].state_dict())


def test_a_tensor_that_has_no_place_in_the_model_is_refused(tmp_path):
    model, tokenizer = tiny_model("llama", attention_bias=True)
    left_out = [f"blk.{layer}.attn_q.bias" for layer in (0,)]  # by which the config is told
    path = write_gguf(tmp_path / "m.gguf", model, tokenizer, left_out=left_out)
    with pytest.raises(ConfigurationError, match=r"transformers takes [\d,]+ of the [\d,]+ values of the file"):
        load_model(str(path))


def test_a_tensor_that_the_file_lacks_is_named(tmp_path):
    model, tokenizer = tiny_model("llama")
    path = write_gguf(tmp_path / "m.gguf", model, tokenizer, left_out=["blk.1.ffn_up.weight"])
    with pytest.raises(
        ConfigurationError, match=r"not complete: 1 of .* missing \(model.layers.1.mlp.up_proj.weight\)"
    ):
        load_model(str(path))


def test_frequencies_that_follow_no_known_rule_are_refused(tmp_path):
    odd = {**LLAMA3, "high_freq_factor": 3.0}
    model, tokenizer = tiny_model("llama", rope_parameters=odd, head_dim=64)
    path = write_gguf(tmp_path / "m.gguf", model, tokenizer)
    with pytest.raises(ConfigurationError, match=r"rope_freqs.weight follow no known rule"):
        read_facts(str(path))


def test_loading_shows_nothing_of_its_own(tmp_path, capfd):
    path, _ = pair(tmp_path, "llama")
    capfd.readouterr()
    load_model(str(path))
    assert capfd.readouterr() == ("", "")
