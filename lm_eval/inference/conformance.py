"""Checks of whether the experiment fits a loaded model, on a few tokens.

Every model is asked whether its positions see what is behind them. Where the table has no row for its family, or its
config has switches that no test has tried, everything that a row of `lm_eval.models.families` promises is compared with
the model itself, run as in `reference`.
"""

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import torch
import transformers
from torch import nn

from lm_eval.errors import ConfigurationError
from lm_eval.inference import trials
from lm_eval.inference.trials import LENGTHS, TOLERANCE, Check, as_row, differ, draw, encode, tried
from lm_eval.models.config_facts import attends_both_ways, attends_in_part, reads_tokens, untried_fields
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
    attempts: dict[str, Callable[[LanguageModel, list[list[int]]], float]] = {
        "vectors are accepted in place of tokens": trials.try_embeddings,
        "hidden states are numbered as expected": trials.try_layers,
        "padding on the right changes nothing": trials.try_padding,
        "predictions are those of the whole model": trials.try_output,
        "it takes as many tokens as its config says": trials.try_length,
    }
    if model.care is not None:  # `given` tries these, and takes another way where they fail
        attempts = {what: attempt for what, attempt in attempts.items() if attempt not in _OF_BATCHES}
    segments = draw(model, LENGTHS)
    for what, attempt in attempts.items():
        if attempt is not trials.try_embeddings or not model.reads_tokens:
            yield tried(what, model, lambda attempt=attempt: attempt(model, segments))  # type: ignore[misc]


_OF_BATCHES = (trials.try_padding, trials.try_output)


def check_sharing(model: LanguageModel, alone: Callable[[], list[float]] | None = None) -> Check:
    """Try whether choices that share a context as the model's family says score the same as alone.

    Args:
        model: the model.
        alone: gives their scores alone, where several ways of sharing are tried.
    """
    scores = functools.cache(lambda: trials.score_alone(model)) if alone is None else alone
    apart = replace(model, family=replace(model.family, sharing="none"))
    noise = tried("", apart, lambda: trials.try_sharing(apart, scores))
    if noise.fault is not None or model.family.sharing == "none":
        return replace(noise, what=SHARED_BY[model.family.sharing])
    tolerance = max(TOLERANCE, _ROUNDING * torch.finfo(model.dtype).eps, _NOISE * float(noise.difference or 0))
    return tried(SHARED_BY[model.family.sharing], model, lambda: trials.try_sharing(model, scores), tolerance)


EQUAL_WIDTHS = "embeddings are as wide as hidden states"
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
    """Return a model with what its config and its row of the table leave open filled in.

    Raises:
        ConfigurationError: the experiment doesn't fit the model; says what doesn't.
    """
    model = replace(model, attends_both_ways=_attends_both_ways(model))
    if model.family.is_generic:
        return _fill_row(model)
    untried = untried_fields(model.network.config)
    untried += untried_fields(model.config) if model.config is not model.network.config else []
    is_of_library = type(model.network).__module__.startswith("transformers.")
    if untried or model.attends_both_ways or not is_of_library:
        why = f"its config has {', '.join(untried)}" if untried else "its code is its own"
        _refuse_unfit(model, "its positions see what is behind them" if model.attends_both_ways else why)
    return model


def _attends_both_ways(model: LanguageModel) -> bool:
    """Whether positions see what is behind them: by the config, or seen in the model itself.

    Raises:
        ConfigurationError: it can't be run at all.
    """
    if not model.is_encoder_decoder and attends_both_ways(model.config.to_dict()):
        return True
    check = tried("its own code runs", model, lambda: trials.try_tokens_behind(model))
    if check.difference is None:
        asked = "is its config right?" if model.care is None else "do its config and its hooks take so short a text?"
        raise ConfigurationError(f"{model.name}: can't be run on a few tokens ({check.fault}); {asked}")
    return check.fault is not None and check.difference < float("inf")


