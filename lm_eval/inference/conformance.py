"""Checks of whether the experiment fits a loaded model, on a few tokens: for families that the table doesn't have.

Everything that a row of `lm_eval.models.families` promises is compared with the model itself, run as in `reference`.
"""

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
import transformers
from torch import Tensor, nn

from lm_eval.common.text import say_cause
from lm_eval.config.layer import ResolvedLayer
from lm_eval.errors import ConfigurationError
from lm_eval.inference.batching import BatchBudget, Batcher
from lm_eval.inference.decoder import Prompt, score_prompts
from lm_eval.inference.encoder import run_encoder
from lm_eval.inference.lm_head import project
from lm_eval.inference.reference import score_choice
from lm_eval.models.config_facts import attends_in_part
from lm_eval.models.families import Family, Sharing
from lm_eval.models.language_model import LanguageModel

logger = logging.getLogger(__name__)

_LENGTHS = (71, 9)
"""Of the segments that are tried; one is long enough to be read before the choices (`SHORT_TRUNK`)."""
_CHOICES = (5, 1, 12, 3)
"""Of the choices behind each."""
_TOLERANCE, _LOW_PRECISION = 1e-4, 0.1
"""Of differences, in float32 and below: what rounding gives, below what a wrong mask or position gives."""
_NEAR = 16
"""Rows by which a table of positions may differ from the limit: those for padding, say."""
_NOISE = 3.0
"""How far choices that share a context may be from the plain way, against choices that share none."""
_ROUNDING = 1.5
"""How far they may be in any case, in steps of the dtype."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """Something that a model is tried for."""

    what: str
    difference: float | None = None
    """The largest from the plain way's, relative to the spread of the values; None where nothing was compared."""
    fault: str | None = None
    """Why the model failed it."""


def check_structure(model: LanguageModel) -> Iterator[Check]:
    """Try what the experiment needs of a model: its parts, its hidden states, its output.

    Yields:
        The outcome of each check; one that fails may keep those behind it from being tried.
    """
    yield _check_blocks(model)
    yield _check_widths(model)
    trials: dict[str, Callable[[LanguageModel, list[list[int]]], float]] = {
        "vectors are accepted in place of tokens": _try_embeddings,
        "hidden states are numbered as expected": _try_layers,
        "padding on the right changes nothing": _try_padding,
        "predictions are those of the whole model": _try_output,
        "it takes as many tokens as its config says": _try_length,
    }
    segments = _draw(model, _LENGTHS)
    for what, trial in trials.items():
        yield _tried(what, model, lambda trial=trial: trial(model, segments))  # type: ignore[misc]


def check_sharing(model: LanguageModel) -> Check:
    """Try whether choices that share a context as the model's family says score the same as alone."""
    apart = replace(model, family=replace(model.family, sharing="none"))
    noise = _tried("", apart, lambda: _try_sharing(apart))
    if noise.fault is not None or model.family.sharing == "none":
        return replace(noise, what=SHARED_BY[model.family.sharing])
    tolerance = max(_TOLERANCE, _ROUNDING * torch.finfo(model.dtype).eps, _NOISE * float(noise.difference or 0))
    return _tried(SHARED_BY[model.family.sharing], model, lambda: _try_sharing(model), tolerance)


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
    if not attends_in_part(model.config):
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
    what, width = "embeddings are as wide as hidden states", model.token_embeddings(_row(model, [0])).shape[-1]
    if width != model.hidden_size:
        return Check(what=what, fault=f"embeddings have {width} components, hidden states {model.hidden_size}")
    return Check(what=what)


def _lists_outputs(model: LanguageModel) -> bool:
    """Whether the list of hidden states begins with what the first block gives, not with what it takes."""
    with torch.inference_mode(), suppress(Exception):
        tokens = _row(model, _draw(model, _LENGTHS)[0])
        embeddings = model.token_embeddings(tokens)
        first = model.encoder(inputs_embeds=embeddings, output_hidden_states=True).hidden_states[0]
        (given,) = _encode(model, tokens.tolist(), [1]).values()
        return bool(_differ(first, given) <= _TOLERANCE)
    return False


def _tried(what: str, model: LanguageModel, trial: Callable[[], float], tolerance: float | None = None) -> Check:
    if tolerance is None:
        tolerance = _TOLERANCE if model.dtype.itemsize >= 4 else _LOW_PRECISION
    try:
        with torch.inference_mode():
            difference = trial()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of the model's own code, whatever it is
        return Check(what=what, fault=say_cause(error))
    fault = None if difference <= tolerance else f"values differ by {difference:.1e}, more than {tolerance:.0e}"
    return Check(what=what, difference=difference, fault=fault)


