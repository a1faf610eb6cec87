"""Test 1 and the baseline: log-probabilities of choices behind a context of tokens or concept vectors (experiment §5).

A context is read once for all its choices, in the way that the family allows (`Family.sharing`). One that is too long
for a decoder-only model is truncated from the left (`_make_jobs`); segments are in `lm_eval.contexts.truncation`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lm_eval.inference import whole
from lm_eval.inference.batching import Batcher
from lm_eval.inference.injection import Placed, entering
from lm_eval.inference.kv_cache import run_with_cache
from lm_eval.inference.lm_head import project
from lm_eval.inference.parameterless import parameterless_decoder
from lm_eval.inference.prefix_sharing import Row, additive_mask, is_plain_causal, pad_positions, visible
from lm_eval.inference.token_scores import Projection, project_bare, score_tokens
from lm_eval.inference.transfers import HostCopy, to_device
from lm_eval.models.language_model import LanguageModel

SHORT_TRUNK = 64
"""Positions of a context that are not worth a pass of their own before the choices."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A context with the choices to be scored behind it."""

    context: tuple[int, ...] | Float[Tensor, "vector dim"]
    """Token ids, or concept vectors in their place."""
    choices: tuple[tuple[int, ...], ...]
    """Token ids of each choice."""
    front: tuple[int, ...] = ()
    """Token ids in front of the context, kept when it is cut (experiment §9)."""
    parameterless: bool = False
    """Whether attention without parameters replaces the decoder."""
    layer: int | None = None
    """The block before which vectors enter a decoder-only model; None: they stand in place of input embeddings."""


@dataclass(frozen=True)
class ChoiceScore:
    """How probable a choice is."""

    log_probability: float
    """Sum over its tokens."""
    is_exact_match: bool
    """Whether each token is the most probable one at its place."""


@dataclass(frozen=True, kw_only=True)
class _Job:
    """A row of a batch: a prompt cut to what the model takes, with those of its choices that share the cut."""

    prompt: int
    choices: tuple[int, ...]
    """Which prompt and which of its choices this scores."""
    front: tuple[int, ...]
    context: tuple[int, ...] | Tensor
    targets: tuple[tuple[int, ...], ...]
    parameterless: bool
    layer: int | None
    row: Row

    @property
    def tokens(self) -> tuple[int, ...]:
        """What stands in the row; any token where a vector does."""
        context = self.context if isinstance(self.context, tuple) else (0,) * len(self.context)
        return sum((target[:-1] for target in self.targets), self.front + context)


@torch.inference_mode()
def score_prompts(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    batcher: Batcher,
    on_batch: Callable[[int], None] = lambda tokens: None,  # noqa: ARG005
) -> list[list[ChoiceScore]]:
    """Score the choices of prompts in batches; a prompt's neighbours in a batch don't change its scores.

    Args:
        model: the language model; an encoder-decoder takes contexts of concept vectors only.
        prompts: contexts and choices; no choice may be empty or longer than the model takes.
        batcher: cuts the work into batches.
        on_batch: called with the number of choice tokens of each finished batch.

    Returns:
        For each prompt, the score of each choice.
    """
    by_choice: dict[tuple[int, int], ChoiceScore] = {}
    jobs = [job for index, prompt in enumerate(prompts) for job in _make_jobs(model, index, prompt)]
    for way in dict.fromkeys((job.parameterless, job.layer) for job in jobs):
        alike = [job for job in jobs if (job.parameterless, job.layer) == way]
        for batch, scores in _score_alike(model, alike, batcher):
            keys = [(job.prompt, choice) for job in batch for choice in job.choices]
            by_choice.update(zip(keys, scores, strict=True))
            on_batch(sum(len(target) for job in batch for target in job.targets))
    return [[by_choice[index, choice] for choice in range(len(prompt.choices))] for index, prompt in enumerate(prompts)]


def _score_alike(
    model: LanguageModel, jobs: Sequence[_Job], batcher: Batcher
) -> Iterator[tuple[list[_Job], list[ChoiceScore]]]:
    """Score jobs that use the same decoder, and yield each batch with the scores of its choices."""
    for places in model.batched_together([len(job.row) for job in jobs]):
        yield from _score_together(model, [jobs[place] for place in places], batcher)


