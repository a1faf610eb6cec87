"""The tokenizer of a model in a GGUF file, made of its vocabulary as the model's own `tokenizer.json` has it.

Transformers makes one too, but loses parts of it: the way numbers are cut, tokens of DeepSeek, words that stay whole.
What it does at the borders of texts follows from the header alone, so that a plan needn't make it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

from lm_eval.errors import ConfigurationError
from lm_eval.models.gguf.header import Header
from lm_eval.models.gguf.splits import OF_ARCHITECTURE, SPLITS, Split
from lm_eval.models.text_borders import BLANK, TextBorders

_KINDS = ("gpt2", "llama")
"""Byte-level and sentencepiece vocabularies, both with merges."""
_UNKNOWN, _CONTROL, _OWN = 2, 3, 4
"""Types of tokens: the unknown one, those that stand for no text, and those that are found whole in every text."""
_SPECIAL = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}


def check_tokenizer(header: Header) -> None:
    """See that a file's tokenizer can be made.

    Raises:
        ConfigurationError: it lacks one, or it is of a kind that isn't known here.
    """
    kind, tokens = _kind(header), header.fields.get("tokenizer.ggml.tokens")
    if kind not in _KINDS or not tokens:
        raise _refusal(header, f"its tokenizer is of kind {kind!r} (known: {', '.join(_KINDS)})")
    if kind == "gpt2" and "tokenizer.ggml.merges" not in header.fields:
        raise _refusal(header, "its tokenizer has no merges")
    if kind == "llama" and "tokenizer.ggml.scores" not in header.fields:
        raise _refusal(header, "its tokenizer has no scores")
    if len(tokens) > header.tensors["token_embd.weight"].shape[0]:
        raise _refusal(header, f"its tokenizer has {len(tokens):,} tokens, more than the model has embeddings")
    if kind == "gpt2":
        _split(header)


def _kind(header: Header) -> str:
    return str(header.fields.get("tokenizer.ggml.model"))


def _refusal(header: Header, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"pretrained={header.path}: {what}; give the model's own by tokenizer=FOLDER in model_args, with its "
        "tokenizer.json"
    )


def _split(header: Header) -> Split:
    """Return how a byte-level tokenizer cuts text into words.

    Raises:
        ConfigurationError: the file doesn't tell, or by a name that isn't known.
    """
    name = header.fields.get("tokenizer.ggml.pre", OF_ARCHITECTURE.get(header.architecture, "default"))
    if name not in SPLITS:
        raise _refusal(
            header,
            f"its tokenizer cuts words by a rule that isn't known here (tokenizer.ggml.pre = {name!r}; known: "
            f"{', '.join(SPLITS)})",
        )
    return SPLITS[name]


def special_tokens(header: Header) -> dict[str, str]:
    """Return the texts of the special tokens that a file has, by transformers' names."""
    tokens: Sequence[str] = header.fields["tokenizer.ggml.tokens"]
    numbers = {name: header.fields.get(f"tokenizer.ggml.{key}_token_id") for name, key in _SPECIAL.items()}
    return {name: tokens[at] for name, at in numbers.items() if at is not None and 0 <= at < len(tokens)}


def borders_of(header: Header) -> TextBorders:
    """Return what a file's tokenizer does at the borders of a text."""
    texts, fields = special_tokens(header), header.fields
    is_sentencepiece = _kind(header) == "llama"
    adds_bos = is_sentencepiece or _split(header).adds_bos
    front = texts.get("bos_token") if fields.get("tokenizer.ggml.add_bos_token", adds_bos) else None
    behind = texts.get("eos_token") if fields.get("tokenizer.ggml.add_eos_token", False) else None
    return TextBorders(
        front=() if front is None else (front,),
        behind=() if behind is None else (behind,),
        has_dummy_prefix=is_sentencepiece and bool(fields.get("tokenizer.ggml.add_space_prefix", True)),
        begin=texts.get("bos_token"),
    )


def make_tokenizer(header: Header) -> Tokenizer:
    """Make a file's tokenizer.

    Raises:
        ConfigurationError: it can't be made.
    """
    check_tokenizer(header)
    texts: list[str] = header.fields["tokenizer.ggml.tokens"]
    try:
        tokenizer = _sentencepiece(header, texts) if _kind(header) == "llama" else _byte_level(header, texts)
    except Exception as error:  # the library has no others
        raise _refusal(header, f"its tokenizer cannot be made ({error})") from error
    types = header.fields.get("tokenizer.ggml.token_type", [])
    known = tokenizer.get_vocab(with_added_tokens=False)
    pairs = [(text, kind) for text, kind in zip(texts, types, strict=False) if text in known]
    tokenizer.add_special_tokens([_whole(text, special=True) for text, kind in pairs if kind in (_UNKNOWN, _CONTROL)])
    tokenizer.add_tokens([_whole(text, special=False) for text, kind in pairs if kind == _OWN])
    borders = borders_of(header)
    if borders.front or borders.behind:
        pieces = [*borders.front, "$A", *borders.behind]
        numbers = [(token, known[token]) for token in {*borders.front, *borders.behind}]
        tokenizer.post_processor = processors.TemplateProcessing(single=pieces, special_tokens=numbers)
    return tokenizer


def _whole(text: str, *, special: bool) -> AddedToken:
    return AddedToken(text, normalized=False, special=special)


def _byte_level(header: Header, texts: Sequence[str]) -> Tokenizer:
    """Make a byte-level tokenizer: the file's merges, in words as the model's own has them."""
    split = _split(header)
    merges = [tuple(merge.split(" ", 1)) for merge in header.fields["tokenizer.ggml.merges"]]
    model = models.BPE(vocab=_numbered(texts), merges=merges, ignore_merges=split.takes_whole_words)
    tokenizer = Tokenizer(model)
    if (normalizer := split.normalizer()) is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer, tokenizer.decoder = split.make(), decoders.ByteLevel()
    return tokenizer


def _numbered(texts: Iterable[str]) -> dict[str, int]:
    """Return the ids of tokens; of several with one text the first counts."""
    numbers: dict[str, int] = {}
    for number, text in enumerate(texts):
        numbers.setdefault(text, number)
    return numbers


def _sentencepiece(header: Header, texts: Sequence[str]) -> Tokenizer:
    """Make a sentencepiece tokenizer, whose merges follow from the scores of its tokens."""
    spelt = [BLANK * len(text) if text and not text.strip(" ") else text for text in texts]
    vocabulary = _numbered(spelt)
    is_gemma = header.architecture.startswith("gemma")  # its runs of blanks have no scores: their places tell
    scores = range(0, -len(spelt), -1) if is_gemma else header.fields["tokenizer.ggml.scores"]
    merges = _merges_of(vocabulary, dict(zip(spelt, scores, strict=False)))
    unknown = special_tokens(header).get("unk_token")
    model = models.BPE(vocab=vocabulary, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(model)
    steps: list[Any] = [normalizers.Replace(" ", BLANK)]
    if borders_of(header).has_dummy_prefix:
        steps.insert(0, normalizers.Prepend(BLANK))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.decoder = decoders.Sequence([decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer


def _merges_of(vocabulary: Mapping[str, int], scores: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return all merges of two tokens to a third, the best-scored first, as sentencepiece merges."""
    found: list[tuple[float, int, int, tuple[str, str]]] = []
    for text in vocabulary:
        for at in range(1, len(text)):
            left, right = text[:at], text[at:]
            if left in vocabulary and right in vocabulary:
                found.append((-scores[text], vocabulary[left], vocabulary[right], (left, right)))
    return [merge for *_, merge in sorted(found)]
