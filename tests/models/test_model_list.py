"""The list of models: what grids take from it, and how a slip in it or in a call is told."""

import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, BloomConfig, MT5Config, OPTConfig, T5Config

from lm_eval.errors import ConfigurationError
from lm_eval.models.model_list import MODEL_LIST, list_models, read_model_list

PAPER = {
    *("EleutherAI/gpt-neo-1.3B", "EleutherAI/gpt-neo-2.7B", "EleutherAI/gpt-j-6B", "EleutherAI/gpt-neox-20b"),
    *(f"EleutherAI/pythia-{size}-deduped" for size in ("410m", "1b", "1.4b", "2.8b", "6.9b", "12b")),
    "togethercomputer/GPT-NeoXT-Chat-Base-20B",
    *(f"databricks/dolly-v2-{size}" for size in ("3b", "7b", "12b")),
    *("google/flan-t5-base", "google/flan-t5-large", "google/flan-t5-xl", "google/flan-t5-xxl", "google/flan-ul2"),
}


def test_unless_asked_the_list_is_the_papers():
    assert set(list_models()) == PAPER
    assert len(list_models()) == 19


def test_the_earlier_studys_models_are_listed_too_and_come_only_when_asked_for():
    everything = list_models(study=None)
    assert set(everything) == PAPER | set(list_models(study="earlier"))
    for name in ("bigscience/bloom", "bigscience/bloomz-7b1", "bigscience/T0pp", "bigscience/mt0-xxl"):
        assert name in everything
        assert name not in list_models()
    assert [name for name in everything if "/opt-" in name] == [
        f"facebook/opt-{size}" for size in ("66b", "30b", "13b", "6.7b", "2.7b", "1.3b", "350m", "125m")
    ]


def test_models_are_chosen_by_architecture_and_size_largest_first():
    assert list_models(arch_type="encoder-decoder", min_size=1, max_size=14) == [
        "google/flan-t5-xxl",
        "google/flan-t5-xl",
    ]
    assert "databricks/dolly-v2-12b" in list_models(min_size=12.0)
    assert "databricks/dolly-v2-12b" not in list_models(max_size=12.0)


def test_models_are_left_out_by_name_or_pattern():
    small = list_models(arch_type="decoder-only", max_size=2)
    assert small == [
        "EleutherAI/pythia-1.4b-deduped",
        "EleutherAI/gpt-neo-1.3B",
        "EleutherAI/pythia-1b-deduped",
        "EleutherAI/pythia-410m-deduped",
    ]
    chosen = {"arch_type": "decoder-only", "max_size": 2}
    assert list_models(**chosen, exclude="*pythia*") == ["EleutherAI/gpt-neo-1.3B"]
    assert list_models(**chosen, exclude=["EleutherAI/gpt-neo-1.3B", "*-1?4b-*"]) == small[2:]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"arch_type": "decoder"}, "unknown arch_type 'decoder'; choose from decoder-only, encoder-decoder"),
        ({"study": "papers"}, "unknown study 'papers'; choose from earlier, paper, None"),
        ({"max_size": "7"}, "max_size must be a number of billions of parameters, got '7'"),
        ({"min_size": -1}, "min_size must be a number of billions of parameters, got -1"),
        ({"max_size": math.nan}, "max_size must be a number of billions of parameters, got nan"),
        (
            {"exclude": "google/flan-t5-xll"},
            r"'google/flan-t5-xll' matches no model .* \(did you mean 'google/flan-t5-",
        ),
        ({"exclude": "dolly*"}, r"give a full name, or a pattern such as '\*/dolly-\*'"),
        ({"exclude": [7]}, "exclude must hold names or patterns, got 7"),
        ({"min_size": 30}, r"no model is left with arch_type=None, study=paper, min_size=30, max_size=inf \(not incl"),
    ],
)
def test_a_wrong_choice_is_refused_with_what_is_valid(wrong, message):
    with pytest.raises(ConfigurationError, match=message):
        list_models(**wrong)


