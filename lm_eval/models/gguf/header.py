"""The header of a GGUF file: what it says of a model, and which tensors it holds (ggml's format, versions 2 and 3).

Read here rather than by the gguf package, which takes seconds for a vocabulary. That package knows how many bytes a
tensor takes and which formats can be decoded.
"""

import functools
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval.common.file_state import FileState, states_of
from lm_eval.errors import ConfigurationError

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Of the value types of one size, the letters that struct and numpy know them by."""
_STRING, _ARRAY = 8, 9
_ALIGNMENT = 32
_FLOAT32 = 0
_NO_WEIGHTS = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
"""Tensors that hold what a config says elsewhere."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file."""

    shape: tuple[int, ...]
    """As torch has it: ggml counts dimensions from the last."""
    kind: int
    """ggml's number of its format."""
    start: int
    """Its first byte in the file."""

    @property
    def size(self) -> int:
        """Its number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True, eq=False)
class Header:
    """What a GGUF file says of its model."""

    path: Path
    fields: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    @property
    def architecture(self) -> str:
        """llama.cpp's name of the architecture."""
        return str(self.fields.get("general.architecture"))

    @property
    def parameters(self) -> int:
        """The model's parameters, tied ones once."""
        return sum(tensor.size for name, tensor in self.tensors.items() if name not in _NO_WEIGHTS)

    def values(self, name: str) -> list[float]:
        """Return the values of a small tensor that isn't quantised."""
        import numpy as np  # noqa: PLC0415  (only GGUF files need it)

        tensor = self.tensors[name]
        if tensor.kind != _FLOAT32:
            raise ConfigurationError(f"pretrained={self.path}: the tensor {name} isn't float32, so it can't be read")
        with self.path.open("rb") as stream:
            stream.seek(tensor.start)
            values: list[float] = np.frombuffer(stream.read(4 * tensor.size), "<f4").tolist()
        return values


def read_header(path: Path) -> Header:
    """Read the header of a GGUF file; one that hasn't changed is read once.

    Raises:
        ConfigurationError: it isn't a whole GGUF file, is a part of a model, or in a format that can't be decoded.
    """
    try:
        return _read(*states_of([path]))
    except OSError as error:
        raise ConfigurationError(f"pretrained={path}: the file cannot be read ({error})") from error


@functools.lru_cache(maxsize=4)
def _read(state: FileState) -> Header:
    import numpy as np  # noqa: PLC0415  (only GGUF files need it)

    path, _, size, *_ = state
    try:
        header = _Reader(path.read_bytes() if size < _SMALL else np.memmap(path, np.uint8, "r")).header(path)
    except (struct.error, KeyError, IndexError, UnicodeDecodeError, ValueError) as error:
        raise ConfigurationError(
            f"pretrained={path}: not a GGUF file of version 2 or 3, or it is damaged ({error}); fetch it again"
        ) from error
    _check_whole(header, size)
    return header


_SMALL = 1 << 20


class _Reader:
    """Reads one value after the other."""

    def __init__(self, data: Any) -> None:  # noqa: ANN401
        self._data = memoryview(data)
        self._at = 0

    def header(self, path: Path) -> Header:
        if bytes(self._take(4)) != _MAGIC:
            raise ValueError("it doesn't begin with GGUF")
        version = self._number("I")
        if version not in _VERSIONS:
            raise ValueError(f"its version is {version}")
        num_tensors, num_fields = self._number("Q"), self._number("Q")
        fields = {self._string(): self._value(self._number("I")) for _ in range(num_fields)}
        described = [self._tensor() for _ in range(num_tensors)]
        step = int(fields.get("general.alignment", _ALIGNMENT))
        base = -(-self._at // step) * step
        tensors = {name: Tensor(shape, kind, base + offset) for name, shape, kind, offset in described}
        return Header(path, fields, tensors)

    def _take(self, size: int) -> memoryview:
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise ValueError("it ends within its header")
        self._at += size
        return taken

    def _number(self, letter: str) -> Any:  # noqa: ANN401
        return struct.unpack("<" + letter, self._take(struct.calcsize("<" + letter)))[0]

    def _string(self) -> str:
        return bytes(self._take(self._number("Q"))).decode()

    def _value(self, kind: int) -> Any:  # noqa: ANN401
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            return self._number(_FORMATS[kind])
        inner, length = self._number("I"), self._number("Q")
        if inner in (_STRING, _ARRAY):
            return [self._value(inner) for _ in range(length)]
        import numpy as np  # noqa: PLC0415  (only GGUF files need it)

        letter = _FORMATS[inner]
        return np.frombuffer(self._take(length * struct.calcsize("<" + letter)), np.dtype(letter)).tolist()

    def _tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        name, num_dims = self._string(), self._number("I")
        shape = tuple(self._number("Q") for _ in range(num_dims))[::-1]
        return name, shape, self._number("I"), self._number("Q")


def _check_whole(header: Header, size: int) -> None:
    """See that the file holds a whole model, whose tensors can be decoded."""
    if header.fields.get("split.count", 1) > 1:
        raise ConfigurationError(
            f"pretrained={header.path}: one of {header.fields['split.count']} parts of a model, which transformers "
            "can't load; join them (llama-gguf-split --merge)"
        )
    if (kind := header.fields.get("general.type", "model")) != "model" or not header.tensors:
        raise ConfigurationError(f"pretrained={header.path}: it holds no model (general.type {kind!r}); choose another")
    ends = {name: tensor.start + _bytes_of(header, tensor) for name, tensor in header.tensors.items()}
    last = max(ends, key=ends.__getitem__)
    if ends[last] > size:
        raise ConfigurationError(
            f"pretrained={header.path}: the file is cut off: the tensor {last} ends at byte {ends[last]:,}, the file "
            f"at {size:,}; fetch it again"
        )


def _bytes_of(header: Header, tensor: Tensor) -> int:
    block, size = _block_of(tensor.kind)
    if not size:
        raise ConfigurationError(
            f"pretrained={header.path}: its tensors have a format that the gguf package can't decode (ggml type "
            f"{tensor.kind}); choose another quantisation"
        )
    return tensor.size // block * size


@functools.cache
def _block_of(kind: int) -> tuple[int, int]:
    """Return the values and the bytes of a block of a format; 0 bytes where it can't be decoded."""
    import numpy as np  # noqa: PLC0415  (only GGUF files need it)
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize  # noqa: PLC0415  (only GGUF files need it)

    try:
        block, size = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
        dequantize(np.zeros((1, size), np.uint8), GGMLQuantizationType(kind))
    except (ValueError, KeyError, NotImplementedError):
        return 1, 0
    return block, size
