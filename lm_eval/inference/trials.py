"""Trials of a loaded model on a few tokens: how far what the engine makes of them is from the plain way.

Each gives a difference, relative to the spread of the values. What follows from them is decided in `conformance` and
`given`.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lm_eval.common.text import say_cause
from lm_eval.config.layer import ResolvedLayer
from lm_eval.inference.batching import BatchBudget, Batcher
from lm_eval.inference.decoder import Prompt, score_prompts
from lm_eval.inference.encoder import run_encoder
from lm_eval.inference.interventions import WrongChangeError
from lm_eval.inference.lm_head import project
from lm_eval.inference.reference import score_choice
from lm_eval.models.language_model import LanguageModel

LENGTHS = (71, 9)
"""Of the segments that are tried; one is long enough to be read before the choices (`SHORT_TRUNK`)."""
_CHOICES = (5, 1, 12, 3)
"""Of the choices behind each."""
TOLERANCE, _LOW_PRECISION = 1e-4, 0.1
"""Of differences, in float32 and below: what rounding gives, below what a wrong mask or position gives."""
NEAR = 16
"""Rows by which a table of positions may differ from the limit: those for padding, say."""
_SEEN, _BEHIND = 4, 8
"""Tokens of a text, and of what stands behind it in turn: more, so that it tells on the text where it is seen."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """Something that a model is tried for."""

    what: str
    difference: float | None = None
    """The largest from the plain way's, relative to the spread of the values; None where nothing was compared."""
    fault: str | None = None
    """Why the model failed it."""


def tried(what: str, model: LanguageModel, trial: Callable[[], float], tolerance: float | None = None) -> Check:
    """Return the outcome of a trial.

    Args:
        what: what the model is tried for.
        model: the model.
        trial: returns how far the values are from the plain way's.
        tolerance: how far they may be; None: as the dtype has it.
    """
    if tolerance is None:
        tolerance = TOLERANCE if model.dtype.itemsize >= 4 else _LOW_PRECISION
    try:
        with torch.inference_mode():
            difference = trial()
    except (torch.OutOfMemoryError, WrongChangeError):
        raise
    except Exception as error:  # of the model's own code, whatever it is
        return Check(what=what, fault=say_cause(error))
    fault = None if difference <= tolerance else f"values differ by {difference:.1e}, more than {tolerance:.0e}"
    return Check(what=what, difference=difference, fault=fault)


def draw(model: LanguageModel, lengths: tuple[int, ...]) -> list[list[int]]:
    """Draw ids of ordinary tokens, the same at each call; some models look for their padding among them."""
    rnd = random.Random(0)  # noqa: S311
    size = min(len(model.token_embeddings.weight), len(model.tokenizer))  # type: ignore[arg-type]
    special = {*model.tokenizer.all_special_ids, getattr(model.config, "pad_token_id", None)}
    ordinary = [token for token in range(size) if token not in special]
    return [rnd.choices(ordinary, k=length) for length in lengths]


def as_row(model: LanguageModel, tokens: list[int]) -> Tensor:
    """Return token ids as a batch of one row."""
    return torch.tensor([tokens], device=model.device)


def differ(actual: Tensor, expected: Tensor) -> float:
    """Return the largest difference, relative to the spread of the expected values; infinite if it is no number."""
    actual, expected = actual.float().cpu(), expected.float().cpu()
    largest = float((actual - expected).abs().max() / expected.std().clamp(min=1e-12))
    return largest if largest == largest else float("inf")  # noqa: PLR0124  (only NaN differs from itself)


def plain_states(model: LanguageModel, tokens: list[int]) -> tuple[Tensor, ...]:
    """Return all hidden states of a segment as transformers gives them."""
    row = as_row(model, tokens)
    output = model.encoder(row, output_hidden_states=True)
    return model.layers_of(output, model.token_embeddings(row))


def encode(model: LanguageModel, segments: list[list[int]], layers: list[ResolvedLayer]) -> dict[ResolvedLayer, Tensor]:
    """Return hidden states of right-padded segments as the engine sees them."""
    width = max(map(len, segments))
    tokens = torch.tensor([segment + [0] * (width - len(segment)) for segment in segments])
    mask = torch.arange(width) < torch.tensor([[len(segment)] for segment in segments])
    states: dict[ResolvedLayer, Tensor] = {}
    offsets = torch.zeros(len(segments), dtype=torch.long)
    run_encoder(model, tokens.to(model.device), mask.to(model.device), offsets, layers, states.__setitem__)
    return states


