"""All that differs between model families, one row a family, and what can be told from a model's config alone.

Knows nothing of torch, so that a grid can be checked before anything heavy is imported. A new family is a new row.
"""

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from lm_eval.errors import ConfigurationError
from lm_eval.hub import answers, first_line
from lm_eval.settings import choices_text

Architecture = Literal["decoder-only", "encoder-decoder"]
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)

MAX_LENGTH_UNLIMITED = 10_240
"""Longest segment, in tokens, for models without a position limit (SPEC §4.1)."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """How the experiment finds its way inside one family of models."""

    architecture: Architecture
    blocks: str
    """Path of the list of blocks below the base model (decoder-only) or the encoder."""
    num_layers: str
    """Config field with the number of those blocks."""
    activation: str
    """Config field that names the activation of the MLP, or the name itself behind a `=`."""
    max_positions: str | None
    """Config field with the position limit; None where the model has none."""
    limit_from_tokenizer: bool = False
    """Whether the tokenizer's `model_max_length` is the limit instead."""
    position_embedding: str | None = None
    """Path of the table of learned absolute positions below the base model, which ADD_POS needs."""
    relative_bias: str | None = None
    """Path, below the encoder, of the attention that makes the position bias of all blocks."""
    sharing: Literal["row", "cache"] = "row"
    """How a context is read once for all its choices: they stand in one row behind it, kept apart by a mask and by
    their positions, or the cache of its keys and values is repeated for each (where attention goes by place in a row).
    """
    fused_attention: bool = True
    """Whether attention keeps no matrix of scores; where it does, batches are limited by the square of their length."""
    takes_positions: bool = True
    """Whether the model can be told the positions of its inputs."""
    output_scaling: str | None = None
    """Config field that says whether the decoder's output is multiplied by `d_model ** -0.5` before the projection."""
    overflows_in_float16: bool = False
    """Whether float16 gives infinities, so that it must not be chosen by default."""
    config_defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Config fields that decide the model's size and may be left out of a `config.json`, with what they then mean."""


def _gpt(**fields: Any) -> Family:  # noqa: ANN401
    common = {
        "architecture": "decoder-only",
        "blocks": "h",
        "num_layers": "n_layer",
        "activation": "activation_function",
        "config_defaults": {"intermediate_size": None, "tie_word_embeddings": True},
    }
    return Family(**{**common, "max_positions": "n_positions", **fields})


def _t5(*, feed_forward: str, **fields: Any) -> Family:  # noqa: ANN401
    common = {"architecture": "encoder-decoder", "blocks": "block", "num_layers": "num_layers"}
    defaults = {"num_decoder_layers": None, "relative_attention_num_buckets": 32, "tie_word_embeddings": True}
    return Family(
        **{
            **common,
            "config_defaults": {**defaults, "feed_forward_proj": feed_forward},
            "activation": "dense_act_fn",
            "max_positions": None,
            "relative_bias": "block.0.layer.0.SelfAttention",
            "fused_attention": False,  # every head adds a bias of its own to its scores
            "overflows_in_float16": True,
            **fields,
        }
    )


FAMILIES: dict[str, Family] = {
    "gpt2": _gpt(position_embedding="wpe"),
    "gpt_neo": _gpt(
        num_layers="num_layers",
        max_positions="max_position_embeddings",
        position_embedding="wpe",
        sharing="cache",
        fused_attention=False,
    ),
    "gptj": _gpt(
        fused_attention=False,
        config_defaults={"intermediate_size": None, "tie_word_embeddings": False},
    ),
    "gpt_neox": _gpt(
        blocks="layers",
        num_layers="num_hidden_layers",
        activation="hidden_act",
        max_positions="max_position_embeddings",
        config_defaults={"tie_word_embeddings": False},
    ),
    "bloom": _gpt(
        activation="=gelu_pytorch_tanh",
        max_positions=None,
        limit_from_tokenizer=True,
        takes_positions=False,
        sharing="cache",
        fused_attention=False,
    ),
    "t5": _t5(feed_forward="relu", output_scaling="scale_decoder_outputs"),
    "mt5": _t5(feed_forward="gated-gelu"),
}


