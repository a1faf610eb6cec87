"""The configs of tiny models, of every family that the table has and of some that it doesn't.

Windows of attention are shorter than any context, so that what they hide is missed where it must be.
"""

from __future__ import annotations

from typing import Any

import transformers
from transformers import PreTrainedConfig

HIDDEN, LAYERS, HEADS = 32, 3, 4
WINDOW = 8

PAPER_DECODER_ONLY = ("gpt2", "gpt_neo", "gptj", "gpt_neox", "bloom")
PAPER_ENCODER_DECODER = ("t5", "t5_relu", "mt5")
"""The families of the paper; "t5" is the v1.1 form (gated GELU, an output matrix of its own, no output scaling),
"t5_relu" the v1.0 form (ReLU, tied embeddings, output scaling)."""
LATER_DECODER_ONLY = (
    "opt", "opt_narrow", "falcon", "falcon_alibi", "falcon_grouped", "mpt", "phi", "gpt_bigcode", "starcoder2", "llama",
    "mistral", "mistral_full", "qwen2", "qwen3", "phi3", "phi3_turning", "olmo", "olmo2", "stablelm", "gemma", "gemma2",
    "gemma3_text", "gemma3", "mamba",
)  # fmt: skip
LATER_ENCODER_DECODER = ("umt5", "bart", "bart_scaled", "mbart", "t5gemma")
UNBALANCED = "t5gemma_unbalanced"
"""An encoder wider than its decoder, so that not every setting has a meaning."""
UNKNOWN_DECODER_ONLY = ("cohere", "granite", "mixtral", "gpt_oss", "xglm", "codegen", "bert", "modernbert")
"""Without a row in the table: scales, experts, windows, positions of their own, another layout, encoders as decoders.
"""
UNKNOWN_ENCODER_DECODER = ("blenderbot", "longt5")

