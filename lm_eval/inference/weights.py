"""Loading weights, of a checkpoint and of an adapter, so that they fill the model and no block is left over."""

import logging
import re
import warnings
from collections.abc import Iterable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from lm_eval.common.text import say_cause
from lm_eval.errors import ConfigurationError
from lm_eval.models.families import Family
from lm_eval.models.info import is_local

logger = logging.getLogger(__name__)

_SHOWN = 3
"""Names of tensors in a message."""


def source_of(name: str) -> str:
    """Return what transformers loads for a hub name or a folder."""
    return str(Path(name).expanduser()) if is_local(name) else name


def load_weights(pretrained: str, family: Family, options: Mapping[str, Any], source: str | None = None) -> Any:  # noqa: ANN401
    """Load a checkpoint.

    Args:
        pretrained: hub name, local folder or GGUF file.
        family: the model's.
        options: further arguments of transformers' loader.
        source: what that shall load; None: what `pretrained` says.

    Raises:
        ConfigurationError: it can't be loaded; its tensors don't fill the model, as the loader would leave the rest
            random; or it has blocks that the model's config leaves out.
        torch.OutOfMemoryError: more GPUs may do.
    """
    auto: Any = AutoModelForSeq2SeqLM if family.architecture == "encoder-decoder" else AutoModelForCausalLM
    lenient = {
        **options,
        "ignore_mismatched_sizes": True,
        "output_loading_info": True,
    }  # the report says more than its error
    try:
        network, report = auto.from_pretrained(source or source_of(pretrained), **lenient)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"pretrained={pretrained}: the weights cannot be loaded ({say_cause(error)})"
        ) from error
    _refuse_mismatched(pretrained, report["mismatched_keys"])
    if lacking := sorted(map(str, report["missing_keys"])):
        raise ConfigurationError(
            f"pretrained={pretrained}: the checkpoint is not complete: {len(lacking)} of the model's tensors are "
            f"missing ({_some(lacking)})"
        )
    _refuse_blocks(pretrained, family, network, sorted(map(str, report["unexpected_keys"])))
    return network


def _refuse_mismatched(pretrained: str, mismatched: Iterable[tuple[str, Any, Any]]) -> None:
    for name, of_file, of_model in mismatched:
        raise ConfigurationError(
            f"pretrained={pretrained}: the tensor {name} has the shape {_shape(of_file)} in the checkpoint, but its "
            f"config asks for {_shape(of_model)}; use the config that belongs to the weights"
        )


def _shape(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))


def _refuse_blocks(pretrained: str, family: Family, network: Any, left_over: list[str]) -> None:  # noqa: ANN401
    """Refuse blocks beyond those that the config has; name other tensors that are left over."""
    if not left_over:
        return
    stacks = (
        [network.get_encoder(), network.get_decoder()] if network.config.is_encoder_decoder else [network.base_model]
    )
    text = network.config if family.section is None else getattr(network.config, family.section)
    further = int(getattr(text, "num_nextn_predict_layers", 0) or 0)
    names = {id(module): name for name, module in network.named_modules()}
    for blocks in (attrgetter(family.blocks)(stack) for stack in stacks if family.blocks is not None):
        path = names[id(blocks)].removeprefix(f"{network.base_model_prefix}.")
        numbered = (re.search(rf"(?:^|\.){re.escape(path)}\.(\d+)\.", name) for name in left_over)
        beyond = {int(found[1]) for found in numbered if found} - set(range(len(blocks) + further))
        if beyond:
            raise ConfigurationError(
                f"pretrained={pretrained}: the checkpoint has {max(beyond) + 1} blocks in {path}, but its config asks "
                f"for {len(blocks)}; use the config that belongs to the weights"
            )
    logger.warning(
        "%s: %d tensors of the checkpoint have no place in the model (%s)", pretrained, len(left_over), _some(left_over)
    )


def own_memory(network: Any) -> None:  # noqa: ANN401
    """Copy what lies on the CPU: it may still be mapped into the file, and whoever writes there would change it."""
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.device.type == "cpu":
            tensor.data = tensor.data.clone()


def merge_adapter(network: Any, adapter: str) -> Any:  # noqa: ANN401
    """Return the network with an adapter's changes in its weights.

    Raises:
        ConfigurationError: it can't be merged, or not every one of its tensors belongs to the model, or it lacks some.
    """
    from peft import PeftModel, get_peft_model_state_dict  # noqa: PLC0415  (seconds to import)
    from peft.utils import load_peft_weights  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Found missing adapter keys")  # said below, as what it means
            loaded = PeftModel.from_pretrained(network, source_of(adapter))
        wanted = set(get_peft_model_state_dict(loaded))
        of_file = set(load_peft_weights(source_of(adapter), device="cpu"))
    except Exception as error:
        raise ConfigurationError(
            f"peft={adapter}: cannot be merged into the model ({say_cause(error)}); was it trained for it?"
        ) from error
    if loaded.active_peft_config.is_prompt_learning:
        raise ConfigurationError(
            f"peft={adapter}: it puts vectors in front of every text and changes no weights, so it can't be merged "
            "into the model; choose an adapter of the model's layers, such as LoRA"
        )
    in_place = set(loaded.state_dict())  # whole matrices of the model's own, such as embeddings that were trained too
    foreign, lacking = sorted(of_file - wanted - in_place), sorted(wanted - of_file)
    if foreign or lacking:
        parts = [f"{len(foreign)} of its tensors belong to no part of the model ({_some(foreign)})"] if foreign else []
        parts += [f"it lacks {len(lacking)} tensors ({_some(lacking)})"] if lacking else []
        raise ConfigurationError(f"peft={adapter}: {', and '.join(parts)}; was it trained for this model?")
    return loaded.merge_and_unload()


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
