"""Loading a tokenizer, and holding it to its files where transformers makes something else of them."""

from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import Metaspace
from transformers import AutoTokenizer

from lm_eval.config.checkpoint import Checkpoint
from lm_eval.errors import ConfigurationError
from lm_eval.inference.gguf_weights import tokenizer_from
from lm_eval.inference.weights import source_of
from lm_eval.models.gguf.header import read_header
from lm_eval.models.info import gguf_of
from lm_eval.models.sentencepiece_files import Pieces
from lm_eval.models.text_borders import BLANK
from lm_eval.models.tokenizer_files import tokenizer_folder
from lm_eval.models.tokenizer_needs import sentencepiece_file

_TEXTS = ("A man is in a raft, 3 times.", "\n", "man", "cafe\u0301 \ufb01ne", "The water's\n\nedge")
"""Texts that show what a tokenizer does to the beginning of a text, to blanks, to line breaks and to compositions."""


def load_tokenizer(pretrained: str, how: Checkpoint, files: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Return the tokenizer of a model.

    Args:
        pretrained: hub name or local folder of the model.
        how: what else is loaded.
        files: revision, subfolder and so on, as transformers takes them.

    Raises:
        ConfigurationError: it makes other tokens than its sentencepiece file.
    """
    gguf = gguf_of(pretrained, files["revision"], how)
    if how.tokenizer is None and gguf is not None:
        return tokenizer_from(read_header(gguf))
    if how.tokenizer is None:
        tokenizer = AutoTokenizer.from_pretrained(source_of(pretrained), **files)
    else:
        tokenizer = AutoTokenizer.from_pretrained(source_of(how.tokenizer), trust_remote_code=how.trust_remote_code)
    folder = tokenizer_folder(pretrained, files["revision"], how)
    if folder is None:
        return tokenizer
    path, backend = folder / "tokenizer.json", getattr(tokenizer, "backend_tokenizer", None)
    if path.is_file() and backend is not None:
        _restore(backend, Tokenizer.from_file(str(path)))
    model = sentencepiece_file(folder)
    if model is not None and tokenizer.init_kwargs.get("add_prefix_space") is not False:
        _hold_to(Pieces(model), tokenizer)
    return tokenizer


def _restore(loaded: Tokenizer, of_file: Tokenizer) -> None:
    """Give a tokenizer the steps of its file: transformers rebuilds some classes, and drops what it doesn't know.

    The model is one of them: its switches decide tokens too (`ignore_merges` of vocabularies made for tiktoken).
    """
    for step in ("normalizer", "pre_tokenizer", "model", "post_processor"):
        if repr(getattr(loaded, step)) != repr(getattr(of_file, step)):
            setattr(loaded, step, getattr(of_file, step))


def _hold_to(pieces: Pieces, tokenizer: Any) -> None:  # noqa: ANN401
    """See that a tokenizer makes the tokens of its sentencepiece file, with the blank in front that some forget.

    Raises:
        ConfigurationError: it makes others.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if _difference(pieces, tokenizer) is not None and backend is not None and backend.pre_tokenizer is None:
        backend.pre_tokenizer = Metaspace(replacement=BLANK, prepend_scheme="first", split=False)
    text = _difference(pieces, tokenizer)
    if text is not None:
        theirs, ours = " ".join(pieces.of(text)), " ".join(_tokens(tokenizer, text))
        raise ConfigurationError(
            f"transformers doesn't make the tokens of {pieces.path.name}: of {text!r} {ours!r} instead of {theirs!r}; "
            "save a tokenizer.json beside it"
        )


def _difference(pieces: Pieces, tokenizer: Any) -> str | None:  # noqa: ANN401
    """Return a text of which a tokenizer makes other tokens than its file; None where it makes the same of all."""
    known = (text for text in _TEXTS if pieces.knows(pieces.of(text)))
    return next((text for text in known if pieces.of(text) != _tokens(tokenizer, text)), None)


def _tokens(tokenizer: Any, text: str) -> list[str]:  # noqa: ANN401
    return list(tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False)["input_ids"]))
