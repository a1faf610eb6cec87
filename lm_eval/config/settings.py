"""The settings of concept vectors under the names users know, and their `KEY=value` form (experiment §4, §7).

A setting is declared once, with its parser, label and scope; which settings go together is checked by
`lm_eval.config.run_config`. Only this module parses their text.
"""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from functools import cache, cached_property, lru_cache, partial
from types import MappingProxyType
from typing import Any, Literal, TypeVar, get_args

from lm_eval.common.text import did_you_mean
from lm_eval.config.layer import LAST, Layer
from lm_eval.config.token_aggregation import TokenAggregation
from lm_eval.errors import ConfigurationError

SegmentAggregation = Literal["mean"]
ExampleAggregation = Literal["mean", "soft_cluster"]
Norm = Literal["L2", "varNorm", "zNorm"]
Similarity = Literal["dot_product", "cosine_sim"]
DecodingScheme = Literal["parameterless_attention"]

_DECLARED = "setting"
"""Key of the `Setting` in a field's metadata."""

T = TypeVar("T")

SIMILARITIES: tuple[Similarity, ...] = get_args(Similarity)


@dataclass(frozen=True)
class Setting:
    """The declaration of a setting: how it is parsed, labelled and where it applies."""

    read: Callable[[str, str], object]
    """Parses its value from a text and, for the message, its public name."""
    label: str
    """Its label in tables and figures."""
    _: KW_ONLY
    short_label: str = ""
    """A shorter label for narrow columns; empty where it is the same."""
    unset: str = "none"
    """Shown where it isn't set: what that means."""
    only: Literal["dist_sim", "dist_gen"] | None = None
    """The model kind that it belongs to; None for both."""
    needs_vectors: bool = True
    """Whether it has no effect where contexts aren't segmented."""
    needs_context: bool = False
    """Whether it has no effect without a context."""
    always_stated: bool = False
    """Whether a result file states it even if it isn't set."""

    def metadata(self) -> dict[str, "Setting"]:
        """Return it as metadata for a field of `VectorSettings`."""
        return {_DECLARED: self}


def _read_choice(text: str, key: str, *, choices: tuple[str, ...]) -> str:
    if text not in choices:
        hint = did_you_mean(text, choices)
        raise ConfigurationError(f"{key}: unknown value {text!r}{hint}; choose from None, {', '.join(choices)}")
    return text


def _one_of(choices: Any) -> Callable[[str, str], str]:  # noqa: ANN401  (a `Literal`)
    return partial(_read_choice, choices=get_args(choices))


def _read_switch(text: str, key: str) -> bool:
    return _read_choice(text, key, choices=("True", "False")) == "True"


