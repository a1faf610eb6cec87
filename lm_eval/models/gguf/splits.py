"""How byte-level vocabularies of GGUF files cut text into words: `tokenizer.ggml.pre` and what it stands for.

The patterns are those of the models' own `tokenizer.json`, and of llama.cpp. Transformers takes GPT-2's for every name
that it doesn't know, which cuts numbers and punctuation otherwise than the model was trained with.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tokenizers import Regex, normalizers, pre_tokenizers

_LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SHORT_FORMS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_LLAMA3 = rf"{_SHORT_FORMS}|{_LETTERS}|\p{{N}}{{1,3}}|{_REST}"
_QWEN2 = rf"{_SHORT_FORMS}|{_LETTERS}|\p{{N}}|{_REST}"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASES = (rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+", rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*")
_REST_WITH_SLASH = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_TEKKEN = rf"{_CASES[0]}|{_CASES[1]}|\p{{N}}|{_REST_WITH_SLASH}"
_GPT4O = rf"{_CASES[0]}{_SHORT_FORMS}?|{_CASES[1]}{_SHORT_FORMS}?|\p{{N}}{{1,3}}|{_REST_WITH_SLASH}"
_BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"  # noqa: RUF001


@dataclass(frozen=True, kw_only=True)
class Split:
    """What a name of `tokenizer.ggml.pre` stands for."""

    make: Callable[[], Any]
    """Makes the step that cuts text into words."""
    takes_whole_words: bool = False
    """Whether a word that is a token stays one, whatever the merges make of it."""
    adds_bos: bool = False
    """Whether BOS stands in front where the file doesn't say."""
    is_composed: bool = False
    """Whether the model's own tokenizer composes characters first (NFC)."""

    def normalizer(self) -> Any:  # noqa: ANN401
        """Make the step before it; None where there is none."""
        return normalizers.NFC() if self.is_composed else None


def _by_pattern(pattern: str) -> Callable[[], Any]:
    def make() -> Any:  # noqa: ANN401
        cut = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
        return pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])

    return make


def _gpt2() -> Any:  # noqa: ANN401
    return pre_tokenizers.ByteLevel(add_prefix_space=False)


def _single_digits() -> Any:  # noqa: ANN401
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _gpt2()])


def _falcon() -> Any:  # noqa: ANN401
    by_three = pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), behavior="isolated")
    marks = pre_tokenizers.Punctuation(behavior="contiguous")
    return pre_tokenizers.Sequence([marks, _gpt2(), pre_tokenizers.Digits(individual_digits=False), by_three])


_OF_LLAMA3 = Split(make=_by_pattern(_LLAMA3), takes_whole_words=True, adds_bos=True)
_OF_QWEN2 = Split(make=_by_pattern(_QWEN2), is_composed=True)
_OF_GPT2, _OF_SMOLLM = Split(make=_gpt2), Split(make=_single_digits)
_OF_GPT4O = Split(make=_by_pattern(_GPT4O))

SPLITS: dict[str, Split] = {
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"), _OF_LLAMA3),
    **dict.fromkeys(("dbrx", "smaug-bpe"), Split(make=_by_pattern(_LLAMA3))),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen"), _OF_QWEN2),
    "stablelm2": Split(make=_by_pattern(_QWEN2)),
    "tekken": Split(make=_by_pattern(_TEKKEN), takes_whole_words=True, adds_bos=True),
    **dict.fromkeys(("gpt-4o", "llama4"), _OF_GPT4O),
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo"), _OF_GPT2),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell"), _OF_SMOLLM),
    "falcon": Split(make=_falcon),
    "bloom": Split(make=_by_pattern(_BLOOM)),
}
"""By the names that llama.cpp has for them."""

OF_ARCHITECTURE = {"gpt2": "gpt-2", "falcon": "falcon", "bloom": "bloom", "starcoder2": "starcoder", "qwen2": "qwen2"}
"""Of older files, which name none, but whose architecture has had only one."""
