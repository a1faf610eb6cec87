"""Training of the demo's two models: a small GPT-2 and a small T5."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.activations import NewGELUActivation

from demo.documents import DELIMITER, Document, context_with_shots, seeded

Streams: TypeAlias = tuple[Callable[[], Document], Callable[[], Document]]
"""Source of stories and source of questions."""

IGNORED = -100
"""Label that has no part in a loss."""

CONTEXT_WEIGHT = 0.2
"""Weight of a context token in the decoder-only model's loss; an answer token has 1."""

CUT_SHARE = 0.3
"""Share of the decoder-only model's texts that begin in the midst of the first context, as texts do in a corpus that is
cut into pieces; so every position sees answers."""


POSITION_BIAS_SPEED = 30
"""How much faster T5's position biases learn: they grow large, and without them a query looks like its shots."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast a model learns."""

    steps: int
    """Number of updates."""
    warmup_steps: int = 100
    """Updates over which the learning rate rises."""
    single_share: float = 0.4
    """First part of the updates in which all contexts have no shots."""
    learning_rate: float = 2e-3
    """Highest learning rate; it falls to a tenth along a cosine."""
    batch_documents: int = 48
    """Stories in a batch, shots included."""
    questions_per_story: int = 2
    """Questions that take the place of one story in a batch of questions, which are shorter."""
    question_share: float = 0.15
    """Share of batches that hold questions, not stories."""
    many_shots_share: float = 0.25
    """Share of batches with five shots, once shots are shown."""
    few_shots_share: float = 0.25
    """Share of batches with one to four shots, once shots are shown."""
    seed: int = 1
    """Seed of the weights and of the choices of batches."""

    def __post_init__(self) -> None:
        """Check that the schedule makes sense."""
        if self.steps <= self.warmup_steps:
            raise ValueError(f"steps must be more than warmup_steps ({self.warmup_steps}), got {self.steps}")

    def rate(self, step: int) -> float:
        """Return the learning rate of an update."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / (self.steps - self.warmup_steps)
        return self.learning_rate * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))

    def num_shots(self, rng: Random, step: int) -> int:
        """Draw the number of shots of a batch."""
        if step < self.single_share * self.steps:
            return 0
        draw = rng.random()
        if draw < self.many_shots_share:
            return 5
        return rng.randint(1, 4) if draw < self.many_shots_share + self.few_shots_share else 0

    def draw_batch(self, rng: Random, step: int, streams: Streams) -> list[list[Document]]:
        """Draw a batch of stories or of questions, each with the same number of shots before it."""
        asks = rng.random() < self.question_share
        draw = streams[1] if asks else streams[0]
        length = 1 + self.num_shots(rng, step)
        num_rows = max(4, self.batch_documents * (self.questions_per_story if asks else 1) // length)
        return [[draw() for _ in range(length)] for _ in range(num_rows)]


class Loss(Protocol):
    """The loss of a batch: each member is a list of documents, of which the last is the query."""

    def __call__(self, batch: Sequence[Sequence[Document]]) -> Tensor:
        """Return a scalar."""


def pad(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    """Return the rows as one tensor, filled up on the right."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def token_ids(tokenizer: PreTrainedTokenizerFast, text: str, *, special: bool = False) -> list[int]:
    """Return the ids of a text's tokens."""
    ids = tokenizer.encode(text, add_special_tokens=special)
    return [int(token) for token in ids]


def make_gpt(tokenizer: PreTrainedTokenizerFast, max_tokens: int) -> GPT2LMHeadModel:
    """Return a small GPT-2 with new weights."""
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=max_tokens,
        n_embd=128,
        n_layer=4,
        n_head=4,
        initializer_range=0.05,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return GPT2LMHeadModel(config)


def make_t5(tokenizer: PreTrainedTokenizerFast) -> T5ForConditionalGeneration:
    """Return a small T5 with gated GELU and new weights."""
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "d_model": 128,
        "d_kv": 32,
        "d_ff": 256,
        "num_layers": 3,
        "num_decoder_layers": 3,
        "num_heads": 4,
        "feed_forward_proj": "gated-gelu",
        "dropout_rate": 0.0,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "decoder_start_token_id": tokenizer.pad_token_id,
    }
    return T5ForConditionalGeneration(T5Config(**settings))


