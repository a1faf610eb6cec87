"""The settings of a configuration that depend on its model, checked by what its files say (experiment §4).

Knows nothing of torch.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lm_eval.config.layer import OUTPUT_MATRIX
from lm_eval.config.run_config import RunConfig
from lm_eval.errors import ConfigurationError
from lm_eval.models.config_facts import attends_both_ways, is_encoder_alone, reads_tokens, scores_text
from lm_eval.models.families import FAMILIES, Family
from lm_eval.models.info import ModelFacts, is_local
from lm_eval.models.text_borders import front_tokens
from lm_eval.models.tokenizer_files import read_text_borders


def no_end_token(name: str, stated: str = "none") -> str:
    """Return what to say of a model that has no end-of-text token where `no_context` needs one."""
    return (
        f"encoding_scheme=no_context: choices are scored behind the end-of-text token, but {name} has no usable one "
        f"(eos_token of the tokenizer, eos_token_id of the config: {stated}); set one there, or choose another model"
    )


_TOKENIZERS_WITHOUT_DEFAULTS = ("PreTrainedTokenizerFast", "TokenizersBackend")
"""Classes of tokenizers that have no special tokens but those that their files state."""


def _states_no_end_token(facts: ModelFacts) -> bool:
    """Whether a folder's files rule out an end-of-text token; where they leave it open, loading decides."""
    if not is_local(facts.name) or facts.config.get("eos_token_id", _UNSTATED) is not None:
        return False
    settings: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        try:
            settings.update(json.loads((Path(facts.name).expanduser() / name).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            continue
    return settings.get("tokenizer_class") in _TOKENIZERS_WITHOUT_DEFAULTS and settings.get("eos_token") is None


_UNSTATED = object()


def refuse_front(config: RunConfig, family: Family, name: str) -> None:
    """Refuse ADD_BOS where no token can stand in front.

    Raises:
        ConfigurationError: always.
    """
    if family.architecture == "encoder-decoder":
        why = "is an encoder-decoder, whose segments begin as its tokenizer has it; ADD_BOS is for decoder-only models"
    elif config.vectors.decoding_scheme is not None:
        why = "decodes by attention without parameters, which has no tokens in front"
    else:
        why = "has a tokenizer that puts nothing in front of a text and names no bos_token"
    raise ConfigurationError(f"ADD_BOS={config.vectors.add_bos}: {name} {why}; leave it out")


def check_against_model(config: RunConfig, facts: ModelFacts, *, decodes: bool = True) -> None:
    """Check the settings that depend on the model.

    Args:
        config: a configuration.
        facts: of its model.
        decodes: whether something is made of the vectors; False where they are wanted for themselves.

    Raises:
        ConfigurationError: a layer out of range or of another width than what its vectors meet, ADD_POS without learned
            absolute positions, a prefix without an activation, or no_context without an end-of-text token.
    """
    needs_end = not config.has_context and config.model == "dist_gen" and facts.family.architecture == "decoder-only"
    if needs_end and _states_no_end_token(facts):
        raise ConfigurationError(no_end_token(facts.name))
    _refuse_half(facts)
    if decodes:
        _check_output(config, facts)
    vectors = config.vectors
    is_decoder_only = facts.family.architecture == "decoder-only"
    if vectors.add_bos is not None and not is_decoder_only:
        refuse_front(config, facts.family, facts.name)
    if vectors.add_bos:
        borders = facts.borders or read_text_borders(config.pretrained, config.revision, config.checkpoint)
        if borders is not None and not front_tokens(config, facts.family, borders):
            refuse_front(config, facts.family, facts.name)
    if vectors.add_pos and facts.family.position_embedding is None:
        able = tuple(name for name, family in FAMILIES.items() if family.position_embedding)
        raise ConfigurationError(
            f"ADD_POS=True: {facts.name} has no learned absolute positions; choose a model of type {', '.join(able)}"
        )
    schemes = (vectors.word_agg_scheme, vectors.out_word_agg_scheme)
    if facts.family.activation is None and any(scheme is not None and scheme.prefix for scheme in schemes):
        raise ConfigurationError(
            f"WORD_AGG_SCHEME={schemes[0]}: {facts.name}'s config names no activation for the prefix; leave it out"
        )
    if decodes:
        _check_stacks(config, facts)
    _check_layers(config, facts, decodes=decodes)
    _check_entry(config, facts)


def _entries(facts: ModelFacts) -> str:
    first, last = -facts.num_layers - 1, facts.num_layers - 1
    return f"choose from 0 to {last}, {first} to -2, middle, or same for a layer that isn't the last"


def _check_entry(config: RunConfig, facts: ModelFacts) -> None:
    """See that vectors enter a decoder-only model that is known, at one of its blocks, and are as wide as these."""
    stated, entry, family = config.vectors.decoding_layer, config.vectors.entry_layer, facts.family
    if entry is None:
        return
    why = ""
    if family.architecture == "encoder-decoder":
        why = "is an encoder-decoder, whose decoder reads vectors in every block; leave it out"
    elif family.sharing == "none" and not family.is_generic:
        why = "has blocks without attention, in which nothing can be hidden; choose a model of another type"
    elif isinstance(entry.name, int) and not -facts.num_layers - 1 <= entry.name < facts.num_layers:
        why = f"has {facts.num_layers} blocks; {_entries(facts)}"
    elif entry.resolve(facts.num_layers) == facts.num_layers:
        why = f"has no block behind its last hidden state; {_entries(facts)}"
    elif facts.config.get(str(family.embedding_width)) not in (None, facts.config.get("hidden_size")):
        why = "has embeddings of another width than its blocks; leave it out"
    if why:
        raise ConfigurationError(f"DECODING_LAYER={stated}: {facts.name} {why}")


def _refuse_half(facts: ModelFacts) -> None:
    if is_encoder_alone(facts.config):
        raise ConfigurationError(
            f"{facts.name}: its checkpoint is an encoder alone ({', '.join(facts.config['architectures'])}); choose "
            "the whole model that it was taken from, of which dist_sim and encode use the encoder"
        )


def _check_output(config: RunConfig, facts: ModelFacts) -> None:
    """See that the model predicts tokens where text is scored, also behind vectors in place of a context."""
    if config.model != "dist_sim" and not scores_text(facts.config):
        raise ConfigurationError(
            f"{facts.name}: its checkpoint is no language model ({', '.join(facts.config['architectures'])}), so "
            f"{config.model} can't score text by it; choose a causal or a sequence-to-sequence language model"
        )
    check_use(
        config,
        facts.name,
        sees_behind=facts.family.architecture == "decoder-only" and attends_both_ways(facts.fields),
        reads_tokens=reads_tokens(facts.fields),
    )


def check_use(config: RunConfig, name: str, *, sees_behind: bool, reads_tokens: bool) -> None:
    """Check that a configuration asks nothing of a model that it can't do.

    Args:
        config: a configuration.
        name: its model's.
        sees_behind: whether positions of the model see what is behind them.
        reads_tokens: whether blocks of the model look tokens up themselves.

    Raises:
        ConfigurationError: it scores text by a model that predicts none, or gives vectors to one that takes none.
    """
    if config.model == "dist_sim":
        return
    if sees_behind:
        raise ConfigurationError(
            f"{name}: its positions see what is behind them, so it predicts no text and {config.model} can't score "
            "any; dist_sim and encode take it"
        )
    if reads_tokens and config.model == "dist_gen" and config.is_segmented and config.vectors.decoding_scheme is None:
        raise ConfigurationError(
            f"{name}: its layers look further embeddings up by token, and a concept vector is none; choose "
            "another model, or dist_sim, cross_encoding or no_context"
        )


def _check_stacks(config: RunConfig, facts: ModelFacts) -> None:
    """See that an encoder's vectors meet its decoder's only where these are as wide."""
    stacks = [facts.config.get(side) for side in ("encoder", "decoder")]
    widths = [stack.get("hidden_size") for stack in stacks if isinstance(stack, Mapping)]
    if len(widths) < 2 or widths[0] == widths[1]:
        return
    vectors = config.vectors
    met = {"OUT_ENCODING_LAYER": vectors.choice_layer == OUTPUT_MATRIX}
    met["DECODING_SCHEME"] = vectors.decoding_scheme is not None
    for key in (key for key, is_met in met.items() if is_met):
        raise ConfigurationError(
            f"{key}={vectors.public()[key]}: the encoder of {facts.name} has {widths[0]} components, "
            f"its decoder {widths[1]}, so that their vectors can't be compared; leave it out"
        )


def _check_layers(config: RunConfig, facts: ModelFacts, *, decodes: bool) -> None:
    """See that layers are there, and that vectors meet only vectors of their own width."""
    vectors = config.vectors
    of_context = vectors.context_layer.resolve(facts.num_layers, "ENCODING_LAYER", facts.name)
    of_choices = vectors.choice_layer.resolve(facts.num_layers, "OUT_ENCODING_LAYER", facts.name)
    narrow, wide = facts.config.get(str(facts.family.embedding_width)), facts.config.get("hidden_size")
    if narrow in (None, wide) or not decodes:
        return
    if vectors.add_pos:
        raise ConfigurationError(
            f"ADD_POS=True: the position embeddings of {facts.name} have {wide} components, "
            f"its token embeddings {narrow}; leave it out"
        )
    layers = [of_context, of_choices] if config.model == "dist_sim" else [of_context]
    are_wide = {layer not in ("E", "OE", facts.num_layers) for layer in layers}
    if config.model == "dist_gen" and config.is_segmented and True in are_wide:
        raise ConfigurationError(
            f"ENCODING_LAYER={vectors.encoding_layer}: the inner layers of {facts.name} have {wide} components, its "
            f"embeddings {narrow}, so that their vectors can't stand in for tokens; choose E or None (the last layer)"
        )
    if len(are_wide) > 1:
        raise ConfigurationError(
            f"ENCODING_LAYER={vectors.encoding_layer}, OUT_ENCODING_LAYER={vectors.out_encoding_layer}: the inner "
            f"layers of {facts.name} have {wide} components, E, OE and the last layer {narrow}; choose two of one width"
        )
