"""Reading the fields of an architecture, each one noted, so that none that might decide a number is passed over."""

from typing import Any

from lm_eval.errors import ConfigurationError
from lm_eval.models.gguf.header import Header

_DECIDES_NOTHING = ("vocab_size", "pooling_type", "rope.scaling.finetuned", "attention.group_norm_epsilon")
"""Fields that a config has no place for, or that speak of the training, or of use other than for scores."""


class Fields:
    """The fields of a GGUF file's architecture, read by their names without the architecture."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self._read: set[str] = set()

    def find(self, name: str, default: Any = None) -> Any:  # noqa: ANN401
        """Return a field's value, or the default."""
        self._read.add(name)
        return self.header.fields.get(f"{self.header.architecture}.{name}", default)

    def number(self, name: str, default: int | None = None) -> int:
        """Return a whole number; a list of one number for each layer is one if all are the same.

        Raises:
            ConfigurationError: the field is missing, or layers differ.
        """
        value = self.find(name, default)
        if value is None:
            raise ConfigurationError(f"pretrained={self.header.path}: its header lacks {self._full(name)}")
        if isinstance(value, list) and len(set(value)) == 1:
            value = value[0]
        if isinstance(value, list):
            raise self.refusal(name, "layers that differ can't be loaded")
        return int(value)

    def has(self, tensor: str) -> bool:
        """Whether the file holds a tensor."""
        return tensor in self.header.tensors

    def token(self, which: str) -> int | None:
        """Return the id of a special token; None where there is none."""
        value: int | None = self.header.fields.get(f"tokenizer.ggml.{which}_token_id")
        return value

    def expect(self, name: str, *values: Any) -> None:  # noqa: ANN401
        """See that a field, where it is there, has one of the values that a config stands for.

        Raises:
            ConfigurationError: it has another.
        """
        value = self.find(name)
        if value is not None and value not in values:
            raise self.refusal(name, f"only {' or '.join(map(str, values))} can be loaded")

    def refuse_unread(self) -> None:
        """Refuse a file that states something of its architecture that nothing has asked for.

        Raises:
            ConfigurationError: there is such a field.
        """
        prefix = self.header.architecture + "."
        stated = [key.removeprefix(prefix) for key in self.header.fields if key.startswith(prefix)]
        for name in stated:
            if name not in self._read and name not in _DECIDES_NOTHING and self.find(name) not in (0, 0.0, False, []):
                raise self.refusal(name, f"that isn't known of architecture {self.header.architecture}")

    def refusal(self, name: str, why: str) -> ConfigurationError:
        """Return the error of a field that can't be heeded."""
        value = str(self.find(name))
        return ConfigurationError(
            f"pretrained={self.header.path}: its header has {self._full(name)} = {value[:60]}, and {why}, so its "
            "scores might be wrong; give the model as a folder with config.json and safetensors"
        )

    def _full(self, name: str) -> str:
        return f"{self.header.architecture}.{name}"
