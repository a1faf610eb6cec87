"""How the tokens of a segment become vectors: `WORD_AGG_SCHEME` (experiment §4.3)."""

import re
from dataclasses import dataclass
from typing import Literal, cast, get_args

from lm_eval.common.text import did_you_mean
from lm_eval.errors import ConfigurationError

ActivationPrefix = Literal[
    "",
    "relu|",
    "relu+|",
    "-relu|",
    "-relu+|",
    "relu|zNorm|",
    "relu|zNorm+|",
    "-relu|zNorm|",
    "-relu|zNorm+|",
]
BaseAggregation = Literal["mean", "w1mean", "last", "concat", "chunk"]

ACTIVATION_PREFIXES: tuple[ActivationPrefix, ...] = get_args(ActivationPrefix)
TOKEN_AGGREGATIONS = ("mean", "w1mean", "last", "concat", "chunkN")
"""As a user writes them; N is a number of tokens."""
SINGLE_VECTOR_AGGREGATIONS: tuple[BaseAggregation, ...] = ("mean", "w1mean", "last")
"""The aggregations that make one vector of a segment, however long it is."""


@dataclass(frozen=True)
class TokenAggregation:
    """A token aggregation: an optional prefix and a base; the norm that follows isn't part of it."""

    base: BaseAggregation
    prefix: ActivationPrefix = ""
    """Function applied to each token first, with the activation function of the model's MLP."""
    chunk: int = 1
    """Tokens a vector, where `base` is `chunk`."""

    @classmethod
    def parse(cls, text: str, key: str = "WORD_AGG_SCHEME") -> "TokenAggregation":
        """Read the value of a setting: an aggregation, optionally after a prefix; `chunk1` is `concat`.

        Raises:
            ConfigurationError: an unknown aggregation or prefix.
        """
        prefix, bar, base = text.rpartition("|")
        size = re.fullmatch(r"chunk([1-9][0-9]{0,8})", base, re.ASCII)
        if size is None and base.startswith("chunk"):
            raise ConfigurationError(f"{key}={text}: N of chunkN must be a whole number of at least 1, as in chunk4")
        known = size is not None or base in TOKEN_AGGREGATIONS[:-1]
        if not known or prefix + bar not in ACTIVATION_PREFIXES:
            hint = did_you_mean(text, [start + end for start in ACTIVATION_PREFIXES for end in TOKEN_AGGREGATIONS])
            raise ConfigurationError(
                f"{key}: unknown value {text!r}{hint}; choose from {', '.join(TOKEN_AGGREGATIONS)}, "
                f"optionally after one of {', '.join(ACTIVATION_PREFIXES[1:])}"
            )
        if size is not None:
            chunk = int(size[1])
            return cls("concat" if chunk == 1 else "chunk", cast("ActivationPrefix", prefix + bar), chunk)
        return cls(cast("BaseAggregation", base), cast("ActivationPrefix", prefix + bar))

    def __str__(self) -> str:
        return self.prefix + self.base + (str(self.chunk) if self.base == "chunk" else "")

    @property
    def makes_one_vector(self) -> bool:
        """Whether every segment becomes one vector."""
        return self.base in SINGLE_VECTOR_AGGREGATIONS

    @property
    def takes_norm(self) -> bool:
        """Whether `NORM` is applied; it isn't for `last`, which takes a token unchanged (experiment §4.4)."""
        return self.base != "last"

    def num_vectors(self, num_tokens: int) -> int:
        """Return how many vectors a segment of so many tokens becomes."""
        return 1 if self.makes_one_vector else -(-num_tokens // self.chunk)