def _refuse_unfit(model: LanguageModel, why: str) -> None:
    shares = not model.attends_both_ways and model.care is None
    checks = [*check_structure(model), *([check_sharing(model)] if shares else [])]
    for check in checks:
        if check.fault is not None and check.what != EQUAL_WIDTHS:  # which the families of the table may do without
            raise ConfigurationError(
                f"{model.name}: {why}, and the experiment doesn't fit it: {check.what}: {check.fault}; choose another "
                "model"
            )


def _fill_row(model: LanguageModel) -> LanguageModel:
    """Return a model whose family has no row of its own, with what its provisional row leaves open filled in."""
    model_type = model.network.config.model_type
    model = replace(model, family=replace(model.family, blocks=_find_blocks(model)))
    model = replace(model, reads_tokens=_reads_tokens(model))
    model = replace(model, family=replace(model.family, lists_outputs=_lists_outputs(model)))
    model = model if model.reads_tokens else replace(model, max_length=_find_longest(model))
    for check in check_structure(model):
        if check.fault is not None:
            raise ConfigurationError(
                f"{model.name}: its type {model_type!r} has no row in the table of families, and the experiment "
                f"doesn't fit it: {check.what}: {check.fault}; choose another model, or add a row (CONTRIBUTING.md)"
            )
    family, shared = _share(model)
    logger.warning(
        "%s: its type %r has no row in the table of families, so it was checked: it fits, and %s",
        model.name,
        model_type,
        shared,
    )
    return replace(model, family=family)


def _share(model: LanguageModel) -> tuple[Family, str]:
    """Return the row with the fastest way of sharing a context that is exact, and what to say of it."""
    if model.attends_both_ways:
        return replace(model.family, sharing="none"), "as its positions see what is behind them, it scores no text"
    if model.runs_whole:
        return replace(model.family, sharing="none"), SHARED_BY["none"]
    alone = functools.cache(lambda: trials.score_alone(model))
    for family in _candidates(model):
        check = check_sharing(replace(model, family=family), alone)
        if check.fault is None:
            return family, check.what
    raise ConfigurationError(f"{model.name}: {check.what}, but {check.fault}; choose another model")


def _reads_tokens(model: LanguageModel) -> bool:
    """Whether a decoder-only model gives something else for embeddings than for the tokens that they are of."""
    if model.is_encoder_decoder or reads_tokens(model.config.to_dict()):
        return not model.is_encoder_decoder  # one that searches its whole table for a vector may lack the memory for it
    by_vectors = tried("", model, lambda: trials.try_embeddings(model, draw(model, LENGTHS)))
    return by_vectors.fault is not None


def _find_longest(model: LanguageModel) -> int:
    with torch.inference_mode(), suppress(Exception):  # whatever is wrong, the checks say so
        return trials.find_longest(model)
    return model.max_length


def _candidates(model: LanguageModel) -> Iterator[Family]:
    """Yield the ways of sharing a context, fastest first; a window of attention is longer than what is tried here."""
    plain = replace(model.family, sharing="none")
    if not (attends_in_part(model.config) or model.reads_tokens or model.turning_length is not None):
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
    what, width = EQUAL_WIDTHS, model.token_embeddings(as_row(model, [0])).shape[-1]
    if width != model.hidden_size:
        return Check(what=what, fault=f"embeddings have {width} components, hidden states {model.hidden_size}")
    return Check(what=what)


def _lists_outputs(model: LanguageModel) -> bool:
    """Whether the list of hidden states begins with what the first block gives, not with what it takes."""
    with torch.inference_mode(), suppress(Exception):
        tokens = as_row(model, draw(model, LENGTHS)[0])
        first = model.encoder(tokens, output_hidden_states=True).hidden_states[0]
        (given,) = encode(model, tokens.tolist(), [1]).values()
        return bool(differ(first, given) <= TOLERANCE)
    return False