def speed_up(model: PreTrainedModel) -> None:
    """Put PyTorch's tanh GELU in the place of each `gelu_new`: the same function, computed in one step."""
    for module in model.modules():
        for name, child in list(module.named_children()):
            if isinstance(child, NewGELUActivation):
                setattr(module, name, torch.nn.GELU(approximate="tanh"))


def gpt_row(tokenizer: PreTrainedTokenizerFast, documents: Sequence[Document]) -> tuple[list[int], list[float]]:
    """Return the tokens of documents in one text, and the weight of each in the loss."""
    ids: list[int] = []
    weights: list[float] = []
    for number, document in enumerate(documents):
        context = token_ids(tokenizer, (DELIMITER if number else "") + document.context)
        answer = token_ids(tokenizer, document.answer)
        ids += [*context, *answer]
        weights += [CONTEXT_WEIGHT] * len(context) + [1.0] * len(answer)
    return ids, weights


def gpt_loss(model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast) -> Loss:
    """Return the decoder-only model's loss: every token from those before it, answers weighing more."""
    rng = seeded(0)

    def cut(ids: list[int], weights: list[float]) -> tuple[list[int], list[float]]:
        start = rng.randrange(weights.index(1.0)) if rng.random() < CUT_SHARE else 0
        return ids[start:], weights[start:]

    def loss(batch: Sequence[Sequence[Document]]) -> Tensor:
        rows = [cut(*gpt_row(tokenizer, documents)) for documents in batch]
        ids = pad([row for row, _ in rows], 0)
        weights = torch.zeros(ids.shape)
        for number, (_, row_weights) in enumerate(rows):
            weights[number, : len(row_weights)] = torch.tensor(row_weights)
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        return (losses * weights[:, 1:].flatten()).sum() / weights[:, 1:].sum()

    return loss


def t5_loss(model: T5ForConditionalGeneration, tokenizer: PreTrainedTokenizerFast) -> Loss:
    """Return the encoder-decoder's loss: the last answer and `</s>` from the context."""

    def loss(batch: Sequence[Sequence[Document]]) -> Tensor:
        contexts = [context_with_shots(documents[:-1], documents[-1]) for documents in batch]
        inputs = [token_ids(tokenizer, context, special=True) for context in contexts]
        labels = [token_ids(tokenizer, documents[-1].answer, special=True) for documents in batch]
        mask = pad([[1] * len(row) for row in inputs], 0)
        output = model(input_ids=pad(inputs, 0), attention_mask=mask, labels=pad(labels, IGNORED))
        return torch.as_tensor(output.loss)

    return loss


def make_optimizer(model: PreTrainedModel) -> torch.optim.Optimizer:
    """Return an optimizer whose groups each have a `speed`, the factor of the learning rate."""
    biases: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in model.named_parameters():
        (biases if "relative_attention_bias" in name else others).append(parameter)
    groups: list[dict[str, Any]] = [{"params": others, "speed": 1}, {"params": biases, "speed": POSITION_BIAS_SPEED}]
    return torch.optim.AdamW([group for group in groups if group["params"]], betas=(0.9, 0.98), weight_decay=0.01)


def train(
    model: PreTrainedModel,
    loss_of: Loss,
    schedule: Schedule,
    streams: Streams,
    report: Callable[[str], None],
) -> None:
    """Train a model in place.

    Args:
        model: Model with new weights.
        loss_of: Its loss.
        schedule: Length, rates and mixture.
        streams: Sources of documents.
        report: Receives a line of progress now and then.
    """
    rng = seeded(schedule.seed)
    optimizer = make_optimizer(model)
    speed_up(model)
    model.train()
    mean_loss = 0.0
    for step in range(schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = group["speed"] * schedule.rate(step)
        loss = loss_of(schedule.draw_batch(rng, step, streams))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        mean_loss += (loss.item() - mean_loss) / (1 + min(step, 50))
        if (step + 1) % 100 == 0:
            report(f"step {step + 1} of {schedule.steps}: loss {mean_loss:.3f}")
    model.eval()
