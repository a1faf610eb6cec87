"""Special tokens (BOS, EOS, `</s>`): which texts get them.

Segments and choices that become vectors get those that an encoder-decoder's tokenizer adds, and none in decoder-only
models (experiment §4.1); ordinary scoring gets what the tokenizer adds by itself. What stands for no context at all is
`LanguageModel.empty_context`.
"""

from collections.abc import Sequence

from lm_eval.errors import RunError
from lm_eval.models.language_model import LanguageModel

Tokens = tuple[int, ...]
Pair = tuple[Tokens, Tokens]
"""The tokens of a context, and of a choice behind it."""


def tokenize_segments(model: LanguageModel, texts: Sequence[str]) -> list[Tokens]:
    """Return the tokens of segments that are encoded on their own."""
    return model.tokenize(texts, special=model.is_encoder_decoder)


def tokenize_choices(model: LanguageModel, texts: Sequence[str], *, are_segments: bool) -> list[Tokens]:
    """Return the tokens of choices: as segments where they are compared as vectors, else without special tokens."""
    return model.tokenize(texts, special=are_segments and model.is_encoder_decoder)


def with_special_tokens(model: LanguageModel, texts: Sequence[str]) -> list[Tokens]:
    """Tokenise with the tokenizer's special tokens, except texts that already begin with the one it would add."""
    if model.is_encoder_decoder:
        return model.tokenize(texts, special=True)
    token = model.tokenizer.bos_token or model.tokenizer.eos_token
    begins = [token is not None and text.startswith(token) for text in texts]
    added = iter(model.tokenize([text for text, has in zip(texts, begins, strict=True) if not has], special=True))
    kept = iter(model.tokenize([text for text, has in zip(texts, begins, strict=True) if has], special=False))
    return [next(kept if has else added) for has in begins]


def with_empty_context(model: LanguageModel, choice: Tokens) -> Pair:
    """Return the token that stands for an empty context (BOS, or EOS where there is none), and the choice behind it.

    Raises:
        RunError: the tokenizer has neither.
    """
    begin = model.tokenizer.bos_token_id
    prefix = model.tokenizer.eos_token_id if begin is None else begin
    if prefix is None:
        raise RunError(
            f"{model.name}: the context is empty, and the tokenizer has neither bos_token nor eos_token; set one"
        )
    return (choice[:1], choice[1:]) if choice[:1] == (prefix,) else ((prefix,), choice)
