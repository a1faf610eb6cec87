"""Layers, as `ENCODING_LAYER` and `OUT_ENCODING_LAYER` name them (experiment §4.2)."""

import re
from dataclasses import dataclass
from typing import Literal

from lm_eval.common.text import did_you_mean
from lm_eval.errors import ConfigurationError

NamedLayer = Literal["middle", "E", "OE", "same"]
NAMED_LAYERS: tuple[NamedLayer, ...] = ("middle", "E", "OE")
"""The names that a layer of vectors may have; `same` is for where they enter."""
ResolvedLayer = int | Literal["E", "OE"]
"""A layer of one model: its index in the list of hidden states, 0 to the number of blocks, or a matrix."""


@dataclass(frozen=True)
class Layer:
    """A layer as a setting names it, for models of any depth."""

    name: int | NamedLayer
    """An index, from the end where it is negative; middle; E (token embeddings) or OE (rows of the output matrix); same
    (as the vectors' own)."""

    @classmethod
    def parse(cls, text: str, key: str = "ENCODING_LAYER", names: tuple[NamedLayer, ...] = NAMED_LAYERS) -> "Layer":
        """Read the value of a setting.

        Args:
            text: an integer, or one of the names; `last`, as tables say, is -1 where vectors are taken.
            key: the setting's name, for the message.
            names: the names that the setting allows.

        Raises:
            ConfigurationError: neither an integer nor an allowed name.
        """
        if text in names:
            return cls(text)
        if text == "last" and "same" not in names:
            return LAST
        if not re.fullmatch(r"-?\d{1,4}", text):
            raise ConfigurationError(
                f"{key}: unknown value {text!r}{did_you_mean(text, names)}; "
                f"choose from None, {', '.join(names)}, or an integer of at most 4 digits"
            )
        return cls(int(text))

    def __str__(self) -> str:
        return str(self.name)

    @property
    def is_embedding(self) -> bool:
        """Whether its vectors are rows of an embedding matrix, so that no forward pass is needed."""
        return self.name in ("E", "OE")

    def is_in(self, num_layers: int) -> bool:
        """Whether models of so many blocks have it."""
        return not isinstance(self.name, int) or -(num_layers + 1) <= self.name <= num_layers

    def resolve(self, num_layers: int, key: str = "ENCODING_LAYER", model: str = "the model") -> ResolvedLayer:
        """Return the layer of a model.

        Args:
            num_layers: the model's blocks; there are `num_layers + 1` hidden states.
            key: the setting's name, for the message.
            model: name of the model, for the message.

        Raises:
            ConfigurationError: the index is outside the list.
        """
        if self.name == "middle":
            return (num_layers + 1) // 2
        if self.name == "same":
            raise ConfigurationError(f"{key}=same: the layer that it stands for isn't known here; name it")
        if not isinstance(self.name, int):
            return self.name
        if not self.is_in(num_layers):
            raise ConfigurationError(
                f"{key}={self}: out of range; choose from {-(num_layers + 1)} to {num_layers}, "
                f"{_OTHERS.get(key, 'middle')} or None, for {model} has {num_layers} layers"
            )
        return self.name % (num_layers + 1)


_OTHERS = {"layers": "middle, E", "ENCODING_LAYER": "middle, E", "OUT_ENCODING_LAYER": "middle, E, OE"}
"""What a setting may name instead of an index, for messages."""
LAST = Layer(-1)
"""The default layer."""
OUTPUT_MATRIX = Layer("OE")
"""The output matrix, a layer that only choices can have."""