def _draw(model: LanguageModel, lengths: tuple[int, ...]) -> list[list[int]]:
    """Draw ids of ordinary tokens, the same at each call; some models look for their padding among them."""
    rnd = random.Random(0)  # noqa: S311
    size = min(len(model.token_embeddings.weight), len(model.tokenizer))  # type: ignore[arg-type]
    special = {*model.tokenizer.all_special_ids, getattr(model.config, "pad_token_id", None)}
    ordinary = [token for token in range(size) if token not in special]
    return [rnd.choices(ordinary, k=length) for length in lengths]


def _row(model: LanguageModel, tokens: list[int]) -> Tensor:
    return torch.tensor([tokens], device=model.device)


def _differ(actual: Tensor, expected: Tensor) -> float:
    """Return the largest difference, relative to the spread of the expected values; infinite if it is no number."""
    actual, expected = actual.float().cpu(), expected.float().cpu()
    largest = float((actual - expected).abs().max() / expected.std().clamp(min=1e-12))
    return largest if largest == largest else float("inf")  # noqa: PLR0124  (only NaN differs from itself)


def _plain_states(model: LanguageModel, tokens: list[int]) -> tuple[Tensor, ...]:
    row = _row(model, tokens)
    output = model.encoder(row, output_hidden_states=True)
    return model.layers_of(output, model.token_embeddings(row))


def _encode(
    model: LanguageModel, segments: list[list[int]], layers: list[ResolvedLayer]
) -> dict[ResolvedLayer, Tensor]:
    """Return hidden states of right-padded segments as the engine sees them."""
    width = max(map(len, segments))
    tokens = torch.tensor([segment + [0] * (width - len(segment)) for segment in segments])
    mask = torch.arange(width) < torch.tensor([[len(segment)] for segment in segments])
    states: dict[ResolvedLayer, Tensor] = {}
    offsets = torch.zeros(len(segments), dtype=torch.long)
    run_encoder(model, tokens.to(model.device), mask.to(model.device), offsets, layers, states.__setitem__)
    return states


def _try_embeddings(model: LanguageModel, segments: list[list[int]]) -> float:
    states = model.encoder(inputs_embeds=model.token_embeddings(_row(model, segments[0]))).last_hidden_state
    return _differ(states, _plain_states(model, segments[0])[-1])


def _try_layers(model: LanguageModel, segments: list[list[int]]) -> float:
    expected = _plain_states(model, segments[0])
    if len(expected) != model.num_layers + 1:
        raise ValueError(f"{model.num_layers} blocks give {len(expected)} lists of hidden states, not one more")
    actual = _encode(model, segments[:1], list(range(len(expected))))
    return max(_differ(actual[layer], states) for layer, states in enumerate(expected))


def _try_padding(model: LanguageModel, segments: list[list[int]]) -> float:
    differences = []
    for places in model.batched_together([len(segment) for segment in segments]):
        group = [segments[place] for place in places]
        actual = _encode(model, group, [model.num_layers])[model.num_layers]
        expected = [_plain_states(model, segment)[-1][0] for segment in group]
        differences += [_differ(row[: len(states)], states) for row, states in zip(actual, expected, strict=True)]
    return max(differences)


def _try_output(model: LanguageModel, segments: list[list[int]]) -> float:
    tokens = _row(model, segments[0])
    if model.is_encoder_decoder:
        output = model.network(tokens, decoder_input_ids=tokens, output_hidden_states=True)
        last = output.decoder_hidden_states[-1]
    else:
        output = model.network(tokens, output_hidden_states=True)
        last = output.hidden_states[-1]
    return _differ(project(model, last[0]), output.logits[0])


def _try_length(model: LanguageModel, segments: list[list[int]]) -> float:
    """Run the longest text where learned positions could end before the limit; of other positions there is no end."""
    tables = [module for module in model.encoder.modules() if isinstance(module, nn.Embedding)]
    if any(abs(len(table.weight) - model.max_length) <= _NEAR for table in tables):
        model.encoder(_row(model, (segments[0] * model.max_length)[: model.max_length]))
    return 0.0


def _try_sharing(model: LanguageModel) -> float:
    """Return how far the scores of choices are from those of a pass for each, relative to their own spread."""
    contexts, choices = _draw(model, _LENGTHS), tuple(tuple(choice) for choice in _draw(model, _CHOICES))
    vectors = [_plain_states(model, c)[-1][0] if model.is_encoder_decoder else _embedded(model, c) for c in contexts]
    prompts = [Prompt(context=context.float().cpu(), choices=choices) for context in vectors]
    scored = score_prompts(model, prompts, Batcher(BatchBudget()))
    actual = [score.log_probability for scores in scored for score in scores]
    expected = [score_choice(model, context, choice, bare=False) for context in vectors for choice in choices]
    return _differ(torch.tensor(actual), torch.tensor(expected))


def _embedded(model: LanguageModel, tokens: list[int]) -> Tensor:
    vectors: Tensor = model.token_embeddings(_row(model, tokens))[0]
    return vectors
