"""Context and choice tokenised together as in EleutherAI's lm-evaluation-harness, so that scores equal its scores.

Blanks at the end of a context move to the choice. For a decoder-only model both are tokenised as one text; its first n
tokens are the context's, where n is what the context has by itself. Special tokens are those that the tokenizer adds.
"""

from collections.abc import Sequence

from lm_eval.contexts.special_tokens import Pair, with_empty_context, with_special_tokens
from lm_eval.models.language_model import LanguageModel


def encode_pairs(model: LanguageModel, pairs: Sequence[tuple[str, str]]) -> list[Pair]:
    """Return the tokens of contexts and of the choices that follow them.

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
        (tokens, choice) if context else with_empty_context(model, next(bare))
        for (context, _), tokens, choice in zip(moved, contexts, choices, strict=True)
    ]
