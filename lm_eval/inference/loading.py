"""Loading a model and its tokenizer, on one device or several; where device, dtype and length limit are decided."""

import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, BitsAndBytesConfig
from transformers.utils import logging as transformers_logging

from lm_eval.common.file_state import FileState, settled_states_of, states_of
from lm_eval.common.hub import hub_or_cache
from lm_eval.common.text import say_cause
from lm_eval.config.checkpoint import Checkpoint
from lm_eval.config.run_config import RunConfig
from lm_eval.config.runtime import Execution
from lm_eval.errors import ConfigurationError
from lm_eval.inference.conformance import refuse_inexact, settle
from lm_eval.inference.gguf_weights import config_from, source_from, without_bars
from lm_eval.inference.gguf_weights import settle as settle_gguf
from lm_eval.inference.tokenizer_loading import load_tokenizer
from lm_eval.inference.weights import load_weights, merge_adapter, own_memory, source_of
from lm_eval.models.config_facts import attends_in_part
from lm_eval.models.content import LoadedContent
from lm_eval.models.dtypes import suitable_dtype
from lm_eval.models.families import MAX_LENGTH_UNLIMITED, Family, find_family
from lm_eval.models.gguf.configs import config_of
from lm_eval.models.gguf.header import read_header
from lm_eval.models.info import files_of_model, gguf_of, is_local, model_identity
from lm_eval.models.language_model import Care, LanguageModel
from lm_eval.models.text_borders import TextBorders
from lm_eval.models.tokenizer_files import at_hand, read_text_borders

_NO_LIMIT = 1_000_000
"""Tokenizers that know no limit state one far beyond this."""


def choose_device(device: str | None) -> torch.device:
    """Return the device asked for, else the first GPU, else the CPU.

    Raises:
        ConfigurationError: the name is no device of this machine.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except Exception as error:
        raise ConfigurationError(
            f"device {device!r} is not available on this machine ({error}); leave it out, or try cpu"
        ) from error
    return chosen


def choose_dtype(dtype: str | None, family: Family, device: torch.device) -> torch.dtype:
    """Return the dtype asked for, else one that the hardware computes natively and the family survives."""
    if dtype is None:
        capabilities = [torch.cuda.get_device_capability(device)] if device.type == "cuda" else []
        dtype = suitable_dtype(capabilities, overflows_in_float16=family.overflows_in_float16)
    chosen: torch.dtype = getattr(torch, dtype)
    return chosen


@contextmanager
def _quiet_loading() -> Iterator[None]:
    """Hide the loader's own progress bars and remarks, which repeat for every model of a grid."""
    verbosity, bar = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bar:
            transformers_logging.enable_progress_bar()


@_quiet_loading()
def load_model(
    pretrained: str,
    *,
    revision: str | None = None,
    checkpoint: Checkpoint | None = None,
    dtype: str | None = None,
    device: str | None = None,
    spread: bool = False,
) -> LanguageModel:
    """Load a model in evaluation mode.

    Args:
        pretrained: hub name or local folder.
        revision: branch, tag or commit on the hub.
        checkpoint: what else is loaded, and how.
        dtype: float32, float16 or bfloat16; None chooses for the hardware.
        device: where it goes; None takes a GPU where there is one.
        spread: lay the layers over all visible GPUs (`device_map="auto"`).

    Raises:
        ConfigurationError: the model cannot be found or loaded, or the experiment doesn't fit it.
    """
    began, how = time.perf_counter(), checkpoint or Checkpoint()
    states = settled_states_of(files_of_model(pretrained, how))
    files = {"revision": revision, "subfolder": how.subfolder or "", "trust_remote_code": how.trust_remote_code}
    config, tokenizer = _read_small_files(pretrained, how, files)
    network = _load_network(pretrained, how, {**files, "config": config}, dtype, choose_device(device), spread=spread)
    content = _identify(pretrained, revision, how, states)
    model = wrap_model(network.eval(), tokenizer, name=pretrained)
    _hold_to_files(model, content.borders)
    return replace(model, content=content, load_seconds=time.perf_counter() - began)


