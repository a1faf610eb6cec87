"""Special tokens (BOS, EOS, `</s>`): which texts get them, and which texts go on behind others.

Segments and choices that become vectors get those that an encoder-decoder's tokenizer adds (experiment §4.1). In
decoder-only models tokens in front stand there to be attended to (`FrontTokens`), tokens behind never; ordinary scoring
has those in front where the tokenizer puts them (experiment §9). What else stands for no context at all is
`LanguageModel.empty_context`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lm_eval.config.run_config import RunConfig
from lm_eval.errors import RunError
from lm_eval.models.compatibility import refuse_front
from lm_eval.models.language_model import LanguageModel
from lm_eval.models.text_borders import front_tokens, has_front
from lm_eval.vectors.spec import Segment

Tokens = tuple[int, ...]
Pair = tuple[Tokens, Tokens]
"""The tokens of a context, and of a choice behind it."""


@dataclass(frozen=True)
class FrontTokens:
    """The tokens that stand in front, to be attended to, in a configuration of the two tests (experiment §9)."""

    context: Tokens = ()
    """Before each segment of the context, while it is encoded."""
    choice: Tokens = ()
    """Before each choice that is compared as a vector, while it is encoded."""
    decoder: Tokens = ()
    """Before the context in generation."""

    @classmethod
    def of(cls, config: RunConfig, model: LanguageModel) -> "FrontTokens":
        """Return those of a configuration.

        Raises:
            ConfigurationError: ADD_BOS=True, and the tokenizer has no token for it.
        """
        texts = front_tokens(config, model.family, model.borders)
        if config.vectors.add_bos and not texts:
            refuse_front(config, model.family, model.name)
        front = tuple(model.tokenizer.convert_tokens_to_ids(list(texts)))
        return cls(*(front if has_some else () for has_some in has_front(config)))


def tokenize_segments(model: LanguageModel, texts: Sequence[str]) -> list[Tokens]:
    """Return the tokens of segments that are encoded on their own; one that begins with white space goes on."""
    if model.is_encoder_decoder:
        return model.tokenize(texts, special=True)
    go_on = [text[:1].isspace() for text in texts]
    rows = {
        goes_on: iter(
            model.tokenize(
                [t for t, g in zip(texts, go_on, strict=True) if g is goes_on], special=False, goes_on=goes_on
            )
        )
        for goes_on in (False, True)
    }
    return [next(rows[goes_on]) for goes_on in go_on]


def count_text_tokens(model: LanguageModel, segments: Iterable[Segment]) -> int:
    """Return how many tokens of segments are text: neither tokens in front nor what an encoder-decoder adds."""
    segments = list(segments)
    number = sum(segment.num_kept for segment in segments)
    if not model.is_encoder_decoder:
        return number
    front, behind = (
        tuple(model.tokenizer.convert_tokens_to_ids(list(added)))
        for added in (model.borders.front, model.borders.behind)
    )
    begun = sum(segment.tokens[: len(front)] == front for segment in segments)  # else it was cut there
    ended = sum(segment.tokens[len(segment.tokens) - len(behind) :] == behind for segment in segments)
    return number - len(front) * begun - len(behind) * ended


def tokenize_choices(model: LanguageModel, texts: Sequence[str], *, are_segments: bool) -> list[Tokens]:
    """Return the tokens of choices, which go on behind a context.

    Args:
        model: says how text becomes tokens.
        texts: the choices.
        are_segments: whether they are compared as vectors; an encoder-decoder's special tokens belong to these.
    """
    if model.is_encoder_decoder:
        return model.tokenize(texts, special=are_segments)
    return model.tokenize(texts, special=False, goes_on=True)


def with_special_tokens(model: LanguageModel, texts: Sequence[str]) -> list[Tokens]:
    """Tokenise with the tokenizer's special tokens, except texts that already begin with the one it would add.

    What a decoder-only model's tokenizer puts behind a text is dropped.
    """
    if model.is_encoder_decoder:
        return model.tokenize(texts, special=True)
    token = model.tokenizer.bos_token or model.tokenizer.eos_token
    begins = [token is not None and text.startswith(token) for text in texts]
    rows = model.tokenize([text for text, has in zip(texts, begins, strict=True) if not has], special=True)
    added = (row[: len(row) - len(model.borders.behind)] for row in rows)
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
