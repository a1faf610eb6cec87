"""Context and choice tokenised together as in EleutherAI's lm-evaluation-harness, so that scores equal its scores.

Blanks at the end of a context move to the choice. For a decoder-only model both are tokenised as one text, which begins
with the tokens that the context has by itself; the rest are the choice's. Special tokens are those that the tokenizer
adds. Where a token reaches from the context into the choice, the harness scores what is left of the choice behind the
context's own tokens, a text that nobody wrote: that is refused here.
"""

from collections.abc import Sequence

from lm_eval.contexts.special_tokens import Pair, Tokens, with_empty_context, with_special_tokens
from lm_eval.errors import RunError
from lm_eval.models.language_model import LanguageModel

_NEAR = 64
"""Characters on both sides of a border, among which tokens that reach across are looked for first."""


def encode_pairs(model: LanguageModel, pairs: Sequence[tuple[str, str]], names: Sequence[str]) -> list[Pair]:
    """Return the tokens of contexts and of the choices that follow them.

    Args:
        model: says how text becomes tokens.
        pairs: context and choice; the context may be empty, the beginning-of-text token then stands for it.
        names: what each pair is called in messages: document and choice.

    Raises:
        RunError: a token reaches from a context into its choice.
    """
    moved = [_move_blanks(*pair) for pair in pairs]
    contexts = with_special_tokens(model, [context for context, _ in moved])
    if model.is_encoder_decoder:
        choices = model.tokenize([choice for _, choice in moved], special=False)
    else:
        wholes = with_special_tokens(model, [context + choice for context, choice in moved])
        for (context, _), alone, whole, name in zip(moved, contexts, wholes, names, strict=True):
            if context and whole[: len(alone)] != alone:
                raise RunError(_describe_merging(model, alone, whole, name))
        choices = [whole[len(context) :] for whole, context in zip(wholes, contexts, strict=True)]
    bare = iter(model.tokenize([choice for context, choice in moved if not context], special=False))
    return [
        (tokens, choice) if context else with_empty_context(model, next(bare))
        for (context, _), tokens, choice in zip(moved, contexts, choices, strict=True)
    ]


def refuse_merging(model: LanguageModel, pairs: Sequence[tuple[str, str]], names: Sequence[str]) -> None:
    """Refuse pairs that `encode_pairs` refuses, so that a run ends before its first batch.

    Only what is near their borders is tokenised, a fraction of long contexts; whole texts where that raises suspicion.

    Raises:
        RunError: a token reaches from a context into its choice.
    """
    if model.is_encoder_decoder:
        return
    near = [(context[-_NEAR:], choice[:_NEAR]) for context, choice in (_move_blanks(*pair) for pair in pairs)]
    ends = model.tokenize([context for context, _ in near], special=False)
    joined = model.tokenize([context + choice for context, choice in near], special=False)
    suspect = [place for place, end in enumerate(ends) if joined[place][: len(end)] != end]
    encode_pairs(model, [pairs[place] for place in suspect], [names[place] for place in suspect])


def _move_blanks(context: str, choice: str) -> tuple[str, str]:
    bare = context.rstrip()
    return bare, context[len(bare) :] + choice


def _describe_merging(model: LanguageModel, context: Tokens, whole: Tokens, name: str) -> str:
    """Say how the tokens of a context differ from those that the whole text begins with, and what to do."""
    pairs = enumerate(zip(context, whole, strict=False))
    first = next((place for place, (one, other) in pairs if one != other), len(whole))
    alone, joined = (
        " ".join(map(repr, model.tokenizer.convert_ids_to_tokens(list(tokens)))) or "nothing"
        for tokens in (context[first:], whole[first : first + 1])
    )
    return (
        f"{name} merges with its context: tokenised together they have {joined} where the context ends in {alone}, so "
        "that a token is part of both; let the choice begin with a blank (target_delimiter in a task's file), or score "
        "the task's _dg form with encoding_scheme=cross_encoding, which tokenises them apart"
    )
