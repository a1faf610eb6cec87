"""A plain measurement of the demo's models, one document at a time, independent of the harness."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast, T5ForConditionalGeneration

from demo.documents import Document, context_with_shots, seeded
from demo.train import pad, token_ids

Score: TypeAlias = tuple[float, bool]
"""Summed log-probability of a choice, and whether each of its tokens is the most probable one."""

Scorer: TypeAlias = Callable[[str, Sequence[str]], list[Score]]
"""Scores the choices behind a context."""


def score_tokens(logits: Tensor, choices: Sequence[Sequence[int]]) -> list[Score]:
    """Score choices; `logits[i, j]` predicts token j of choice i."""
    scores: list[Score] = []
    for row, choice in zip(logits.log_softmax(-1), choices, strict=True):
        target = torch.tensor(choice)
        predicted = row[: len(choice)]
        total = predicted.gather(1, target[:, None]).sum().item()
        scores.append((float(total), bool((predicted.argmax(-1) == target).all())))
    return scores


def gpt_scorer(model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast) -> Scorer:
    """Return a scorer that puts each choice's tokens behind the context's."""

    def score(context: str, choices: Sequence[str]) -> list[Score]:
        context_ids = token_ids(tokenizer, context)
        choice_ids = [token_ids(tokenizer, choice) for choice in choices]
        ids = pad([[*context_ids, *choice] for choice in choice_ids], 0)
        logits = model(input_ids=ids).logits
        return score_tokens(logits[:, len(context_ids) - 1 :], choice_ids)

    return score


def t5_scorer(model: T5ForConditionalGeneration, tokenizer: PreTrainedTokenizerFast) -> Scorer:
    """Return a scorer that gives the context to the encoder and each choice to the decoder."""

    def score(context: str, choices: Sequence[str]) -> list[Score]:
        context_ids = token_ids(tokenizer, context, special=True)
        choice_ids = [token_ids(tokenizer, choice) for choice in choices]
        inputs = torch.tensor([context_ids] * len(choices))
        logits = model(input_ids=inputs, labels=pad(choice_ids, 0)).logits
        return score_tokens(logits, choice_ids)

    return score


def score_documents(
    scorer: Scorer, documents: Sequence[Document], shots: Sequence[Document], num_shots: int
) -> Iterator[tuple[Document, list[Score]]]:
    """Yield each document with the scores of its choices, behind shots of its own."""
    rng = seeded(num_shots)
    for document in documents:
        context = context_with_shots(rng.sample(shots, num_shots), document)
        with torch.inference_mode():
            scores = scorer(context, document.choices)
        yield document, scores


def accuracy(scorer: Scorer, documents: Sequence[Document], shots: Sequence[Document], num_shots: int) -> float:
    """Return the share of documents whose most probable choice is the right one."""
    right = 0
    for document, scores in score_documents(scorer, documents, shots, num_shots):
        totals = [total for total, _ in scores]
        right += totals.index(max(totals)) == document.gold
    return right / len(documents)


def exact_match(scorer: Scorer, documents: Sequence[Document], shots: Sequence[Document], num_shots: int) -> float:
    """Return the share of documents of which greedy decoding gives some choice."""
    scored = score_documents(scorer, documents, shots, num_shots)
    return sum(any(match for _, match in scores) for _, scores in scored) / len(documents)
