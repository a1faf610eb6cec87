"""How a checkpoint is loaded: subfolder, tokenizer, adapter, quantisation; keys of `model_args` (experiment §7).

Knows nothing of torch; `lm_eval.inference.loading` loads accordingly.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from lm_eval.common.text import format_pairs
from lm_eval.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Options of loading a checkpoint."""

    subfolder: str | None = None
    """Folder, inside the model's, that holds the config and the weights."""
    gguf_file: str | None = None
    """Name of the GGUF file to load: of several in a folder, or of a hub model."""
    tokenizer: str | None = None
    """Hub name or local folder of another tokenizer."""
    peft: str | None = None
    """Hub name or local folder of a PEFT adapter that is merged into the weights."""
    load_in_8bit: bool = False
    """Whether bitsandbytes quantises the matrices to 8 bits (LLM.int8)."""
    load_in_4bit: bool = False
    """Whether bitsandbytes quantises the matrices to 4 bits (NF4)."""
    trust_remote_code: bool = False
    """Whether Python code that comes with the model may run."""

    def __post_init__(self) -> None:
        if self.load_in_8bit and self.load_in_4bit:
            raise ConfigurationError("load_in_8bit=True and load_in_4bit=True exclude each other; leave one out")
        if self.is_quantised and self.peft is not None:
            raise ConfigurationError(
                f"peft={self.peft}: an adapter isn't merged into quantised weights; leave load_in_8bit and "
                "load_in_4bit out, or merge the adapter first and save the model"
            )

    @property
    def is_quantised(self) -> bool:
        """Whether the weights take fewer bits than their dtype has."""
        return self.load_in_8bit or self.load_in_4bit

    @property
    def bits(self) -> int | None:
        """Bits of a quantised parameter; None where nothing is quantised."""
        return 8 if self.load_in_8bit else 4 if self.load_in_4bit else None

    def stated(self) -> dict[str, Any]:
        """Return the keys whose value isn't the default, as `model_args` has them."""
        return {item.name: value for item in fields(self) if (value := getattr(self, item.name)) != item.default}

    @classmethod
    def pick(cls, pairs: Mapping[str, str | None]) -> "Checkpoint":
        """Build one from the pairs of `model_args`, ignoring keys of other settings.

        Raises:
            ConfigurationError: a switch that is neither True nor False, or keys that exclude each other.
        """
        named: dict[str, Any] = {
            key: _as_bool(key, value) if key in _SWITCHES else value
            for key, value in pairs.items()
            if key in CHECKPOINT_KEYS
        }
        return cls(**named) if named else PLAIN


PLAIN = Checkpoint()
"""A checkpoint that is loaded as most are."""
CHECKPOINT_KEYS = tuple(item.name for item in fields(Checkpoint))
_SWITCHES = tuple(item.name for item in fields(Checkpoint) if item.type in (bool, "bool"))
_WORDS = {"True": True, "False": False, None: False}


def _as_bool(name: str, value: str | None) -> bool:
    if value not in _WORDS:
        raise ConfigurationError(f"{name}={value}: must be True or False")
    return _WORDS[value]


@functools.lru_cache(maxsize=1024)
def say_loading(revision: str | None, checkpoint: Checkpoint) -> str | None:
    """Return what makes another model of a checkpoint (revision, adapter, bits, …), as KEY=value; None: nothing."""
    stated = {"revision": revision, **checkpoint.stated()}
    usual = {"revision": (None, "main"), "trust_remote_code": (True,)}
    return format_pairs({key: value for key, value in stated.items() if value not in usual.get(key, ())}) or None