def _score_together(
    model: LanguageModel, jobs: Sequence[_Job], batcher: Batcher
) -> Iterator[tuple[list[_Job], list[ChoiceScore]]]:
    def launch(indices: list[int]) -> _Scored:
        return _launch(model, [jobs[index] for index in indices])

    for indices, scores in batcher.run([_cost(model, job) for job in jobs], launch, _collect):
        yield [jobs[index] for index in indices], scores


def _make_jobs(model: LanguageModel, index: int, prompt: Prompt) -> Iterator[_Job]:
    """Group a prompt's choices by how much of the context is cut for them: these share a row."""
    groups: dict[int, list[int]] = {}
    for number, choice in enumerate(prompt.choices):
        # what is cut at the front moves all positions, so choices that cut differently share nothing
        shares = model.family.sharing == "row" or (model.family.sharing == "cache" and prompt.layer is None)
        group = _excess(model, prompt, choice) if shares else number
        groups.setdefault(group, []).append(number)
    for numbers in groups.values():
        targets = tuple(prompt.choices[number] for number in numbers)
        context = prompt.context[_excess(model, prompt, targets[0]) :]
        if model.is_encoder_decoder:
            row = Row(trunk=0, branches=tuple(map(len, targets)), starts_in_trunk=False)
        else:
            trunk = len(prompt.front) + len(context)
            row = Row(trunk=trunk, branches=tuple(len(t) - 1 for t in targets), starts_in_trunk=True)
        yield _Job(
            prompt=index,
            choices=tuple(numbers),
            front=prompt.front,
            context=context,
            targets=targets,
            parameterless=prompt.parameterless,
            layer=prompt.layer,
            row=row,
        )


def _cost(model: LanguageModel, job: _Job) -> int:
    """Return the positions that a job holds in memory at once."""
    if model.is_encoder_decoder:
        return len(job.row) + len(job.context)
    copies = len(job.targets) if model.family.sharing == "cache" and len(job.targets) > 1 else 0
    return len(job.row) + copies * job.row.trunk


def _excess(model: LanguageModel, prompt: Prompt, choice: tuple[int, ...]) -> int:
    """Return how much of the context has to go for the model to take it with this choice."""
    if model.is_encoder_decoder:
        return 0
    return max(0, len(prompt.front) + len(prompt.context) + len(choice) - 1 - model.max_length)


@dataclass(frozen=True)
class _Scored:
    """A batch under way."""

    lengths: list[int]
    """Tokens of each choice."""
    copy: HostCopy
    """The log-probability of every token, and whether it is the most probable one."""


def _launch(model: LanguageModel, batch: Sequence[_Job]) -> _Scored:
    bare = batch[0].parameterless
    run = _run_encoder_decoder if model.is_encoder_decoder else _run_decoder_only
    hidden = run(model, batch, parameterless=bare)
    rows = torch.tensor([place for place, job in enumerate(batch) for _ in job.row.predicting])
    columns = torch.tensor([column for job in batch for column in job.row.predicting])
    targets = torch.tensor([token for job in batch for target in job.targets for token in target])
    rows, columns, targets = (to_device(numbers, hidden.device) for numbers in (rows, columns, targets))
    scores = score_tokens(model, hidden[rows, columns], targets, _projection(model, bare=bare))
    return _Scored([len(target) for job in batch for target in job.targets], HostCopy(scores))


def _projection(model: LanguageModel, *, bare: bool) -> Projection:
    if bare:
        return project_bare
    return whole.given if model.runs_whole else project


def _collect(batch: _Scored) -> list[ChoiceScore]:
    """Return the score of each choice of a batch once it is there."""
    log_probabilities, greedy = batch.copy.wait()
    choices = torch.arange(len(batch.lengths)).repeat_interleave(torch.tensor(batch.lengths))
    zeros = torch.zeros(len(batch.lengths))
    totals = zeros.index_add(0, choices, log_probabilities)
    misses = zeros.index_add(0, choices, (~greedy).float())
    return [ChoiceScore(total, missed == 0) for total, missed in zip(totals.tolist(), misses.tolist(), strict=True)]


