"""Context and choice tokenised together as in EleutherAI's lm-evaluation-harness, so that scores equal its scores.

Blanks at the end of a context move to the choice. For a decoder-only model both are tokenised as one text; its first n
tokens are the context's, where n is what the context has by itself. Special tokens are those that the tokenizer adds.
"""

from collections.abc import Sequence

from lm_eval.errors import RunError
from lm_eval.models.language_model import LanguageModel

Pair = tuple[tuple[int, ...], tuple[int, ...]]


def encode_pairs(model: LanguageModel, pairs: Sequence[tuple[str, str]]) -> list[Pair]:
    """Return the tokens of contexts and of the choices behind them.

    Args:
        model: says how text becomes tokens.
        pairs: context and choice; the context may be empty, the beginning-of-text token then stands for it.
    """
    moved = [(context.rstrip(), context[len(context.rstrip()) :] + choice) for context, choice in pairs]
    contexts = _with_special(model, [context for context, _ in moved])
    if model.is_encoder_decoder:
        choices = model.tokenize([choice for _, choice in moved], special=False)
    else:
        wholes = _with_special(model, [context + choice for context, choice in moved])
        choices = [whole[len(context) :] for whole, context in zip(wholes, contexts, strict=True)]
    bare = iter(model.tokenize([choice for context, choice in moved if not context], special=False))
    return [
        (tokens, choice) if context else _with_empty_context(model, next(bare))
        for (context, _), tokens, choice in zip(moved, contexts, choices, strict=True)
    ]


def _with_special(model: LanguageModel, texts: Sequence[str]) -> list[tuple[int, ...]]:
    """Tokenise with the tokenizer's special tokens, except texts that already begin with the one it would add."""
    if model.is_encoder_decoder:
        return model.tokenize(texts, special=True)
    token = model.tokenizer.bos_token or model.tokenizer.eos_token
    begins = [token is not None and text.startswith(token) for text in texts]
    added = iter(model.tokenize([text for text, has in zip(texts, begins, strict=True) if not has], special=True))
    kept = iter(model.tokenize([text for text, has in zip(texts, begins, strict=True) if has], special=False))
    return [next(kept if has else added) for has in begins]


def _with_empty_context(model: LanguageModel, choice: tuple[int, ...]) -> Pair:
    begin = model.tokenizer.bos_token_id
    prefix = model.tokenizer.eos_token_id if begin is None else begin
    if prefix is None:
        raise RunError(
            f"{model.name}: the context is empty, and the tokenizer has neither bos_token nor eos_token; set one"
        )
    return (choice[:1], choice[1:]) if choice[:1] == (prefix,) else ((prefix,), choice)
