"""Contexts and choices tokenised the way EleutherAI's lm-evaluation-harness does, so that scores equal its scores.

Blanks at the end of a context go to the choice; a decoder-only model then gets the tokens of both in one text, of which
the choice's are those behind as many as the context has by itself. Special tokens are the tokenizer's own.
"""

from collections.abc import Sequence

from lm_eval.contexts.special_tokens import Pair, behind_first_token, with_special_tokens
from lm_eval.models.language_model import LanguageModel


def encode_pairs(model: LanguageModel, pairs: Sequence[tuple[str, str]]) -> list[Pair]:
    """Return the tokens of contexts and of the choices behind them.

    Args:
        model: says how text becomes tokens.
        pairs: context and choice; the context may be empty, the beginning-of-text token then stands for it.
    """
    moved = [(context.rstrip(), context[len(context.rstrip()) :] + choice) for context, choice in pairs]
    contexts = with_special_tokens(model, [context for context, _ in moved])
    if model.is_encoder_decoder:
        choices = model.tokenize([choice for _, choice in moved], special=False)
    else:
        wholes = with_special_tokens(model, [context + choice for context, choice in moved])
        choices = [whole[len(context) :] for whole, context in zip(wholes, contexts, strict=True)]
    bare = iter(model.tokenize([choice for context, choice in moved if not context], special=False))
    return [
        (tokens, choice) if context else behind_first_token(model, next(bare))
        for (context, _), tokens, choice in zip(moved, contexts, choices, strict=True)
    ]