def _pad(rows: Sequence[tuple[int, ...]], device: torch.device) -> Int[Tensor, "batch position"]:
    return to_device(pad_sequence([torch.tensor(row, dtype=torch.long) for row in rows], batch_first=True), device)


def _run_decoder_only(
    model: LanguageModel, batch: Sequence[_Job], *, parameterless: bool
) -> Float[Tensor, "batch position dim"]:
    """Return the hidden states of [context; choice without its last token; …], or the logits of a whole pass."""
    tokens = _pad([job.tokens for job in batch], model.device)
    run = whole.run_decoder_only if model.runs_whole else _run_stack
    if model.reads_tokens and not parameterless:  # which then shares no contexts
        return run(model, {"input_ids": tokens})
    inputs: Tensor = model.choice_embeddings(tokens)
    layer = batch[0].layer
    vectors = Placed.of([(r, len(j.front), j.context) for r, j in enumerate(batch) if isinstance(j.context, Tensor)])
    if vectors is not None and layer is None:
        inputs = vectors.put_into(inputs)
    rows = [job.row for job in batch]
    if parameterless:
        return parameterless_decoder(inputs.float(), visible(rows, inputs.device), model.num_layers)
    arguments: dict[str, Tensor] = {"inputs_embeds": inputs}
    if not (model.runs_whole or is_plain_causal(rows)):
        if layer is None and (model.family.sharing == "cache" or max(row.trunk for row in rows) > SHORT_TRUNK):
            return run_with_cache(model, rows, inputs)
        arguments["attention_mask"] = additive_mask(visible(rows, inputs.device), inputs.dtype)
        arguments["position_ids"] = to_device(pad_positions(rows), inputs.device)
    with nullcontext() if vectors is None or layer is None else entering(model, layer, vectors):
        return run(model, arguments)


def _run_stack(model: LanguageModel, arguments: Mapping[str, Tensor]) -> Float[Tensor, "batch position dim"]:
    hidden: Tensor = model.encoder(**arguments, use_cache=False).last_hidden_state
    return hidden


def _run_encoder_decoder(
    model: LanguageModel, batch: Sequence[_Job], *, parameterless: bool
) -> Float[Tensor, "batch position dim"]:
    """Return the decoder's hidden states over [start token; choice without its last token; start token; …].

    Of a whole pass, the logits.
    """
    start = model.start_token
    begun = [tuple(token for target in job.targets for token in (start, *target[:-1])) for job in batch]
    if model.runs_whole and not parameterless:
        memory, mask = _read_before(batch, model.device, model.dtype)
        return whole.run_encoder_decoder(model, _pad(begun, model.device), memory, mask)
    inputs: Tensor = model.choice_embeddings(_pad(begun, model.device))
    memory, mask = _read_before(batch, inputs.device, inputs.dtype)
    seen = visible([job.row for job in batch], inputs.device)
    if parameterless:
        seen = torch.cat([mask.unsqueeze(1).expand(-1, inputs.shape[1], -1), seen], dim=2)
        return parameterless_decoder(inputs.float(), seen, len(model.decoder_blocks), memory.float())
    # without branches side by side the decoder's own causal attention does the same
    own = additive_mask(seen, inputs.dtype) if model.family.sharing == "row" else None
    hidden: Tensor = model.decoder(
        inputs_embeds=inputs,
        attention_mask=own,
        encoder_hidden_states=memory,
        encoder_attention_mask=mask.to(torch.long),
        use_cache=False,
    ).last_hidden_state
    return hidden


def _read_before(
    batch: Sequence[_Job], device: torch.device, dtype: torch.dtype
) -> tuple[Float[Tensor, "batch vector dim"], Bool[Tensor, "batch vector"]]:
    """Return the contexts that stand in for an encoder's output, padded on the right, and which of it is none."""
    contexts = [job.context for job in batch if isinstance(job.context, Tensor)]
    memory = to_device(pad_sequence(contexts, batch_first=True), device).to(dtype)
    lengths = torch.tensor([len(context) for context in contexts])
    return memory, to_device(torch.arange(memory.shape[1]) < lengths.unsqueeze(1), device)
