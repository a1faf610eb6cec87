"""Configs that say more than their family's row was tried with: right values, or a refusal that says why."""

import re
from dataclasses import replace

import pytest
import torch
import transformers
from transformers import AutoConfig

from lm_eval.config.runtime import Execution
from lm_eval.encoding.text_encoder import encode
from lm_eval.errors import ConfigurationError
from lm_eval.evaluator import simple_evaluate
from lm_eval.inference import conformance
from lm_eval.inference.conformance import Check, check_sharing, check_structure
from lm_eval.inference.loading import wrap_model
from lm_eval.models import compatibility
from lm_eval.models.compatibility import check_against_model
from lm_eval.models.config_facts import untried_fields
from lm_eval.models.families import FAMILIES
from lm_eval.models.info import read_facts
from lm_eval.models.language_model import LanguageModel
from tests.support.judging import make_config
from tests.support.runs import evaluate
from tests.support.tiny_families import (
    LATER_DECODER_ONLY,
    LATER_ENCODER_DECODER,
    PAPER_DECODER_ONLY,
    PAPER_ENCODER_DECODER,
)
from tests.support.tiny_models import save_tiny, tiny_model

OF_THE_TABLE = (*PAPER_DECODER_ONLY, *PAPER_ENCODER_DECODER, *LATER_DECODER_ONLY, *LATER_ENCODER_DECODER)
SHORT = "A boy holds a kite."
LONG = "How to bake bread. Mix the flour with the water, let the dough rest and then bake it in the oven."
STRAY = {"sliding_window": 8, "attention_chunk_size": 8, "is_causal": False, "is_decoder": True}
"""Fields that a config class may not have, and that transformers' masks and caches read all the same."""
SAID_ALREADY = ("use_cache", "gradient_checkpointing")
OF_OUTPUTS = ("output_hidden_states", "output_attentions")
"""Switches of what a pass gives beside its values; they are turned together."""


def load(family: str, **fields: object) -> LanguageModel:
    return wrap_model(*tiny_model(family, **fields), name="mine")


def faults_of(model: LanguageModel) -> list[Check]:
    checks = [*check_structure(model), *([] if model.attends_both_ways else [check_sharing(model)])]
    return [one for one in checks if one.fault is not None and one.what != conformance.EQUAL_WIDTHS]


@pytest.mark.parametrize("family", OF_THE_TABLE)
def test_every_switch_of_a_config_is_right_or_refused(family):
    usual = tiny_model(family)[0].config.to_dict()
    switches = [name for name, value in usual.items() if isinstance(value, bool)]
    turned = [{name: not usual[name]} for name in switches if name not in (*SAID_ALREADY, *OF_OUTPUTS)]
    held = []
    for fields in ({name: not usual[name] for name in OF_OUTPUTS}, *turned, *({key: STRAY[key]} for key in STRAY)):
        try:
            network, tokenizer = tiny_model(family, **fields)
        except (ValueError, TypeError, KeyError, NotImplementedError):
            continue  # transformers can't build it
        try:
            model = wrap_model(network, tokenizer, name="mine")
        except ConfigurationError:
            continue
        if not untried_fields(network.config):  # else these very trials have been made when it was wrapped
            assert faults_of(model) == [], fields
        held.extend(fields)
    assert "return_dict" in held or family in ("gemma3", "t5gemma")
    assert held[: len(OF_OUTPUTS)] == list(OF_OUTPUTS)  # were they refused, one could hide what is wrong with the other