@dataclass(frozen=True, kw_only=True)
class VectorSettings:
    """How segments become concept vectors and are used (experiment §4, §5); the public names are in capitals."""

    word_agg_scheme: TokenAggregation | None = field(
        default=None,
        metadata=Setting(
            TokenAggregation.parse, "token aggregation", short_label="token agg.", always_stated=True
        ).metadata(),
    )
    """Token aggregation: an optional activation prefix, then mean, w1mean, last, concat or chunkN."""
    segment_agg_scheme: SegmentAggregation | None = field(
        default=None,
        metadata=Setting(
            _one_of(SegmentAggregation),
            "segment aggregation",
            short_label="segment agg.",
            needs_context=True,
            always_stated=True,
        ).metadata(),
    )
    """`mean` over the vectors of a sample."""
    example_agg_scheme: ExampleAggregation | None = field(
        default=None,
        metadata=Setting(
            _one_of(ExampleAggregation),
            "example aggregation",
            short_label="example agg.",
            needs_context=True,
            always_stated=True,
        ).metadata(),
    )
    """`mean` over the vectors of the context, or `soft_cluster` (similarity only)."""
    norm: Norm | None = field(default=None, metadata=Setting(_one_of(Norm), "norm", always_stated=True).metadata())
    """Normalisation of every vector: L2, varNorm or zNorm."""
    similarity_func: Similarity | None = field(
        default=None,
        metadata=Setting(_one_of(Similarity), "similarity", only="dist_sim", always_stated=True).metadata(),
    )
    """dot_product or cosine_sim (similarity only)."""
    encoding_layer: Layer | None = field(
        default=None,
        metadata=Setting(
            partial(Layer.parse, names=("middle", "E")), "layer", unset="last", always_stated=True
        ).metadata(),
    )
    """Which hidden states: None (the last), middle, an integer, or E (token embeddings)."""
    out_word_agg_scheme: TokenAggregation | None = field(
        default=None,
        metadata=Setting(
            TokenAggregation.parse, "choices' aggregation", short_label="choices' agg.", unset="same", only="dist_sim"
        ).metadata(),
    )
    """Token aggregation of the choices (similarity only); None equals the context's."""
    out_encoding_layer: Layer | None = field(
        default=None,
        metadata=Setting(Layer.parse, "choices' layer", unset="same", only="dist_sim").metadata(),
    )
    """Layer of the choices (similarity only), also OE (output matrix); None equals the context's."""
    add_pos: bool = field(
        default=False,
        metadata=Setting(_read_switch, "added positions", short_label="added pos.", needs_context=True).metadata(),
    )
    """True adds the position embedding of a segment's offset in the context to its tokens."""
    add_bos: bool | None = field(
        default=None,
        metadata=Setting(_read_switch, "BOS", unset="the model's", needs_vectors=False).metadata(),
    )
    """Whether the tokens that a decoder-only model's tokenizer puts in front of a text (BOS) stand there: True (its
    bos_token where it puts none), False, or None: as the model's family was trained."""
    decoding_scheme: DecodingScheme | None = field(
        default=None,
        metadata=Setting(_one_of(DecodingScheme), "decoding", only="dist_gen", needs_vectors=False).metadata(),
    )
    """parameterless_attention replaces the decoder (generation only)."""
    decoding_layer: Layer | None = field(
        default=None,
        metadata=Setting(
            partial(Layer.parse, names=("middle", "same")), "decoding layer", unset="inputs", only="dist_gen"
        ).metadata(),
    )
    """The block before which vectors enter a decoder-only model: an integer, middle, or same (as ENCODING_LAYER); None:
    they stand in place of input embeddings (generation only)."""

    def __post_init__(self) -> None:
        for key, text in self._public.items():
            if text is not None and _read(key, text) != (value := getattr(self, key.lower())):
                raise ConfigurationError(f"{key}: {value!r} is text, which VectorSettings.parse reads; give its value")

    @classmethod
    def parse(cls, **texts: object) -> "VectorSettings":
        """Read settings from their text, by their public names or in lower case; the inverse of `public`.

        What tables show for a setting that isn't set (`none`, `last`, …) leaves it so.

        Raises:
            ConfigurationError: an unknown setting or value.
        """
        return _parse(tuple((key.upper(), str(text)) for key, text in texts.items() if text not in (None, "None")))

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Runs of a grid share their settings, which are looked up many times."""
        return hash(tuple(getattr(self, name) for _, name, _ in _PUBLIC_NAMES))

    def __getstate__(self) -> dict[str, object]:
        """Return what another process can use, in which texts hash otherwise."""
        return {name: value for name, value in self.__dict__.items() if name != "_hash"}

    def public(self) -> Mapping[str, str | None]:
        """Return the settings by their public names, as text; None where one isn't set."""
        return MappingProxyType(self._public)

    @cached_property
    def _public(self) -> dict[str, str | None]:
        values = ((public, getattr(self, name), unset) for public, name, unset in _PUBLIC_NAMES)
        return {public: None if value == unset else str(value) for public, value, unset in values}

    def stated(self) -> Mapping[str, str]:
        """Return the settings that are set, by their public names, as text."""
        return MappingProxyType(self._stated)

    @cached_property
    def _stated(self) -> dict[str, str]:
        return {public: text for public, text in self._public.items() if text is not None}

    @property
    def context_layer(self) -> Layer:
        """The layer of the vectors of contexts."""
        return self.encoding_layer or LAST

    @property
    def entry_layer(self) -> Layer | None:
        """The layer at which vectors enter a decoder-only model; None where they are its input embeddings."""
        if self.decoding_layer != Layer("same"):
            return self.decoding_layer
        return Layer(0) if self.context_layer.is_embedding else self.context_layer

    @property
    def choice_layer(self) -> Layer:
        """The layer of the vectors of choices."""
        return self.out_encoding_layer or self.context_layer

    @property
    def context_aggregation(self) -> TokenAggregation:
        """How the tokens of contexts become vectors; every configuration with vectors sets it."""
        return _require("WORD_AGG_SCHEME", self.word_agg_scheme)

    @property
    def choice_aggregation(self) -> TokenAggregation:
        """How the tokens of choices become vectors."""
        return self.out_word_agg_scheme or self.context_aggregation

    @property
    def similarity(self) -> Similarity:
        """How vectors of choices are compared; every configuration of `dist_sim` sets it."""
        return _require("SIMILARITY_FUNC", self.similarity_func)


def _require(key: str, value: T | None) -> T:
    if value is None:
        raise ConfigurationError(f"{key}= is missing")
    return value


_PUBLIC_NAMES = tuple((item.name.upper(), item.name, item.default) for item in fields(VectorSettings))
SETTINGS: Mapping[str, Setting] = {item.name.upper(): item.metadata[_DECLARED] for item in fields(VectorSettings)}
"""Every setting by its public name."""
SETTING_NAMES = tuple(SETTINGS)


def is_unset(key: str, text: str) -> bool:
    """Whether a text says that a setting isn't set: `None` in any case, or what tables show in its place."""
    return text.casefold() == "none" or (key in SETTINGS and text == SETTINGS[key].unset)


@cache
def _read(key: str, text: str) -> object:
    return SETTINGS[key].read(text, key)


@lru_cache(maxsize=1 << 14)
def _parse(stated: tuple[tuple[str, str], ...]) -> VectorSettings:
    """Return settings; those of the same texts are the same object, as results of a grid have them many times."""
    if unknown := [key for key, _ in stated if key not in SETTINGS]:
        raise ConfigurationError(f"unknown setting {', '.join(unknown)}; choose from {', '.join(SETTING_NAMES)}")
    values: dict[str, Any] = {key.lower(): _read(key, text) for key, text in stated if not is_unset(key, text)}
    return VectorSettings(**values)
