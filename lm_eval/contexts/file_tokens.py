"""Tokens of a document's texts by the files of a model's tokenizer: without the model, and without torch.

The tokens are those that a run makes before anything is cut (experiment §4.1); `tokenization` makes them for the model.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tokenizers import Tokenizer

from lm_eval.common.text import say_cause
from lm_eval.config.run_config import RunConfig
from lm_eval.errors import ConfigurationError
from lm_eval.models.families import Family
from lm_eval.models.info import read_facts
from lm_eval.models.text_borders import TextBorders, front_tokens, has_front, without_dummy_prefix
from lm_eval.models.tokenizer_files import read_text_borders, tokenizer_folder

Tokens = list[str]


@dataclass(frozen=True, kw_only=True)
class FileTokens:
    """The tokenizer of a model, and which texts of a configuration get which special tokens."""

    config: RunConfig
    family: Family
    borders: TextBorders
    tokenizer: Any
    """Of the package tokenizers."""

    @classmethod
    def of(cls, config: RunConfig) -> "FileTokens":
        """Read the tokenizer of a configuration's model.

        Raises:
            ConfigurationError: there is no such model, or its tokenizer can't be loaded.
        """
        facts = read_facts(config.pretrained, config.revision, config.checkpoint)
        folder = tokenizer_folder(config.pretrained, config.revision, config.checkpoint)
        path = None if folder is None else folder / "tokenizer.json"
        tokenizer = _load(config) if path is None or not path.is_file() else Tokenizer.from_file(str(path))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        borders = read_text_borders(config.pretrained, config.revision, config.checkpoint)
        return cls(config=config, family=facts.family, borders=borders or _probe(tokenizer), tokenizer=tokenizer)

    @property
    def front(self) -> tuple[str, ...]:
        """The tokens that stand in front of each segment of the context; they are not counted among its own."""
        return front_tokens(self.config, self.family, self.borders) if has_front(self.config)[0] else ()

    @property
    def is_encoder_decoder(self) -> bool:
        """Whether the model has an encoder."""
        return self.family.architecture == "encoder-decoder"

    @cached_property
    def _going_on(self) -> Any:  # noqa: ANN401
        """The tokenizer without the blank that it would put in front."""
        if not self.borders.has_dummy_prefix:
            return self.tokenizer
        bare = Tokenizer.from_str(without_dummy_prefix(self.tokenizer.to_str()))
        bare.no_padding()
        bare.no_truncation()
        return bare

    def segment(self, text: str) -> Tokens:
        """Return the tokens of a segment of the context."""
        if self.is_encoder_decoder:
            return self._encode(self.tokenizer, text, special=True)
        return self._encode(self._going_on if text[:1].isspace() else self.tokenizer, text, special=False)

    def choice(self, text: str) -> Tokens:
        """Return the tokens of a choice; ordinary scoring tokenises it together with its context."""
        if self.is_encoder_decoder:
            return self._encode(self.tokenizer, text, special=self.config.model == "dist_sim")
        return self._encode(self._going_on, text, special=False)

    @staticmethod
    def _encode(tokenizer: Any, text: str, *, special: bool) -> Tokens:  # noqa: ANN401
        return list(tokenizer.encode(text, add_special_tokens=special).tokens)


def _load(config: RunConfig) -> Any:  # noqa: ANN401
    """Load a tokenizer that has no `tokenizer.json`, as the model's loading does.

    Raises:
        ConfigurationError: it can't be loaded, or counts no tokens by itself.
    """
    from lm_eval.inference.tokenizer_loading import load_tokenizer  # noqa: PLC0415  (seconds to import)

    how = config.checkpoint
    code = how.trust_remote_code
    files = {"revision": config.revision, "subfolder": how.subfolder or "", "trust_remote_code": code}
    try:
        loaded = load_tokenizer(config.pretrained, how, files)
    except ConfigurationError:
        raise
    except Exception as error:  # whatever transformers raises
        raise ConfigurationError(
            f"pretrained={config.pretrained}: the tokenizer cannot be loaded ({say_cause(error)})"
        ) from error
    backend = getattr(loaded, "backend_tokenizer", None)
    if backend is None:
        raise ConfigurationError(
            f"pretrained={config.pretrained}: its tokenizer is a Python class without a tokenizer.json, so its tokens "
            "are known to a run alone; leave --model_args out to see the texts"
        )
    return backend


def _probe(tokenizer: Any) -> TextBorders:  # noqa: ANN401
    def tokens_of(text: str, special: bool) -> list[str]:
        return list(tokenizer.encode(text, add_special_tokens=special).tokens)

    return TextBorders.probe(tokens_of, None)