HEAD = "model,family,arch_type,size_b,study\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,arch_type\n", "column family, size_b, study is missing"),
        (HEAD + "a/b,gpt2,decoder-only,big,paper\n", r"line 2: size_b must be a number, got 'big'"),
        (HEAD + "a/b,gpt2,decoder-only,0,paper\n", r"line 2: size_b must be a positive number .* got 0"),
        (HEAD + "a/b,gpt2,decoder,1,paper\n", r"line 2: arch_type must be one of decoder-only, encoder-decoder, got"),
        (
            "layers," + HEAD + "x,a/b,gpt2,decoder-only,1,mine\n",
            r"line 2: layers must be an integer \(blocks\), got 'x'",
        ),
        ("layers," + HEAD + "0,a/b,gpt2,decoder-only,1,mine\n", r"line 2: layers must be a positive integer .* got 0"),
        (HEAD + "a/b,gpt2,decoder-only,1\n", r"line 2: model and study must not be empty"),
        (HEAD + 2 * "a/b,gpt2,decoder-only,1,mine\n", r"line 3: a/b is listed twice"),
    ],
)
def test_a_slip_in_the_list_is_told_with_its_line(tmp_path, text, message):
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        read_model_list(path)


def test_a_list_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigurationError, match="the list of models cannot be read"):
        read_model_list(tmp_path / "nowhere.csv")


T5 = {"vocab_size": 32128, "d_kv": 64, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
MT5 = {**T5, "vocab_size": 250112}
XXL = {"d_model": 4096, "d_ff": 10240, "num_layers": 24, "num_heads": 64}
XL = {"d_model": 2048, "d_ff": 5120, "num_layers": 24, "num_heads": 32}


def bloom(hidden: int, layers: int) -> BloomConfig:
    return BloomConfig(vocab_size=250880, hidden_size=hidden, n_layer=layers, n_head=16)


def opt(hidden: int, layers: int, width: int | None = None) -> OPTConfig:
    fields = {"hidden_size": hidden, "num_hidden_layers": layers, "ffn_dim": 4 * hidden, "num_attention_heads": 8}
    return OPTConfig(vocab_size=50272, word_embed_proj_dim=width or hidden, **fields)


CONFIGS = {
    "bigscience/bloom-560m": bloom(1024, 24),
    "bigscience/bloom-1b1": bloom(1536, 24),
    "bigscience/bloom-1b7": bloom(2048, 24),
    "bigscience/bloom-3b": bloom(2560, 30),
    "bigscience/bloomz-7b1": bloom(4096, 30),
    "bigscience/bloom": bloom(14336, 70),
    "bigscience/T0_3B": T5Config(**T5, **XL),
    "bigscience/T0pp": T5Config(**T5, **XXL),
    "google/flan-t5-xxl": T5Config(**T5, **XXL),
    "google/flan-ul2": T5Config(**{**T5, "d_kv": 256}, d_model=4096, d_ff=16384, num_layers=32, num_heads=16),
    "google-t5/t5-large": T5Config(vocab_size=32128, d_model=1024, d_ff=4096, num_layers=24, num_heads=16),
    "google-t5/t5-3b": T5Config(vocab_size=32128, d_model=1024, d_ff=16384, num_layers=24, num_heads=32, d_kv=128),
    "bigscience/mt0-small": MT5Config(**MT5, d_model=512, d_ff=1024, num_layers=8, num_heads=6),
    "bigscience/mt0-base": MT5Config(**MT5, d_model=768, d_ff=2048, num_layers=12, num_heads=12),
    "bigscience/mt0-large": MT5Config(**MT5, d_model=1024, d_ff=2816, num_layers=24, num_heads=16),
    "bigscience/mt0-xl": MT5Config(**MT5, **XL),
    "bigscience/mt0-xxl": MT5Config(**MT5, **XXL),
    "facebook/opt-125m": opt(768, 12),
    "facebook/opt-350m": opt(1024, 24, 512),
    "facebook/opt-1.3b": opt(2048, 24),
    "facebook/opt-2.7b": opt(2560, 32),
    "facebook/opt-6.7b": opt(4096, 32),
    "facebook/opt-13b": opt(5120, 40),
    "facebook/opt-30b": opt(7168, 48),
    "facebook/opt-66b": opt(9216, 64),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_listed_sizes_depths_and_families_are_those_of_the_models(name):
    config = CONFIGS[name]
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.device("meta"):
        real = sum(parameter.numel() for parameter in auto.from_config(config).parameters())
    if config.is_encoder_decoder and config.feed_forward_proj == "gated-gelu":  # whose output matrix is its own
        real += config.vocab_size * config.d_model
    (listed,) = [model for model in read_model_list(MODEL_LIST) if model.name == name]
    assert listed.size_b == pytest.approx(real / 1e9, rel=0.01)
    assert listed.family == config.model_type
    assert listed.num_layers == (config.num_layers if config.is_encoder_decoder else config.num_hidden_layers)