def find_family(model_type: object, name: str) -> Family:
    """Return the row of a model type.

    Raises:
        ConfigurationError: the family is not in the table.
    """
    if model_type not in FAMILIES:
        raise ConfigurationError(
            f"{name}: model type {model_type!r} is not supported; choose from {choices_text(tuple(FAMILIES))}"
        )
    return FAMILIES[str(model_type)]


_MODEL_FILES = (".json", ".safetensors", ".bin", ".txt", ".model")
"""Endings of the files that make up a model and its tokenizer."""
_TRAINING_FILES = ("training_args.bin", "trainer_state.json", "optimizer.bin", "scheduler.bin")
"""What training leaves beside them."""


_COMMON_NUM_LAYERS = "num_hidden_layers"
"""The name that transformers takes for every family's own."""


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What a model's config tells before its weights are loaded."""

    name: str
    family: Family
    num_layers: int
    """Blocks that a segment runs through; there is one more list of hidden states."""
    config: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The content of its `config.json`."""
    commit: str | None = None
    """Of a hub model, the one that its cache holds or the hub gives; None for a folder."""


def is_local(pretrained: str) -> bool:
    """Whether `pretrained=` names a folder rather than a model on the hub."""
    return Path(pretrained).expanduser().is_dir() or not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", pretrained)


def read_facts(pretrained: str, revision: str | None = None) -> ModelFacts:
    """Read a model's config and look its family up.

    Raises:
        ConfigurationError: the folder or its config is missing, the hub cannot give it, or the family is not supported.
    """
    path = _local_config(pretrained) if is_local(pretrained) else _hub_config(pretrained, revision)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        family = find_family(config.get("model_type"), pretrained)
        num_layers = int(config[family.num_layers if family.num_layers in config else _COMMON_NUM_LAYERS])
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{pretrained}: {path} is not a usable model config ({type(error).__name__}: {error})"
        ) from error
    if is_local(pretrained):
        _check_folder(pretrained, revision)
        return ModelFacts(name=pretrained, family=family, num_layers=num_layers, config=config)
    commit = path.parent.name if path.parent.parent.name == "snapshots" else None
    return ModelFacts(name=pretrained, family=family, num_layers=num_layers, config=config, commit=commit)


def _local_config(pretrained: str) -> Path:
    folder = Path(pretrained).expanduser()
    if not folder.is_dir():
        raise ConfigurationError(
            f"pretrained={pretrained}: no such model folder; give a folder with a config.json, or a hub name"
        )
    if not (folder / "config.json").is_file():
        raise ConfigurationError(f"pretrained={pretrained}: the folder has no config.json, so it holds no model")
    return folder / "config.json"


_WEIGHTS = ("*.safetensors", "*.bin")
_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "spiece.model", "vocab.*")


def _check_folder(pretrained: str, revision: str | None) -> None:
    """See that a model folder has what loading needs beside the config."""
    if revision is not None:
        raise ConfigurationError(
            f"revision={revision}: {pretrained} is a folder, and only models of the hub have revisions; leave it out"
        )
    for what, patterns in (("weights", _WEIGHTS), ("tokenizer", _TOKENIZERS)):
        found = (path for pattern in patterns for path in Path(pretrained).expanduser().glob(pattern))
        if all(path.name in _TRAINING_FILES for path in found):
            raise ConfigurationError(
                f"pretrained={pretrained}: the folder has no {what} ({choices_text(patterns)}); "
                f"save the {what} there with save_pretrained"
            )


def _hub_config(pretrained: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download, try_to_load_from_cache  # noqa: PLC0415  (only hub names need it)

    try:
        cached = try_to_load_from_cache(pretrained, "config.json", revision=revision)
        if isinstance(cached, str):
            return Path(cached)
        if (fault := answers(pretrained, "model", revision)) is not None:
            raise fault
        return Path(hf_hub_download(pretrained, "config.json", revision=revision))
    except Exception as error:
        raise ConfigurationError(
            f"pretrained={pretrained}: neither a local folder nor to be had from the model hub or its cache "
            f"({type(error).__name__}: {first_line(error)}); check the name and the network, or give a folder "
            "(scripts/prefetch.py fetches models while there is a network)"
        ) from error


@functools.lru_cache(maxsize=256)
def _content_fingerprint(files: tuple[tuple[Path, int, int], ...]) -> str:
    total = hashlib.sha256()
    for path, _, size in files:
        with path.open("rb") as stream:
            total.update(f"{path.name}:{size}:{_digest(stream)}\n".encode())
    return total.hexdigest()


def _digest(stream: Any) -> str:  # noqa: ANN401
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def model_identity(pretrained: str, revision: str | None) -> Mapping[str, str | None]:
    """Return what identifies a model: the content of a local folder's files, or the hub's name and revision.

    Raises:
        ConfigurationError: the folder or its config is missing.
    """
    if not is_local(pretrained):
        return {"hub": pretrained, "revision": revision}
    folder = _local_config(pretrained).parent
    files = sorted(
        path for path in folder.iterdir() if path.suffix in _MODEL_FILES and path.name not in _TRAINING_FILES
    )
    return {
        "content": _content_fingerprint(tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in files))
    }


def resolve_layer(
    layer: str | None, num_layers: int, key: str = "ENCODING_LAYER", name: str = "the model"
) -> int | Literal["E", "OE"]:
    """Return the index of a layer in the list of hidden states, or E or OE (SPEC §4.2).

    Args:
        layer: None, `middle`, an integer as text, `E` or `OE`.
        num_layers: the model's blocks; there are `num_layers + 1` hidden states.
        key: the setting's name, for the message.
        name: the model's.

    Raises:
        ConfigurationError: the index is outside the list.
    """
    if layer is None:
        return num_layers
    if layer == "middle":
        return (num_layers + 1) // 2
    if layer in ("E", "OE"):
        return layer  # type: ignore[return-value]
    index = int(layer)
    if not -(num_layers + 1) <= index <= num_layers:
        raise ConfigurationError(
            f"{key}={layer}: out of range; choose from {-(num_layers + 1)} to {num_layers}, middle or None, "
            f"for {name} has {num_layers} layers"
        )
    return index % (num_layers + 1)


def no_end_token(name: str, found: str = "none") -> str:
    """Return what to say of a model that has no end-of-text token where `no_context` needs one."""
    return (
        f"encoding_scheme=no_context: choices are scored behind the end-of-text token, but {name} has no usable one "
        f"(eos_token of the tokenizer, eos_token_id of the config: {found}); set one there, or choose another model"
    )


_TOKENIZERS_WITHOUT_DEFAULTS = ("PreTrainedTokenizerFast", "TokenizersBackend")
"""Classes of tokenizers that have no special tokens but those that their files state."""


def _states_no_end_token(facts: ModelFacts) -> bool:
    """Whether a folder's files rule out an end-of-text token; where they leave it open, loading will tell."""
    if not is_local(facts.name) or facts.config.get("eos_token_id", _UNSTATED) is not None:
        return False
    stated: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        try:
            stated.update(json.loads((Path(facts.name).expanduser() / name).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            continue
    return stated.get("tokenizer_class") in _TOKENIZERS_WITHOUT_DEFAULTS and stated.get("eos_token") is None


_UNSTATED = object()


def check_against_model(config: Any, facts: ModelFacts) -> None:  # noqa: ANN401
    """Check the settings that depend on the model.

    Raises:
        ConfigurationError: a layer out of range, ADD_POS without learned absolute positions, or no_context without an
            end-of-text token.
    """
    needs_end = not config.has_context and config.model == "dist_gen" and facts.family.architecture == "decoder-only"
    if needs_end and _states_no_end_token(facts):
        raise ConfigurationError(no_end_token(facts.name))
    resolve_layer(config.vectors.encoding_layer, facts.num_layers, "ENCODING_LAYER", facts.name)
    resolve_layer(config.vectors.out_encoding_layer, facts.num_layers, "OUT_ENCODING_LAYER", facts.name)
    if config.vectors.add_pos and facts.family.position_embedding is None:
        able = tuple(name for name, family in FAMILIES.items() if family.position_embedding)
        raise ConfigurationError(
            f"ADD_POS=True: {facts.name} has no learned absolute positions; choose a model of type {choices_text(able)}"
        )
