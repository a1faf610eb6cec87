"""A model of a GGUF file through transformers' loader: config and tokenizer of the header, weights decoded.

Transformers leaves out what it doesn't know, tensors too; so the loaded model is counted against the file.
"""

import importlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import transformers
from transformers import AutoConfig, PreTrainedTokenizerFast

from lm_eval.errors import ConfigurationError
from lm_eval.models.gguf.configs import config_of
from lm_eval.models.gguf.header import Header
from lm_eval.models.gguf.vocabulary import make_tokenizer, special_tokens


def config_from(header: Header) -> Any:  # noqa: ANN401
    """Return transformers' config of a file's model."""
    return AutoConfig.for_model(**config_of(header))


def tokenizer_from(header: Header) -> PreTrainedTokenizerFast:
    """Return a file's tokenizer as transformers has them."""
    length = header.fields.get(f"{header.architecture}.context_length")
    return PreTrainedTokenizerFast(
        tokenizer_object=make_tokenizer(header),
        model_max_length=length,
        padding_side="right",
        clean_up_tokenization_spaces=False,
        **special_tokens(header),
    )


def source_from(header: Header) -> tuple[str, Mapping[str, Any]]:
    """Return the folder that transformers loads from, and its further arguments."""
    options: dict[str, Any] = {"gguf_file": header.path.name}
    if (decode := getattr(transformers, "GgufConfig", None)) is not None:  # newer ones may keep weights as they are
        options["quantization_config"] = decode(dequantize=True)
    return str(header.path.parent), options


@contextmanager
def without_bars() -> Iterator[None]:
    """Hide the progress bar of transformers' decoder, which asks nobody whether it is wanted."""

    def pass_on(items: Iterable[Any], **_: object) -> Iterable[Any]:
        return items

    module: Any = importlib.import_module("transformers.modeling_gguf_pytorch_utils")
    bar, module.tqdm = module.tqdm, pass_on
    try:
        yield
    finally:
        module.tqdm = bar


def settle(network: Any, header: Header) -> Any:  # noqa: ANN401
    """Return the loaded network as one of plain weights.

    Raises:
        ConfigurationError: it has taken fewer or more values than the file holds.
    """
    taken = sum(parameter.numel() for parameter in network.parameters())
    if taken != header.parameters:
        raise ConfigurationError(
            f"pretrained={header.path}: transformers takes {taken:,} of the {header.parameters:,} values of the file, "
            "so its scores would be wrong; give the model as a folder with config.json and safetensors"
        )
    network.config.__dict__.pop("quantization_config", None)
    network.hf_quantizer = None
    return network