def _load_network(
    pretrained: str, how: Checkpoint, files: Mapping[str, Any], dtype: str | None, place: torch.device, *, spread: bool
) -> Any:  # noqa: ANN401
    """Return the transformers model, with its adapter, where it shall be."""
    family = find_family(files["config"].to_dict(), pretrained)
    options = {**files, "dtype": choose_dtype(dtype, family, place)}
    if how.is_quantised:
        options["quantization_config"] = _quantise(how, options["dtype"])
    if spread or how.is_quantised:  # quantised weights can't be moved once they are there
        options["device_map"] = "auto" if spread else {"": place}
    gguf = gguf_of(pretrained, files["revision"], how)
    network = load_weights(pretrained, family, options) if gguf is None else _load_gguf(pretrained, gguf, options)
    path = at_hand(pretrained, files["revision"], how.subfolder, "config.json")
    if family.forgets_own_head and path is not None and _has_own_head(path):
        network.config.tie_word_embeddings = False
    if how.peft is not None:
        network = merge_adapter(network, how.peft)
    if "device_map" not in options:
        network.to(place)
        own_memory(network)
    return network


def _load_gguf(pretrained: str, path: Path, options: Mapping[str, Any]) -> Any:  # noqa: ANN401
    header = read_header(path)
    source, further = source_from(header)
    kept = {key: value for key, value in options.items() if key not in ("revision", "subfolder")}
    with without_bars():
        network = load_weights(
            pretrained, find_family(config_of(header), pretrained), {**kept, **further}, source=source
        )
    return settle_gguf(network, header)


def _identify(pretrained: str, revision: str | None, how: Checkpoint, states: tuple[FileState, ...]) -> LoadedContent:
    """Return what identifies the bytes that were loaded.

    Args:
        pretrained: hub name or local folder.
        revision: branch, tag or commit on the hub.
        how: what else was loaded.
        states: of the files, before they were read.

    Raises:
        ConfigurationError: a file has changed meanwhile, so that nobody knows what was loaded.
    """
    with suppress(OSError):
        content = LoadedContent(
            weights=model_identity(pretrained, revision, how), borders=read_text_borders(pretrained, revision, how)
        )
        if states_of(files_of_model(pretrained, how)) == states:
            return content
    raise ConfigurationError(
        f"pretrained={pretrained}: its files changed while they were read, so nobody knows what was loaded; "
        "call again once they stay as they are"
    )


def _hold_to_files(model: LanguageModel, stated: TextBorders | None) -> None:
    """See that a tokenizer does at the borders of a text what identities say, which know its files alone.

    Raises:
        ConfigurationError: it does something else.
    """
    if stated is None or model.is_encoder_decoder:
        return
    loaded = model.borders
    if (loaded.front, loaded.has_dummy_prefix) != (stated.front, stated.has_dummy_prefix):
        raise ConfigurationError(
            f"pretrained={model.name}: its tokenizer doesn't do what its files say (in front of a text "
            f"{loaded.describe_front()}, by its files {stated.describe_front()}); save a tokenizer.json with them"
        )