_STACK = {"hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": 64}
_GPT = {"n_embd": HIDDEN, "n_layer": LAYERS, "n_head": HEADS}
_GEMMA = {**_STACK, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": WINDOW, "query_pre_attn_scalar": 8}
_FALCON = {"hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
_MAMBA = {"hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "state_size": 4, "conv_kernel": 4}
_T5 = {
    "d_model": HIDDEN,
    "d_kv": HIDDEN // HEADS,
    "d_ff": 2 * HIDDEN,
    "num_layers": LAYERS,
    "num_heads": HEADS,
    "dropout_rate": 0.0,
    "decoder_start_token_id": 0,
    "pad_token_id": 0,
    "eos_token_id": 1,
}
_BART = {
    "d_model": HIDDEN,
    "encoder_layers": LAYERS,
    "decoder_layers": LAYERS - 1,
    "encoder_attention_heads": HEADS,
    "decoder_attention_heads": HEADS,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "decoder_start_token_id": 1,
}


def _table(max_length: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the config class of each family and its fields."""
    limit = {"max_position_embeddings": max_length}
    grouped = {**_STACK, **limit, "num_key_value_heads": 2}
    opt = {**_STACK, **limit, "ffn_dim": 64, "word_embed_proj_dim": HIDDEN}
    neo = {"attention_types": [[["global", "local", "global"], 1]], "window_size": WINDOW, "num_layers": LAYERS}
    local = {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
    turning = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [4.0] * 4, "rope_theta": 10_000.0}
    by_token = {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 512, "num_kv_shared_layers": 0}
    experts = {"num_local_experts": 4, "num_experts_per_tok": 2}
    return {
        "gpt2": ("GPT2Config", {**_GPT, "n_positions": max_length}),
        "gpt_neo": ("GPTNeoConfig", {"hidden_size": HIDDEN, "num_heads": HEADS, **neo, **limit}),
        "gptj": ("GPTJConfig", {**_GPT, "rotary_dim": 4, "n_positions": max_length}),
        "gpt_neox": ("GPTNeoXConfig", {**_STACK, "intermediate_size": 4 * HIDDEN, **limit}),
        "bloom": ("BloomConfig", {"hidden_size": HIDDEN, "n_layer": LAYERS, "n_head": HEADS}),
        "t5": ("T5Config", {**_T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
        "t5_relu": ("T5Config", {**_T5, "feed_forward_proj": "relu"}),
        "mt5": ("MT5Config", {**_T5, "feed_forward_proj": "gated-gelu"}),
        "opt": ("OPTConfig", opt),
        "opt_narrow": ("OPTConfig", {**opt, "word_embed_proj_dim": 16, "do_layer_norm_before": False}),
        "falcon": ("FalconConfig", {**_FALCON, **limit, "alibi": False}),
        "falcon_alibi": ("FalconConfig", {**_FALCON, **limit, "alibi": True, "multi_query": False}),
        "falcon_grouped": ("FalconConfig", {**_FALCON, **limit, "new_decoder_architecture": True, "num_kv_heads": 2}),
        "mpt": ("MptConfig", {"d_model": HIDDEN, "n_layers": LAYERS, "n_heads": HEADS, "max_seq_len": max_length}),
        "phi": ("PhiConfig", {**_STACK, **limit}),
        "gpt_bigcode": ("GPTBigCodeConfig", {**_GPT, "n_positions": max_length}),
        "llama": ("LlamaConfig", grouped),
        "mistral": ("MistralConfig", {**grouped, "sliding_window": WINDOW}),
        "mistral_full": ("MistralConfig", {**grouped, "sliding_window": None}),
        "starcoder2": ("Starcoder2Config", {**grouped, "sliding_window": WINDOW}),
        "qwen2": ("Qwen2Config", grouped),
        "qwen3": ("Qwen3Config", {**grouped, "head_dim": 8}),
        "phi3": ("Phi3Config", grouped),
        # some segments are shorter, some longer
        "phi3_turning": ("Phi3Config", {**grouped, "rope_parameters": turning, "original_max_position_embeddings": 24}),
        "olmo": ("OlmoConfig", {**_STACK, **limit}),
        "olmo2": ("Olmo2Config", {**_STACK, **limit}),
        "stablelm": ("StableLmConfig", grouped),
        "gemma": ("GemmaConfig", {**grouped, "head_dim": 8}),
        "gemma2": ("Gemma2Config", {**_GEMMA, **limit}),
        "gemma3_text": ("Gemma3TextConfig", {**_GEMMA, **limit, **local}),
        "mamba": ("MambaConfig", _MAMBA),
        "umt5": ("UMT5Config", _T5),
        "bart": ("BartConfig", {**_BART, **limit}),
        "bart_scaled": ("BartConfig", {**_BART, **limit, "scale_embedding": True}),
        "mbart": ("MBartConfig", {**_BART, **limit}),
        "cohere": ("CohereConfig", {**grouped, "logit_scale": 0.5}),
        "granite": ("GraniteConfig", {**grouped, "logits_scaling": 2.0, "embedding_multiplier": 3.0}),
        "mixtral": ("MixtralConfig", {**grouped, **experts}),
        "gpt_oss": ("GptOssConfig", {**grouped, **experts, "head_dim": 8, "sliding_window": WINDOW}),
        "xglm": ("XGLMConfig", {"d_model": HIDDEN, "num_layers": LAYERS, "attention_heads": HEADS, **limit}),
        "codegen": ("CodeGenConfig", {**_GPT, "n_positions": max_length, "rotary_dim": 4}),
        "bert": ("BertConfig", {**_STACK, **limit, "is_decoder": True}),
        "roberta": ("RobertaConfig", {**_STACK, **limit, "is_decoder": True}),
        "bert_generation": ("BertGenerationConfig", {**_STACK, **limit, "is_decoder": True}),
        "modernbert": ("ModernBertDecoderConfig", {**_STACK, **limit, "local_attention": WINDOW}),
        "gemma4_text": ("Gemma4TextConfig", {**grouped, "head_dim": 8, "global_head_dim": 8, **local, **by_token}),
        "mamba2": ("Mamba2Config", {**_MAMBA, "num_heads": 8, "head_dim": 8, "n_groups": 2}),
        "blenderbot": ("BlenderbotConfig", {**_BART, **limit}),
        "longt5": ("LongT5Config", _T5),
    }


def make_config(family: str, max_length: int, vocab_size: int, **overrides: Any) -> PreTrainedConfig:
    """Make the config of a tiny model; `overrides` replaces or adds fields of it."""
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}
    stack = {**_GEMMA, "max_position_embeddings": max_length, "vocab_size": vocab_size, **special}
    if family == "gemma3":
        local = {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
        vision = {**_STACK, "num_hidden_layers": 1, "image_size": 28, "patch_size": 14}
        return transformers.Gemma3Config(text_config={**stack, **local}, vision_config=vision, **overrides)
    if family in ("t5gemma", "t5gemma_unbalanced"):
        sides = {side: {**stack, "num_hidden_layers": layers} for side, layers in (("encoder", 3), ("decoder", 2))}
        sides["encoder"]["hidden_size"] = HIDDEN if family == "t5gemma" else 48
        return transformers.T5GemmaConfig(
            **sides, vocab_size=vocab_size, tie_word_embeddings=True, decoder_start_token_id=1, **overrides
        )
    table = _table(max_length)
    if family not in table:
        raise ValueError(f"unknown family {family!r}; choose from gemma3, t5gemma, {', '.join(table)}")
    name, fields = table[family]
    config: PreTrainedConfig = getattr(transformers, name)(
        **{**special, **fields, "vocab_size": vocab_size, **overrides}
    )
    return config
