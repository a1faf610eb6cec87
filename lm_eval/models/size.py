"""A model's size out of its `config.json` alone, or the header of its GGUF file.

Knows nothing of weights. Doesn't know what a checkpoint really holds: the tensors decide, where a config is wrong
about them.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

from lm_eval.models.families import Family
from lm_eval.models.info import ModelFacts


def find_size(facts: ModelFacts) -> int | None:
    """Return a model's parameters; None where its config leaves them open."""
    if facts.parameters is not None:
        return facts.parameters
    with contextlib.suppress(KeyError, TypeError, ValueError):
        return count_parameters(facts.config, facts.family)
    return None


def count_parameters(config: Mapping[str, Any], family: Family) -> int:
    """Return a model's parameters, tied ones once; within 1 % of the real number for all but toy models.

    Args:
        config: the content of the model's `config.json`, by the family's names or transformers' common ones.
        family: the model's.

    Raises:
        KeyError: the config lacks a field that the size depends on; the error names it as transformers does.
        ValueError: transformers can't build such a model.
    """
    if family.config_defaults is None:
        return _count_built(config)
    fields = {**family.config_defaults, **config}
    return _count_t5(fields, family) if family.architecture == "encoder-decoder" else _count_gpt(fields, family)


def _count_built(config: Mapping[str, Any]) -> int:
    """Count the parameters of a model that is built without memory for them; takes seconds to import what builds it."""
    import torch  # noqa: PLC0415
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM  # noqa: PLC0415

    try:
        built = AutoConfig.for_model(**config)
        auto: Any = AutoModelForSeq2SeqLM if built.is_encoder_decoder else AutoModelForCausalLM
        with torch.device("meta"):
            network = auto.from_config(built)
    except Exception as error:  # of code that may be anybody's
        raise ValueError(f"a model of type {config.get('model_type')!r} cannot be built ({error})") from error
    size: int = sum(parameter.numel() for parameter in network.parameters())
    head, table = network.get_output_embeddings(), network.get_input_embeddings()
    is_tied = head is not None and head.weight is table.weight
    # transformers ties what a config may untie, and finds the checkpoint's own output matrix when it loads it
    return size + int(head.weight.numel() if is_tied and config.get("tie_word_embeddings") is False else 0)


def _find(fields: Mapping[str, Any], *names: str) -> int:
    """Return the first of a field's names that has a value; the last is the common one."""
    for name in names:
        if fields.get(name) is not None:
            return int(fields[name])
    raise KeyError(names[-1])


def _find_optional(fields: Mapping[str, Any], *names: str) -> int | None:
    """Return the first of a field's names that is there, whose value may be null."""
    for name in names:
        if name in fields:
            return None if fields[name] is None else int(fields[name])
    raise KeyError(names[-1])


def _count_gpt(fields: Mapping[str, Any], family: Family) -> int:
    """Count blocks, the tables of tokens and positions, the final norm."""
    hidden = _find(fields, "n_embd", "n_embed", "hidden_size")
    ffn = _find_optional(fields, "n_inner", "ffn_dim", "intermediate_size")
    width = hidden if family.embedding_width is None else int(fields.get(family.embedding_width) or hidden)
    tables = _find(fields, "vocab_size") * (1 if fields["tie_word_embeddings"] else 2) * width
    if width != hidden:
        tables += 2 * width * hidden
    if family.position_embedding is not None:
        tables += (_find(fields, "n_positions", "max_position_embeddings") + family.position_shift) * hidden
    num_layers = _find(fields, family.num_layers, "num_hidden_layers")
    mlp = (3 if family.gated_mlp else 2) * hidden * (4 * hidden if ffn is None else ffn)
    # with every bias and two norms: families that lack some differ by less than 1 / hidden
    vectors = 0 if family.gated_mlp else 5 * hidden + (4 * hidden if ffn is None else ffn) + 2 * hidden
    block = _gpt_attention(fields, hidden) + mlp + vectors + 2 * hidden
    return tables + num_layers * block + 2 * hidden


def _gpt_attention(fields: Mapping[str, Any], hidden: int) -> int:
    """Count the four matrices of attention, whose keys and values several heads may share."""
    num_keys = fields.get("num_key_value_heads")
    if num_keys is None and fields.get("head_dim") is None:
        return 4 * hidden * hidden
    heads = _find(fields, "num_attention_heads")
    dim = int(fields.get("head_dim") or hidden // heads)
    return 2 * hidden * dim * (heads + (heads if num_keys is None else int(num_keys)))


def _count_t5(fields: Mapping[str, Any], family: Family) -> int:
    """Count both stacks, the tables of tokens and relative positions, the final norms."""
    hidden, ffn = _find(fields, "d_model", "hidden_size"), _find(fields, "d_ff")
    heads = _find(fields, "num_heads", "num_attention_heads")
    attention = 4 * hidden * heads * _find(fields, "d_kv", "head_dim")
    gated = str(fields["feed_forward_proj"]).startswith("gated-")
    encoder, decoder = (_t5_block(attention, hidden, ffn, gated=gated, attentions=number) for number in (1, 2))
    num_encoder = _find(fields, family.num_layers, "num_hidden_layers")
    num_decoder = _find_optional(fields, "num_decoder_layers")
    tables = _find(fields, "vocab_size") * (2 if _t5_has_head(fields, family) else 1)
    positions = 2 * heads * _find(fields, "relative_attention_num_buckets")
    blocks = num_encoder * encoder + (num_encoder if num_decoder is None else num_decoder) * decoder
    return tables * hidden + blocks + positions + 2 * hidden


def _t5_block(attention: int, hidden: int, ffn: int, *, gated: bool, attentions: int) -> int:
    """Count a block with one attention in the encoder, two in the decoder, and a norm before each part."""
    return attentions * attention + (3 if gated else 2) * hidden * ffn + (attentions + 1) * hidden


def _t5_has_head(fields: Mapping[str, Any], family: Family) -> bool:
    """Whether the output matrix is one of its own.

    Transformers 5 writes `tie_word_embeddings: true` for all; that the model isn't tied shows in its output not being
    scaled.
    """
    scaled = family.tied_where is None or fields.get(family.tied_where, True)
    return not fields["tie_word_embeddings"] or not scaled