def try_embeddings(model: LanguageModel, segments: list[list[int]]) -> float:
    """Give embeddings in place of tokens, and then vectors next to them, which are no token's."""
    embeddings = model.token_embeddings(as_row(model, segments[0]))
    expected = plain_states(model, segments[0])[-1]
    places = (embeddings, embeddings * (1 + torch.finfo(embeddings.dtype).eps))
    return max(differ(model.encoder(inputs_embeds=place).last_hidden_state, expected) for place in places)


def try_tokens_behind(model: LanguageModel) -> float:
    """Return how far other tokens behind a text change its hidden states, relative to their length.

    0 up to rounding where positions see what stands before them alone.
    """
    num_seen = min(_SEEN, model.max_length - 1)
    text, behind, other = draw(model, (num_seen, *[min(_BEHIND, model.max_length - num_seen)] * 2))
    rows = torch.tensor([text + behind, text + other], device=model.device)
    if model.is_encoder_decoder:
        read = as_row(model, text).expand(2, -1)
        states = model.network(read, decoder_input_ids=rows, use_cache=False).logits[:, :num_seen]
    else:
        states = model.encoder(rows, use_cache=False).last_hidden_state[:, :num_seen]
    one, two = states.float()
    return float(((one - two).norm(dim=-1) / one.norm(dim=-1).clamp(min=1e-12)).max())


