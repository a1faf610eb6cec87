"""How the tokens of a segment become vectors: `WORD_AGG_SCHEME` (experiment §4.3)."""

from dataclasses import dataclass
from typing import Literal, cast, get_args

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
BaseAggregation = Literal["mean", "w1mean", "last", "concat"]

ACTIVATION_PREFIXES: tuple[ActivationPrefix, ...] = get_args(ActivationPrefix)
TOKEN_AGGREGATIONS: tuple[BaseAggregation, ...] = get_args(BaseAggregation)
SINGLE_VECTOR_AGGREGATIONS: tuple[BaseAggregation, ...] = ("mean", "w1mean", "last")
"""The aggregations that make one vector of a segment, however long it is."""


@dataclass(frozen=True)
class TokenAggregation:
    """A token aggregation: an optional prefix and a base; the norm that follows isn't part of it."""

    base: BaseAggregation
    prefix: ActivationPrefix = ""
    """Function applied to each token first, with the activation function of the model's MLP."""

    @classmethod
    def parse(cls, text: str, key: str = "WORD_AGG_SCHEME") -> "TokenAggregation":
        """Read the value of a setting: an aggregation, optionally after a prefix.

        Raises:
            ConfigurationError: an unknown aggregation or prefix.
        """
        prefix, bar, base = text.rpartition("|")
        if base not in TOKEN_AGGREGATIONS or prefix + bar not in ACTIVATION_PREFIXES:
            raise ConfigurationError(
                f"{key}: unknown value {text!r}; choose from {', '.join(TOKEN_AGGREGATIONS)}, "
                f"optionally after one of {', '.join(ACTIVATION_PREFIXES[1:])}"
            )
        return cls(base, cast("ActivationPrefix", prefix + bar))

    def __str__(self) -> str:
        return self.prefix + self.base

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
        return 1 if self.makes_one_vector else num_tokens