USED_MOST = {
    "Llama-2-7b": {"model_type": "llama", "hidden_act": "silu", "max_position_embeddings": 4096, "pretraining_tp": 1,
                   "rms_norm_eps": 1e-05, "rope_scaling": None, "tie_word_embeddings": False, "use_cache": True},
    "Llama-3.1-8B": {"model_type": "llama", "attention_bias": False, "mlp_bias": False, "eos_token_id": [1, 9],
                     "num_key_value_heads": 8, "rope_theta": 500000.0, "max_position_embeddings": 131072,
                     "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                      "original_max_position_embeddings": 8192, "rope_type": "llama3"}},
    "Mistral-7B-v0.1": {"model_type": "mistral", "sliding_window": 4096, "num_key_value_heads": 8},
    "Mistral-7B-v0.3": {"model_type": "mistral", "sliding_window": None, "rope_theta": 1000000.0},
    "Qwen2.5-7B": {"model_type": "qwen2", "max_window_layers": 28, "sliding_window": 131072, "use_mrope": False,
                   "use_sliding_window": False, "num_hidden_layers": 28},
    "Qwen3-8B": {"model_type": "qwen3", "attention_bias": False, "head_dim": 128, "max_window_layers": 36,
                 "rope_scaling": None, "sliding_window": None, "use_sliding_window": False, "num_hidden_layers": 36},
    "gemma-2-9b": {"model_type": "gemma2", "attn_logit_softcapping": 50.0, "cache_implementation": "hybrid",
                   "final_logit_softcapping": 30.0, "hidden_act": "gelu_pytorch_tanh", "query_pre_attn_scalar": 256,
                   "sliding_window": 4096, "sliding_window_size": 4096, "hidden_activation": "gelu_pytorch_tanh"},
    "gemma-3-1b-pt": {"model_type": "gemma3_text", "attn_logit_softcapping": None, "cache_implementation": "hybrid",
                      "rope_local_base_freq": 10000, "sliding_window": 512, "sliding_window_pattern": 6,
                      "num_hidden_layers": 26},
    "gpt2": {"model_type": "gpt2", "n_ctx": 1024, "summary_type": "cls_index", "summary_first_dropout": 0.1,
             "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}}},
    "pythia-1.4b-deduped": {"model_type": "gpt_neox", "rotary_emb_base": 10000, "rotary_pct": 0.25,
                            "use_parallel_residual": True, "attention_dropout": 0.0},
    "opt-1.3b": {"model_type": "opt", "_remove_final_layer_norm": False, "do_layer_norm_before": True,
                 "prefix": "</s>", "word_embed_proj_dim": 2048, "activation_function": "relu"},
    "opt-350m": {"model_type": "opt", "do_layer_norm_before": False, "word_embed_proj_dim": 512},
    "bloom-1b7": {"model_type": "bloom", "attention_softmax_in_fp32": True, "masked_softmax_fusion": True,
                  "offset_alibi": 100, "skip_bias_add": True, "skip_bias_add_qkv": False, "unk_token_id": 0},
    "t5-small": {"model_type": "t5", "n_positions": 512, "output_past": True, "is_encoder_decoder": True,
                 "task_specific_params": {"summarization": {"early_stopping": True}}},
    "flan-t5-xl": {"model_type": "t5", "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "phi-2": {"model_type": "phi", "partial_rotary_factor": 0.4, "qk_layernorm": False, "hidden_act": "gelu_new"},
    "Phi-3-mini-4k": {"model_type": "phi3", "auto_map": {"AutoConfig": "configuration_phi3.Phi3Config"},
                      "sliding_window": 2047, "attention_bias": False, "original_max_position_embeddings": 4096},
}  # fmt: skip
"""What their configs say beyond sizes."""


@pytest.mark.parametrize("name", USED_MOST)
def test_the_models_that_are_used_most_need_no_trial_of_their_configs(name):
    fields = USED_MOST[name]
    config = AutoConfig.for_model(**{**fields, "architectures": ["Some"], "transformers_version": "4.40.0"})
    assert fields["model_type"] in FAMILIES
    assert untried_fields(config) == []


@pytest.mark.parametrize("fields", [{"sliding_window": 8}, {"is_decoder": True, "is_causal": True}])
def test_a_config_with_an_untried_field_has_its_model_tried(fields, monkeypatch):
    assert faults_of(load("llama", **fields)) == []
    wrong = Check(what="choices share a context", fault="values differ by 2.3e-02, more than 1e-04")
    monkeypatch.setattr("lm_eval.inference.conformance.check_sharing", lambda _model: wrong)
    load("llama")
    named = next(name for name in fields if name != "is_decoder")
    with pytest.raises(ConfigurationError, match=rf"mine: its config has {named}, and the experiment doesn't fit it"):
        load("llama", **fields)


@pytest.mark.parametrize("field", ["sliding_window", "attention_chunk_size"])
@pytest.mark.parametrize("family", ["gpt2", "llama", "bloom", "t5"])
def test_a_window_that_the_model_does_not_have_changes_no_score(family, field, data_dir):
    config = make_config(data_dir, "dist_gen", "hellaswag_dg", "cross_encoding", {})
    with_field, without = (load(family, max_length=2048, **fields) for fields in ({field: 8}, {}))
    scores = [
        [sample["scores"] for sample in evaluate([config], model, Execution())[0].samples()]
        for model in (with_field, without)
    ]
    assert scores[0] == [pytest.approx(one, rel=2e-5, abs=2e-5) for one in scores[1]]


ENCODERS = ["bert", "roberta", "bert_generation"]


@pytest.mark.parametrize("is_decoder", [False, True])
@pytest.mark.parametrize("family", ENCODERS)
def test_an_encoder_as_a_decoder_gives_vectors_that_no_neighbour_changes(family, is_decoder):
    model = load(family, is_decoder=is_decoder)
    alone, beside = (next(encode(texts, model=model, word_agg_scheme="mean")) for texts in ([SHORT], [SHORT, LONG]))
    ids = torch.tensor([model.tokenizer(SHORT, add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        plain = model.network(ids, output_hidden_states=True).hidden_states[-1][0].mean(0).numpy()
    assert alone == pytest.approx(plain, abs=2e-5)
    assert beside == pytest.approx(plain, abs=2e-5)
    assert model.attends_both_ways is not is_decoder


KINDS = [("dist_gen", "hellaswag_dg", "cross_encoding"), ("hf", "hellaswag", None)]


@pytest.mark.parametrize(("kind", "task", "scheme"), KINDS)
@pytest.mark.parametrize(
    ("family", "fields"),
    [*((name, {"is_decoder": False}) for name in ENCODERS), ("t5", {"is_causal": False}),
     ("gpt2", {"is_causal": False})],
)  # fmt: skip
def test_what_sees_behind_a_text_scores_none_whatever_its_config_says(family, fields, kind, task, scheme, data_dir):
    model = load(family, max_length=2048, **fields)
    config = make_config(data_dir, kind, task, scheme, {})
    with pytest.raises(ConfigurationError, match=f"so it predicts no text and {kind} can't score any"):
        evaluate([config], model, Execution())


def test_positions_that_a_table_keeps_for_padding_are_no_texts():
    assert load("roberta", max_length=96).max_length == 95
    assert load("roberta", max_length=96, pad_token_id=2).max_length == 93
    assert load("bert", max_length=96).max_length == 96


@pytest.mark.parametrize("head", ["T5EncoderModel", "MT5EncoderModel", "UMT5EncoderModel"])
def test_an_encoder_alone_is_refused_with_the_remedy(head, tmp_path):
    network, tokenizer = tiny_model(head.removesuffix("EncoderModel").lower())
    getattr(transformers, head)(network.config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    message = f"its checkpoint is an encoder alone ({head}); choose the whole model that it was taken from"
    for kind, task, of_kind in (
        ("dist_gen", "hellaswag_dg", {}),
        ("dist_sim", "hellaswag_d", {"SIMILARITY_FUNC": "cosine_sim"}),
    ):
        config = make_config("none", kind, task, "concat_each_example", {"WORD_AGG_SCHEME": "mean", **of_kind})
        with pytest.raises(ConfigurationError, match=re.escape(message)):
            check_against_model(config, read_facts(str(tmp_path)))


def test_a_model_that_cannot_run_is_refused_when_it_is_loaded():
    fields = {"parallel_attn": False}
    with pytest.raises(ConfigurationError, match=r"mine: can't be run on a few tokens \(AttributeError: .*ln_attn"):
        load("falcon_grouped", **fields)


@pytest.fixture(params=["by its config", "by a trial"])
def looks_up(request, monkeypatch, tmp_path):
    """The folder of a model whose blocks look tokens up, which is known by a field's name or found out."""
    if request.param == "by a trial":
        for module in (conformance, compatibility):
            monkeypatch.setattr(module, "reads_tokens", lambda _config: False)
    return save_tiny("gemma4_text", tmp_path / "gemma4", max_length=2048)


@pytest.mark.parametrize(
    ("kind", "task", "settings", "scheme"),
    [
        ("dist_gen", "hellaswag_dg", "", "cross_encoding"),
        ("dist_gen", "hellaswag_dg", "", "no_context"),
        ("dist_sim", "hellaswag_d", ",WORD_AGG_SCHEME=mean,SIMILARITY_FUNC=cosine_sim", "concat_each_example"),
        ("hf", "hellaswag", "", None),
    ],
)
def test_a_model_whose_blocks_look_tokens_up_is_given_tokens(kind, task, settings, scheme, looks_up, data_dir):
    result = simple_evaluate(
        model=kind, model_args=f"pretrained={looks_up},dtype=float32{settings}", tasks=task, limit=3, verify=3,
        task_args=f"data_dir={data_dir}" + (f",encoding_scheme={scheme}" if scheme else ""), device="cpu",
    )  # fmt: skip
    assert result["verification"][task]["largest_difference"] < 2e-5


def test_a_model_whose_blocks_look_tokens_up_takes_no_vectors(looks_up, data_dir):
    with pytest.raises(ConfigurationError, match="look further embeddings up by token, and a concept vector is none"):
        simple_evaluate(
            model="dist_gen", model_args=f"pretrained={looks_up},dtype=float32,WORD_AGG_SCHEME=mean", device="cpu",
            tasks="hellaswag_dg", task_args=f"data_dir={data_dir},encoding_scheme=concat_each_example", limit=3,
        )  # fmt: skip


def test_embeddings_of_an_encoder_that_are_its_own_are_the_ones_used():
    assert faults_of(load("bart", tie_word_embeddings=False)) == []


def test_a_shared_context_is_never_tried_for_what_scores_no_text():
    model = load("bert", is_decoder=False)
    assert model.family.sharing == "none"
    assert check_sharing(replace(model, attends_both_ways=False)).fault is not None