class _Lookups(TorchFunctionMode):
    """Notes what is looked up in tables while it lasts."""

    def __init__(self) -> None:
        super().__init__()
        self.rows_and_largest: list[tuple[int, int]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        if func is nn.functional.embedding:
            self.rows_and_largest.append((len(args[1]), int(args[0].max())))
        return func(*args, **(kwargs or {}))


def find_longest(model: LanguageModel) -> int:
    """Return the longest text that the model's learned positions allow: some tables begin with rows for padding."""
    tokens = draw(model, LENGTHS)[-1]
    with _Lookups() as lookups:
        model.encoder(inputs_embeds=model.token_embeddings(as_row(model, tokens)))
    last = len(tokens) - 1
    ends = (rows - largest + last for rows, largest in lookups.rows_and_largest if last <= largest < last + NEAR)
    return min((end for end in ends if abs(end - model.max_length) <= NEAR), default=model.max_length)


def try_layers(model: LanguageModel, segments: list[list[int]]) -> float:
    """Take every hidden state by the engine."""
    expected = plain_states(model, segments[0])
    if len(expected) != model.num_layers + 1:
        raise ValueError(f"{model.num_layers} blocks give {len(expected)} lists of hidden states, not one more")
    actual = encode(model, segments[:1], list(range(len(expected))))
    return max(differ(actual[layer], states) for layer, states in enumerate(expected))


def try_padding(model: LanguageModel, segments: list[list[int]]) -> float:
    """Encode segments of different lengths together."""
    differences = []
    for places in model.batched_together([len(segment) for segment in segments]):
        group = [segments[place] for place in places]
        actual = encode(model, group, [model.num_layers])[model.num_layers]
        expected = [plain_states(model, segment)[-1][0] for segment in group]
        differences += [differ(row[: len(states)], states) for row, states in zip(actual, expected, strict=True)]
    return max(differences)


def try_output(model: LanguageModel, segments: list[list[int]]) -> float:
    """Make logits of the last hidden states."""
    tokens = as_row(model, segments[0])
    if model.is_encoder_decoder:
        output = model.network(tokens, decoder_input_ids=tokens, output_hidden_states=True)
        last = output.decoder_hidden_states[-1]
    else:
        output = model.network(tokens, output_hidden_states=True)
        last = output.hidden_states[-1]
    return differ(project(model, last[0]), output.logits[0])


def try_length(model: LanguageModel, segments: list[list[int]]) -> float:
    """Run the longest text where learned positions could end before the limit; of other positions there is no end."""
    tables = [module for module in model.encoder.modules() if isinstance(module, nn.Embedding)]
    if any(abs(len(table.weight) - model.max_length) <= NEAR for table in tables):
        model.encoder(as_row(model, (segments[0] * model.max_length)[: model.max_length]))
    return 0.0


def try_sharing(model: LanguageModel, alone: Callable[[], list[float]] | None = None) -> float:
    """Return how far the scores of choices are from those of a pass for each, relative to their own spread.

    Args:
        model: the model, with its way of sharing a context.
        alone: gives the scores of a pass for each, where several ways are compared with them.
    """
    choices = tuple(tuple(choice) for choice in draw(model, _CHOICES))
    batcher = Batcher(BatchBudget(max_rows=1 if model.runs_alone else None))
    prompts = [Prompt(context=context, choices=choices) for context in _contexts(model)]
    actual = [score.log_probability for scores in score_prompts(model, prompts, batcher) for score in scores]
    expected = score_alone(model) if alone is None else alone()
    return differ(torch.tensor(actual), torch.tensor(expected))


def score_alone(model: LanguageModel) -> list[float]:
    """Return the scores of the choices behind each context, with a pass for each."""
    choices = draw(model, _CHOICES)
    return [
        score_choice(model, context, tuple(choice), bare=False) for context in _contexts(model) for choice in choices
    ]


def _contexts(model: LanguageModel) -> list[tuple[int, ...] | Tensor]:
    return [_context(model, tokens) for tokens in draw(model, LENGTHS)]


def _context(model: LanguageModel, tokens: list[int]) -> tuple[int, ...] | Tensor:
    """Return what choices are scored behind: vectors where the model takes any."""
    if model.reads_tokens:
        return tuple(tokens)
    vectors = (
        plain_states(model, tokens)[-1] if model.is_encoder_decoder else model.token_embeddings(as_row(model, tokens))
    )
    return vectors[0].float().cpu()


def fits(model: LanguageModel) -> Iterator[Check]:
    """Try whether a network that a caller has loaded gives what its parts give, one text at a time.

    Yields:
        The outcome of each check; one that fails may keep those behind it from being tried.
    """
    segments = draw(model, LENGTHS)
    attempts: dict[str, Callable[[LanguageModel, list[list[int]]], float]] = {
        "vectors are accepted in place of tokens": try_embeddings,
        "the whole network lets its stack run as it is": _try_whole,
        "hidden states are numbered as expected": try_layers,
    }
    for what, attempt in attempts.items():
        if attempt is not try_embeddings or not model.reads_tokens:
            yield tried(what, model, lambda attempt=attempt: attempt(model, segments))  # type: ignore[misc]


def repeats(model: LanguageModel) -> Check:
    """Try whether a network gives the same twice."""
    return tried("two equal passes give equal values", model, lambda: _try_again(model, draw(model, LENGTHS)[0]))


def fits_in_batches(model: LanguageModel) -> Iterator[Check]:
    """Try whether texts that run together, in the way that the model's care allows, give what each gives alone."""
    segments = draw(model, LENGTHS)
    if not model.runs_alone:
        yield tried("padding on the right changes nothing", model, lambda: try_padding(model, segments))
    if not model.runs_whole:
        yield tried("predictions are those of the whole model", model, lambda: try_output(model, segments))
    if not model.attends_both_ways:  # which scores no text
        yield tried("choices score the same as alone", model, lambda: try_sharing(model))


def _run_whole(model: LanguageModel, segment: list[int]) -> Any:  # noqa: ANN401
    tokens = as_row(model, segment)
    further = {"decoder_input_ids": tokens} if model.is_encoder_decoder else {}
    return model.network(tokens, output_hidden_states=True, **further)


def _try_again(model: LanguageModel, segment: list[int]) -> float:
    return differ(*(_run_whole(model, segment).logits for _ in range(2)))


def _try_whole(model: LanguageModel, segments: list[list[int]]) -> float:
    """Compare what the stack does inside the whole network with what it does by itself."""
    output, row = _run_whole(model, segments[0]), as_row(model, segments[0])
    inside = output.encoder_hidden_states if model.is_encoder_decoder else output.hidden_states
    alone = model.encoder(row, output_hidden_states=True).hidden_states
    differences = [differ(*pair) for pair in zip(inside[:-1], alone[:-1], strict=True)]
    if not (model.is_encoder_decoder or model.reads_tokens):
        logits = model.network(inputs_embeds=model.token_embeddings(row)).logits
        differences.append(differ(logits, output.logits))
    return max(differences)
