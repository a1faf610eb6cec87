"""Checks of whether the experiment fits a loaded model, on a few tokens: for families that the table doesn't have.

Everything that a row of `lm_eval.models.families` promises is compared with the model itself, run as in `reference`.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import torch
import transformers
from torch import nn

from lm_eval.errors import ConfigurationError
from lm_eval.inference.trials import (
    LENGTHS,
    TOLERANCE,
    Check,
    differ,
    draw_tokens,
    encode_padded,
    row_of,
    tried,
    try_embeddings,
    try_layers,
    try_length,
    try_output,
    try_padding,
    try_sharing,
)
from lm_eval.models.config_facts import attends_in_part
from lm_eval.models.families import Family, Sharing
from lm_eval.models.language_model import LanguageModel

logger = logging.getLogger(__name__)

_NOISE = 3.0
"""How far choices that share a context may be from the plain way, against choices that share none."""
_ROUNDING = 1.5
"""How far they may be in any case, in steps of the dtype."""


def check_structure(model: LanguageModel) -> Iterator[Check]:
    """Try what the experiment needs of a model: its parts, its hidden states, its output.

    Yields:
        The outcome of each check; one that fails may keep those behind it from being tried.
    """
    yield _check_blocks(model)
    yield _check_widths(model)
    trials: dict[str, Callable[[LanguageModel, list[list[int]]], float]] = {
        "vectors are accepted in place of tokens": try_embeddings,
        "hidden states are numbered as expected": try_layers,
        "padding on the right changes nothing": try_padding,
        "predictions are those of the whole model": try_output,
        "it takes as many tokens as its config says": try_length,
    }
    if model.runs_whole:
        del trials["predictions are those of the whole model"]  # it makes them itself
    segments = draw_tokens(model, LENGTHS)
    for what, trial in trials.items():
        yield tried(what, model, lambda trial=trial: trial(model, segments))  # type: ignore[misc]


def check_sharing(model: LanguageModel) -> Check:
    """Try whether choices that share a context as the model's family says score the same as alone."""
    apart = replace(model, family=replace(model.family, sharing="none"))
    noise = tried("", apart, lambda: try_sharing(apart))
    if noise.fault is not None or model.family.sharing == "none":
        return replace(noise, what=SHARED_BY[model.family.sharing])
    tolerance = max(TOLERANCE, _ROUNDING * torch.finfo(model.dtype).eps, _NOISE * float(noise.difference or 0))
    return tried(SHARED_BY[model.family.sharing], model, lambda: try_sharing(model), tolerance)


SHARED_BY: dict[Sharing, str] = {
    "row": "choices stand side by side behind their context",
    "cache": "the cache of a context is repeated for its choices",
    "none": "a context is read again for each choice",
}


def refuse_inexact(model: LanguageModel) -> None:
    """Try a model whose family some releases of transformers get wrong.

    Raises:
        ConfigurationError: scores would depend on what else is in a batch.
    """
    check = check_sharing(model)
    if check.fault is not None:
        raise ConfigurationError(
            f"{model.name}: transformers {transformers.__version__} scores its choices otherwise in a batch than alone "
            f"({check.fault}); install a newer release"
        )


def settle(model: LanguageModel) -> LanguageModel:
    """Return a model whose family has no row of its own, with what its provisional row leaves open filled in.

    Raises:
        ConfigurationError: the experiment doesn't fit the model; says what doesn't.
    """
    model_type = model.network.config.model_type
    model = replace(model, family=replace(model.family, blocks=_find_blocks(model)))
    model = replace(model, family=replace(model.family, lists_outputs=_lists_outputs(model)))
    for check in check_structure(model):
        if check.fault is not None:
            raise ConfigurationError(
                f"{model.name}: its type {model_type!r} has no row in the table of families, and the experiment "
                f"doesn't fit it: {check.what}: {check.fault}; choose another model, or add a row (CONTRIBUTING.md)"
            )
    for family in _candidates(model):
        check = check_sharing(replace(model, family=family))
        if check.fault is None:
            break
    else:
        raise ConfigurationError(f"{model.name}: {check.what}, but {check.fault}; choose another model")
    logger.warning(
        "%s: its type %r has no row in the table of families, so it was checked: it fits, and %s",
        model.name,
        model_type,
        check.what,
    )
    return replace(model, family=family)


def _candidates(model: LanguageModel) -> Iterator[Family]:
    """Yield the ways of sharing a context, fastest first; a window of attention is longer than what is tried here."""
    plain = replace(model.family, sharing="none")
    if not attends_in_part(model.config) and not model.runs_whole:
        yield replace(plain, sharing="row")
        if not model.is_encoder_decoder:
            yield replace(plain, sharing="cache")
            yield replace(plain, sharing="cache", takes_positions=False)
    yield plain


def _find_blocks(model: LanguageModel) -> str | None:
    """Return the path of the first list of as many modules as the config names layers."""
    number = getattr(model.config, model.family.num_layers, getattr(model.config, "num_hidden_layers", None))
    lists = (
        path
        for path, module in model.encoder.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == number and "vision" not in path
    )
    return next(lists, None)


def _check_blocks(model: LanguageModel) -> Check:
    what = "its blocks are a list"
    if model.family.blocks is None:
        return Check(what=what, fault=f"no list of as many modules as {model.family.num_layers} says")
    return Check(what=what)


def _check_widths(model: LanguageModel) -> Check:
    what, width = "embeddings are as wide as hidden states", model.token_embeddings(row_of(model, [0])).shape[-1]
    if width != model.hidden_size:
        return Check(what=what, fault=f"embeddings have {width} components, hidden states {model.hidden_size}")
    return Check(what=what)


def _lists_outputs(model: LanguageModel) -> bool:
    """Whether the list of hidden states begins with what the first block gives, not with what it takes."""
    with torch.inference_mode(), suppress(Exception):
        tokens = row_of(model, draw_tokens(model, LENGTHS)[0])
        embeddings = model.token_embeddings(tokens)
        first = model.encoder(inputs_embeds=embeddings, output_hidden_states=True).hidden_states[0]
        (given,) = encode_padded(model, tokens.tolist(), [1]).values()
        return bool(differ(first, given) <= TOLERANCE)
    return False