def _read_small_files(pretrained: str, how: Checkpoint, files: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return a model's config and tokenizer."""
    try:
        gguf = gguf_of(pretrained, files["revision"], how)
        config = (
            AutoConfig.from_pretrained(source_of(pretrained), **files)
            if gguf is None
            else config_from(read_header(gguf))
        )
        tokenizer = load_tokenizer(pretrained, how, files)
        has_vocabulary = bool(tokenizer("text", add_special_tokens=False)["input_ids"])
    except ConfigurationError as error:
        raise ConfigurationError(f"pretrained={pretrained}: {error}") from error
    except Exception as error:
        needs_code = "custom code" in str(error) and not how.trust_remote_code
        remedy = "; trust_remote_code=True in model_args runs the code that comes with it" if needs_code else ""
        raise ConfigurationError(f"pretrained={pretrained}: cannot be loaded ({say_cause(error)}){remedy}") from error
    if not has_vocabulary:  # so it is made where the tokenizer's files are missing
        raise ConfigurationError(f"pretrained={pretrained}: the tokenizer has no vocabulary; are its files there?")
    return config, tokenizer


def _has_own_head(path: Path) -> bool:
    """Whether a checkpoint's config says that its output matrix is its own, which some config classes forget."""
    return json.loads(path.read_text(encoding="utf-8")).get("tie_word_embeddings") is False


def _quantise(how: Checkpoint, dtype: torch.dtype) -> BitsAndBytesConfig:
    """Return what bitsandbytes is to do with the weights, and the dtype that it computes in."""
    return BitsAndBytesConfig(
        load_in_8bit=how.load_in_8bit,
        load_in_4bit=how.load_in_4bit,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
    )


def wrap_model(network: Any, tokenizer: Any, *, name: str, care: Care | None = None) -> LanguageModel:  # noqa: ANN401
    """Make a `LanguageModel` of a transformers model that is loaded already.

    Args:
        network: the transformers model, in evaluation mode.
        tokenizer: its tokenizer.
        name: what messages call it.
        care: how its passes run, where it is a caller's own.

    Raises:
        ConfigurationError: it fails the checks of `inference.conformance`.
    """
    model = settle(untried_model(network, tokenizer, name=name, care=care))
    if model.family.is_tried and not model.attends_both_ways and not model.runs_whole:
        refuse_inexact(model)
    return model


def untried_model(network: Any, tokenizer: Any, *, name: str, care: Care | None = None) -> LanguageModel:  # noqa: ANN401
    """Make what `wrap_model` makes, by its config and its row of the table alone, before anything is run."""
    if care is None:
        _give_outputs(network)
    family = find_family(network.config.to_dict(), name)
    stack = network.config if family.section is None else getattr(network.config, family.section)
    if family.sharing == "row" and family.architecture == "decoder-only" and attends_in_part(stack):
        family = replace(family, sharing="cache")
    if care in ("whole", "alone"):
        family = replace(family, sharing="none", relative_bias=None)
    limit = _max_length(family, stack, tokenizer)
    model = LanguageModel(name=name, family=family, network=network, tokenizer=tokenizer, max_length=limit, care=care)
    if model.turning_length is None:
        return model
    return replace(model, family=replace(family, sharing="none"))  # choices may lie on both sides of the turn


def _give_outputs(network: Any) -> None:  # noqa: ANN401
    """Have a model give what passes here ask for and no more, whatever its config says that it was saved with."""
    for config in {id(one): one for module in network.modules() if (one := getattr(module, "config", None))}.values():
        config.return_dict, config.output_hidden_states = True, False
        if getattr(config, "output_attentions", False):  # which takes another way through attention
            config.output_attentions = False


def _max_length(family: Family, config: Any, tokenizer: Any) -> int:  # noqa: ANN401
    if family.limit_from_tokenizer:
        limit = getattr(tokenizer, "model_max_length", math.inf)
        return int(limit) if limit < _NO_LIMIT else MAX_LENGTH_UNLIMITED
    return MAX_LENGTH_UNLIMITED if family.max_positions is None else int(getattr(config, family.max_positions))


def load_for(config: RunConfig, execution: Execution) -> LanguageModel:
    """Load the model of a configuration.

    Raises:
        ConfigurationError: it cannot be loaded.
    """
    is_here = is_local(config.pretrained) or config.checkpoint.gguf_file is not None  # fetched with its facts
    at_hand = nullcontext() if is_here else hub_or_cache(config.pretrained, "model")
    with at_hand:  # or every file that a model may have, but hasn't, is asked for again and again
        return load_model(
            config.pretrained,
            revision=config.revision,
            checkpoint=config.checkpoint,
            dtype=config.dtype,
            device=execution.device,
            spread=execution.spread,
        )
