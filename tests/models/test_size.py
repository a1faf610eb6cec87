"""Sizes told by a config alone, against transformers' own models on the meta device and against published numbers."""

import json

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BloomConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoConfig,
    GPTNeoXConfig,
    MT5Config,
    T5Config,
)

from lm_eval.models.families import FAMILIES
from lm_eval.models.size import count_parameters
from lm_eval.scheduling.memory_need import memory_gib

T5 = {"vocab_size": 700, "d_model": 128, "d_kv": 32, "d_ff": 256, "num_layers": 2, "num_heads": 4}
GPT2 = {"vocab_size": 700, "n_positions": 300, "n_embd": 128, "n_layer": 3, "n_head": 4}
NEO = {
    "vocab_size": 700,
    "max_position_embeddings": 300,
    "hidden_size": 128,
    "num_layers": 2,
    "num_heads": 4,
    "attention_types": [[["global", "local"], 1]],
}
NEOX = {
    "vocab_size": 700,
    "hidden_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "max_position_embeddings": 300,
}
BLOOM = {"vocab_size": 700, "hidden_size": 128, "n_layer": 3, "n_head": 4}

CONFIGS = [
    (GPT2Config, GPT2),
    (GPT2Config, {**GPT2, "n_inner": 200}),
    (GPT2Config, {**GPT2, "tie_word_embeddings": False}),
    (GPT2Config, {name: value for name, value in NEOX.items() if name != "intermediate_size"}),
    (GPTNeoConfig, NEO),
    (GPTNeoConfig, {**NEO, "intermediate_size": 900, "tie_word_embeddings": False}),
    (GPTJConfig, {**GPT2, "rotary_dim": 8}),
    (GPTJConfig, {**GPT2, "rotary_dim": 8, "n_inner": 1000}),
    (GPTJConfig, {**GPT2, "rotary_dim": 8, "tie_word_embeddings": True}),
    (GPTNeoXConfig, NEOX),
    (GPTNeoXConfig, {**NEOX, "intermediate_size": 300}),
    (GPTNeoXConfig, {**NEOX, "tie_word_embeddings": True}),
    (BloomConfig, BLOOM),
    (BloomConfig, {**BLOOM, "tie_word_embeddings": False}),
    (BloomConfig, {"vocab_size": 700, "n_embed": 192, "num_hidden_layers": 2}),
    (T5Config, T5),
    (T5Config, {**T5, "feed_forward_proj": "gated-gelu"}),
    (T5Config, {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    (T5Config, {**T5, "d_kv": 80, "num_decoder_layers": 5, "num_heads": 3}),
    (MT5Config, T5),
    (MT5Config, {**T5, "d_ff": 1000, "d_kv": 16}),
    (MT5Config, {**T5, "feed_forward_proj": "relu"}),
]


def real_size(config, fields):
    """Count a model's parameters, tied ones once; a T5 whose config unties it has an output matrix in its checkpoint,
    which transformers finds there when it loads one, but does not foresee."""
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.device("meta"):
        model = auto.from_config(config)
    size = sum(parameter.numel() for parameter in model.parameters())
    if config.is_encoder_decoder and fields.get("tie_word_embeddings") is False:
        size += config.vocab_size * config.d_model
    return size


@pytest.mark.parametrize(("maker", "fields"), CONFIGS, ids=[maker.model_type for maker, _ in CONFIGS])
def test_the_size_is_within_a_percent_of_the_real_models(maker, fields):
    config = maker(**fields)
    real = real_size(config, fields)
    family = FAMILIES[config.model_type]
    assert count_parameters(fields, family) == pytest.approx(real, rel=0.01)
    assert count_parameters(json.loads(config.to_json_string()), family) == pytest.approx(real, rel=0.01)


PYTHIA = {"vocab_size": 50304, "tie_word_embeddings": False}
FLAN = {"vocab_size": 32128, "d_kv": 64, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
MT5_SMALL = {"vocab_size": 250112, "d_model": 512, "d_ff": 1024, "num_layers": 8, "num_heads": 6}


@pytest.mark.parametrize(
    ("name", "family", "config", "size"),
    [
        (
            "pythia-410m",
            "gpt_neox",
            {**PYTHIA, "hidden_size": 1024, "num_hidden_layers": 24, "intermediate_size": 4096},
            405_334_016,
        ),
        (
            "pythia-1.4b",
            "gpt_neox",
            {**PYTHIA, "hidden_size": 2048, "num_hidden_layers": 24, "intermediate_size": 8192},
            1_414_647_808,
        ),
        (
            "pythia-6.9b",
            "gpt_neox",
            {**PYTHIA, "vocab_size": 50432, "hidden_size": 4096, "num_hidden_layers": 32, "intermediate_size": 16384},
            6_857_302_016,
        ),
        (
            "pythia-12b",
            "gpt_neox",
            {**PYTHIA, "vocab_size": 50688, "hidden_size": 5120, "num_hidden_layers": 36, "intermediate_size": 20480},
            11_846_072_320,
        ),
        (
            "gpt-neox-20b",
            "gpt_neox",
            {"vocab_size": 50432, "hidden_size": 6144, "num_hidden_layers": 44, "intermediate_size": 24576},
            20_554_567_680,
        ),
        (
            "gpt-neo-2.7B",
            "gpt_neo",
            {
                "vocab_size": 50257,
                "max_position_embeddings": 2048,
                "hidden_size": 2560,
                "num_layers": 32,
                "intermediate_size": None,
            },
            2_651_307_520,
        ),
        (
            "gpt-j-6B",
            "gptj",
            {"vocab_size": 50400, "n_positions": 2048, "n_embd": 4096, "n_layer": 28, "tie_word_embeddings": False},
            6_050_882_784,
        ),
        (
            "gpt2",
            "gpt2",
            {"vocab_size": 50257, "n_positions": 1024, "n_ctx": 1024, "n_embd": 768, "n_layer": 12},
            124_439_808,
        ),
        ("bloom-7b1", "bloom", {"vocab_size": 250880, "n_embed": 4096, "n_layer": 30, "n_inner": None}, 7_069_016_064),
        (
            "flan-t5-base",
            "t5",
            {**FLAN, "d_model": 768, "d_ff": 2048, "num_layers": 12, "num_decoder_layers": 12, "num_heads": 12},
            247_577_856,
        ),
        (
            "flan-t5-xxl",
            "t5",
            {**FLAN, "d_model": 4096, "d_ff": 10240, "num_layers": 24, "num_decoder_layers": 24, "num_heads": 64},
            11_135_332_352,
        ),
        (
            "t5-small",
            "t5",
            {"vocab_size": 32128, "d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8},
            60_506_624,
        ),
        ("mt5-small", "mt5", {**FLAN, **MT5_SMALL}, 300_176_768),
    ],
)
def test_published_models_have_their_published_size(name, family, config, size):
    assert count_parameters(config, FAMILIES[family]) == pytest.approx(size, rel=0.001)


def test_a_t5_saved_by_transformers_5_keeps_its_output_matrix():
    before = {**T5, "tie_word_embeddings": False}
    after = json.loads(T5Config(**before).to_json_string())
    assert after["tie_word_embeddings"] is True
    assert count_parameters(after, FAMILIES["t5"]) == count_parameters(before, FAMILIES["t5"])


@pytest.mark.parametrize("family", ["gpt2", "gpt_neo"])
def test_learned_positions_count(family):
    few, many = (
        count_parameters(
            {"vocab_size": 10, "hidden_size": 4, "num_hidden_layers": 1, "n_positions": n}, FAMILIES[family]
        )
        for n in (100, 200)
    )
    assert many - few == 100 * 4


def test_a_small_model_is_counted_by_hand():
    config = {"vocab_size": 10, "hidden_size": 4, "num_hidden_layers": 2, "intermediate_size": 8}
    attention, ffn, norms = 4 * (4 * 4 + 4), 2 * 4 * 8 + 8 + 4, 2 * (4 + 4)
    assert count_parameters(config, FAMILIES["gpt_neox"]) == 2 * 10 * 4 + 2 * (attention + ffn + norms) + 8


@pytest.mark.parametrize(
    ("family", "config", "missing"),
    [
        *(
            ("gpt_neox", NEOX, field)
            for field in ("vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size")
        ),
        ("gpt_neo", NEO, "max_position_embeddings"),
        *(("t5", T5, field) for field in ("vocab_size", "d_ff")),
    ],
)
def test_a_missing_field_is_named(family, config, missing):
    with pytest.raises(KeyError, match=f"^'{missing}'$"):
        count_parameters({name: value for name, value in config.items() if name != missing}, FAMILIES[family])


@pytest.mark.parametrize(
    ("family", "config", "missing", "common"),
    [
        ("gpt2", GPT2, "n_embd", "hidden_size"),
        ("gpt2", GPT2, "n_layer", "num_hidden_layers"),
        ("gpt2", GPT2, "n_positions", "max_position_embeddings"),
        ("t5", T5, "d_model", "hidden_size"),
        ("t5", T5, "num_layers", "num_hidden_layers"),
        ("t5", T5, "num_heads", "num_attention_heads"),
        ("t5", T5, "d_kv", "head_dim"),
    ],
)
def test_a_missing_or_null_field_is_named_as_transformers_names_it_for_all(family, config, missing, common):
    others = {name: value for name, value in config.items() if name != missing}
    with pytest.raises(KeyError, match=f"^'{common}'$"):
        count_parameters(others, FAMILIES[family])
    with pytest.raises(KeyError, match=f"^'{common}'$"):
        count_parameters({**others, missing: None}, FAMILIES[family])
    assert count_parameters({**others, common: config[missing]}, FAMILIES[family]) == count_parameters(
        config, FAMILIES[family]
    )


GIB = 1 << 30


@pytest.mark.parametrize(
    ("parameters", "dtype", "on_gpu", "gib"),
    [
        (0, "float32", False, 2.0),
        (GIB, "float32", False, 4 + 2),
        (GIB, "bfloat16", False, 2 + 2),
        (0, "float16", True, 1.5),
        (GIB, "float32", True, 4 + 1.5 + 2),
        (2 * GIB, "float16", True, 4 + 1.5 + 2),
        (8 * GIB, "bfloat16", True, 16 + 1.5 + 4),
    ],
)
def test_memory_is_weights_and_a_reserve(parameters, dtype, on_gpu, gib):
    assert memory_gib(parameters, dtype, on_gpu=on_gpu) == pytest.approx(gib)


def test_pythia_6_9b_fits_a_gpu_of_24_gib_in_half_precision_and_12b_does_not():
    assert (
        memory_gib(6_857_302_016, "bfloat16", on_gpu=True)
        < 0.9 * 24
        < memory_gib(11_846_072_320, "bfloat16", on_gpu=True)
    )
