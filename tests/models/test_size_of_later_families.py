"""Sizes of families beyond the paper's, by configs as their hubs have them, against models built without memory."""

import json
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from lm_eval.models.families import FAMILIES, find_family
from lm_eval.models.size import count_parameters
from lm_eval.scheduling.memory_need import memory_gib


def stack(hidden: int, layers: int, heads: int, ffn: int, vocabulary: int, **further: Any) -> dict[str, Any]:
    return {
        "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads, "intermediate_size": ffn,
        "vocab_size": vocabulary, **further,
    }  # fmt: skip


LIMIT = {"max_position_embeddings": 2048}
MODELS: dict[str, tuple[str, dict[str, Any], float]] = {
    "Llama-3-8B": ("llama", stack(4096, 32, 32, 14336, 128256, num_key_value_heads=8), 8.03),
    "Llama-3.2-1B": (
        "llama",
        stack(2048, 16, 32, 8192, 128256, num_key_value_heads=8, head_dim=64, tie_word_embeddings=True),
        1.24,
    ),
    "Mistral-7B": ("mistral", stack(4096, 32, 32, 14336, 32000, num_key_value_heads=8), 7.24),
    "Qwen2-7B": ("qwen2", stack(3584, 28, 28, 18944, 152064, num_key_value_heads=4), 7.62),
    "Qwen3-8B": ("qwen3", stack(4096, 36, 32, 12288, 151936, num_key_value_heads=8, head_dim=128), 8.19),
    "Phi-3-mini": ("phi3", stack(3072, 32, 32, 8192, 32064, num_key_value_heads=32), 3.82),
    "OLMo-7B": ("olmo", stack(4096, 32, 32, 11008, 50304), 6.89),
    "OLMo-2-7B": ("olmo2", stack(4096, 32, 32, 11008, 100352), 7.3),
    "StableLM-3B": ("stablelm", stack(2560, 32, 32, 6912, 50304), 2.8),
    "Gemma-7B": ("gemma", stack(3072, 28, 16, 24576, 256000, num_key_value_heads=16, head_dim=256), 8.54),
    "Gemma-2-9B": ("gemma2", stack(3584, 42, 16, 14336, 256000, num_key_value_heads=8, head_dim=256), 9.24),
    "Gemma-3-1B": ("gemma3_text", stack(1152, 26, 4, 6912, 262144, num_key_value_heads=1, head_dim=256), 1.0),
    "Phi-2": ("phi", stack(2560, 32, 32, 10240, 51200), 2.78),
    "OPT-350M": ("opt", stack(1024, 24, 16, 4096, 50272, ffn_dim=4096, word_embed_proj_dim=512, **LIMIT), 0.331),
    "OPT-1.3B": ("opt", stack(2048, 24, 32, 8192, 50272, ffn_dim=8192, word_embed_proj_dim=2048, **LIMIT), 1.32),
    "Falcon-7B": (
        "falcon",
        {"hidden_size": 4544, "num_hidden_layers": 32, "num_attention_heads": 71, "vocab_size": 65024},
        6.92,
    ),
    "MPT-7B": ("mpt", {"d_model": 4096, "n_layers": 32, "n_heads": 32, "vocab_size": 50432}, 6.65),
    "StarCoderBase-1B": (
        "gpt_bigcode",
        {"n_embd": 2048, "n_layer": 24, "n_head": 16, "n_inner": 8192, "n_positions": 8192, "vocab_size": 49152},
        1.14,
    ),
    "StarCoder2-3B": ("starcoder2", stack(3072, 30, 24, 12288, 49152, num_key_value_heads=2), 3.03),
    "Mamba-2.8B": ("mamba", {"hidden_size": 2560, "num_hidden_layers": 64, "vocab_size": 50280}, 2.77),
    "BART-large": ("bart", {}, 0.406),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_size_is_within_a_percent_of_the_real_model(name):
    model_type, fields, billions = MODELS[name]
    config = transformers.AutoConfig.for_model(model_type, **fields)
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.device("meta"):
        real = sum(parameter.numel() for parameter in auto.from_config(config).parameters())
    assert real == pytest.approx(billions * 1e9, rel=0.02)  # the config is that model's
    for written in ({"model_type": model_type, **fields}, json.loads(config.to_json_string())):
        assert count_parameters(written, FAMILIES[model_type]) == pytest.approx(real, rel=0.01)


def test_a_family_without_a_row_is_built_to_be_counted():
    config = transformers.CohereConfig(**stack(64, 2, 4, 128, 1000), model_type="cohere")
    written = json.loads(config.to_json_string())
    with torch.device("meta"):
        real = sum(parameter.numel() for parameter in AutoModelForCausalLM.from_config(config).parameters())
    assert count_parameters(written, find_family(written, "mine")) == real


def test_an_output_matrix_of_its_own_counts_though_transformers_ties_it():
    shape = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4, "vocab_size": 1000}
    for config in (transformers.UMT5Config(**shape), transformers.LongT5Config(**shape)):
        written = {**json.loads(config.to_json_string()), "tie_word_embeddings": True}
        tied, own = (
            count_parameters({**written, "tie_word_embeddings": tie}, find_family(written, "x"))
            for tie in (True, False)
        )
        assert own - tied == 1000 * 64


def test_what_cannot_be_built_has_no_size():
    config = {"model_type": "nobodys", "num_hidden_layers": 2}
    with pytest.raises(ValueError, match="a model of type 'nobodys' cannot be built"):
        count_parameters(config, find_family(config, "mine"))


def test_quantised_weights_take_their_bits():
    whole, eight, four = (memory_gib(8 << 30, "bfloat16", on_gpu=False, bits=bits) for bits in (None, 8, 4))
    assert (whole - 2, eight - 2, four - 2) == (16, 8, 4)
