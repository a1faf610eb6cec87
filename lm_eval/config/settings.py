"""The settings of concept vectors under the names users know, and their `KEY=value` form (experiment §4, §7).

Says which values a setting can take; which settings go together is for `lm_eval.config.run_config`.
"""

import re
from dataclasses import dataclass, fields
from typing import Literal

from lm_eval.common.text import choices_text
from lm_eval.errors import ConfigurationError

ACTIVATION_PREFIXES = (
    "",
    "relu|",
    "relu+|",
    "-relu|",
    "-relu+|",
    "relu|zNorm|",
    "relu|zNorm+|",
    "-relu|zNorm|",
    "-relu|zNorm+|",
)
SINGLE_VECTOR_AGGREGATIONS = ("mean", "w1mean", "last")
TOKEN_AGGREGATIONS = (*SINGLE_VECTOR_AGGREGATIONS, "concat")
NORMS = ("L2", "varNorm", "zNorm")
SIMILARITIES = ("dot_product", "cosine_sim")


@dataclass(frozen=True, kw_only=True)
class VectorSettings:
    """How segments become concept vectors and are used (experiment §4, §5); the public names are in capitals."""

    word_agg_scheme: str | None = None
    """Token aggregation: an optional activation prefix, then mean, w1mean, last or concat."""
    segment_agg_scheme: str | None = None
    """`mean` over the vectors of a sample."""
    example_agg_scheme: str | None = None
    """`mean` over the vectors of the context, or `soft_cluster` (similarity only)."""
    norm: str | None = None
    """Normalisation of every vector: L2, varNorm or zNorm."""
    similarity_func: str | None = None
    """dot_product or cosine_sim (similarity only)."""
    encoding_layer: str | None = None
    """Which hidden states: None (the last), middle, an integer, or E (token embeddings)."""
    out_word_agg_scheme: str | None = None
    """Token aggregation of the choices (similarity only); None equals the context's."""
    out_encoding_layer: str | None = None
    """Layer of the choices (similarity only), also OE (output matrix); None equals the context's."""
    add_pos: str | None = None
    """True adds the position embedding of a segment's offset in the context to its tokens."""
    decoding_scheme: str | None = None
    """parameterless_attention replaces the decoder (generation only)."""

    def __post_init__(self) -> None:
        if self.add_pos == "False":
            object.__setattr__(self, "add_pos", None)
        _check_choice("SEGMENT_AGG_SCHEME", self.segment_agg_scheme, ("mean",))
        _check_choice("EXAMPLE_AGG_SCHEME", self.example_agg_scheme, ("mean", "soft_cluster"))
        _check_choice("NORM", self.norm, NORMS)
        _check_choice("SIMILARITY_FUNC", self.similarity_func, SIMILARITIES)
        _check_choice("ADD_POS", self.add_pos, ("True",), valid=("True", "False"))
        _check_choice("DECODING_SCHEME", self.decoding_scheme, ("parameterless_attention",))
        for key in ("word_agg_scheme", "out_word_agg_scheme"):
            _check_token_aggregation(key.upper(), getattr(self, key))
        _check_layer("ENCODING_LAYER", self.encoding_layer, ("middle", "E"))
        _check_layer("OUT_ENCODING_LAYER", self.out_encoding_layer, ("middle", "E", "OE"))

    def public(self) -> dict[str, str | None]:
        """Return the settings by their public names."""
        return {public: getattr(self, name) for public, name in _PUBLIC_NAMES}


_PUBLIC_NAMES = tuple((item.name.upper(), item.name) for item in fields(VectorSettings))
SETTING_NAMES = tuple(public for public, _ in _PUBLIC_NAMES)
LEGACY_SETTING_NAMES = (
    "WORD_AGG_SCHEME",
    "SEGMENT_AGG_SCHEME",
    "EXAMPLE_AGG_SCHEME",
    "NORM",
    "SIMILARITY_FUNC",
    "ENCODING_LAYER",
)
"""The settings that a result file always states; the others only where they are set."""


def _check_choice(key: str, value: str | None, choices: tuple[str, ...], valid: tuple[str, ...] = ()) -> None:
    if value is not None and value not in choices:
        raise ConfigurationError(f"{key}: unknown value {value!r}; choose from None, {choices_text(valid or choices)}")


def _check_token_aggregation(key: str, value: str | None) -> None:
    if value is None:
        return
    prefix, bar, base = value.rpartition("|")
    if base not in TOKEN_AGGREGATIONS or prefix + bar not in ACTIVATION_PREFIXES:
        raise ConfigurationError(
            f"{key}: unknown value {value!r}; choose from {choices_text(TOKEN_AGGREGATIONS)}, "
            f"optionally behind one of {choices_text(ACTIVATION_PREFIXES[1:])}"
        )


def _check_layer(key: str, value: str | None, words: tuple[str, ...]) -> None:
    if value is not None and value not in words and not re.fullmatch(r"-?\d+", value):
        raise ConfigurationError(
            f"{key}: unknown value {value!r}; choose from None, {choices_text(words)}, or an integer"
        )


def resolve_layer(
    layer: str | None, num_layers: int, key: str = "ENCODING_LAYER", name: str = "the model"
) -> int | Literal["E", "OE"]:
    """Return the index of a layer in the list of hidden states, or E or OE (experiment §4.2).

    Args:
        layer: None, `middle`, an integer as text, `E` or `OE`.
        num_layers: the model's blocks; there are `num_layers + 1` hidden states.
        key: the setting's name, for the message.
        name: the model's.

    Raises:
        ConfigurationError: the index is outside the list.
    """
    if layer is None:
        return num_layers
    if layer == "middle":
        return (num_layers + 1) // 2
    if layer in ("E", "OE"):
        return layer  # type: ignore[return-value]
    index = int(layer)
    if not -(num_layers + 1) <= index <= num_layers:
        raise ConfigurationError(
            f"{key}={layer}: out of range; choose from {-(num_layers + 1)} to {num_layers}, middle or None, "
            f"for {name} has {num_layers} layers"
        )
    return index % (num_layers + 1)
