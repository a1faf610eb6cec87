"""What a model's files say before its weights are loaded: config, family, commit, content; and the checks of them.

Knows nothing of torch, so that a grid can be checked before anything heavy is imported.
"""

import importlib.util
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lm_eval.common.digests import digest_of
from lm_eval.common.file_state import states_of
from lm_eval.common.hub import answers
from lm_eval.common.text import say_cause
from lm_eval.config.checkpoint import PLAIN, Checkpoint
from lm_eval.errors import ConfigurationError, MissingModelError
from lm_eval.models.content import hash_files
from lm_eval.models.families import Family, find_family
from lm_eval.models.gguf.configs import config_of
from lm_eval.models.gguf.find import fetch_from_hub, find_cached, find_local, names_gguf
from lm_eval.models.gguf.header import read_header
from lm_eval.models.gguf.vocabulary import check_tokenizer
from lm_eval.models.readable import MODEL_FILES, TRAINING_FILES, refuse_unreadable
from lm_eval.models.text_borders import TextBorders
from lm_eval.models.tokenizer_needs import VOCABULARIES, fetch_tokenizer, what_environment_lacks, what_tokenizer_lacks

_COMMON_NUM_LAYERS = "num_hidden_layers"
"""The name that transformers takes for every family's own."""


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What a model's config says before its weights are loaded."""

    name: str
    family: Family
    num_layers: int
    """Blocks that a segment runs through; there is one more list of hidden states."""
    config: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The content of its `config.json`."""
    commit: str | None = None
    """Of a hub model, the one that its cache holds or the hub gives; None for a folder."""
    parameters: int | None = None
    """Where a file's header tells; otherwise its config does, see `models.size`."""
    borders: TextBorders | None = None
    """Of the tokenizer, where that is loaded already."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """The fields of the stack that reads text."""
        fields: Mapping[str, Any] = (
            self.config if self.family.section is None else self.config.get(self.family.section, {})
        )
        return fields


def is_local(pretrained: str) -> bool:
    """Whether `pretrained=` names a folder or a GGUF file rather than a model on the hub."""
    try:
        is_name = re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", pretrained) and not names_gguf(pretrained)
        return Path(pretrained).expanduser().is_dir() or not is_name
    except PermissionError:  # of a folder above it
        return True


def read_facts(pretrained: str, revision: str | None = None, checkpoint: Checkpoint = PLAIN) -> ModelFacts:
    """Read a model's config and look its family up.

    Args:
        pretrained: hub name or local folder.
        revision: branch, tag or commit on the hub.
        checkpoint: what else is loaded.

    Raises:
        ConfigurationError: the folder or its config is missing, the hub cannot give it, or it scores no text.
    """
    local = is_local(pretrained)
    _check_readable(pretrained, checkpoint)
    _check_beside(checkpoint)
    if not local and checkpoint.gguf_file is not None:
        fetch_from_hub(pretrained, revision, checkpoint)
    if (gguf := gguf_of(pretrained, revision, checkpoint)) is not None:
        return _read_gguf(pretrained, gguf, revision, checkpoint)
    path = _local_config(pretrained, checkpoint) if local else _hub_config(pretrained, revision, checkpoint.subfolder)
    try:
        config = _as_object(json.loads(path.read_text(encoding="utf-8")))
        family = find_family(config, pretrained)
        fields = config if family.section is None else config.get(family.section, config)
        num_layers = int(fields[family.num_layers if family.num_layers in fields else _COMMON_NUM_LAYERS])
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{pretrained}: {path} is not a usable model config ({type(error).__name__}: {error})"
        ) from error
    if local:
        _check_folder(pretrained, path.parent, revision, needs_tokenizer=checkpoint.tokenizer is None)
    elif checkpoint.tokenizer is None:
        _refuse_if(what_environment_lacks(path.parent), f"pretrained={pretrained}")
    return ModelFacts(
        name=pretrained, family=family, num_layers=num_layers, config=config, commit=None if local else _commit(path)
    )


def gguf_of(pretrained: str, revision: str | None, checkpoint: Checkpoint) -> Path | None:
    """Return the GGUF file that a model is loaded from; None where it is of the usual form, or not fetched yet.

    Raises:
        ConfigurationError: a local file or folder has none of the name, or leaves open which.
    """
    return find_local(pretrained, checkpoint) if is_local(pretrained) else find_cached(pretrained, revision, checkpoint)


def _read_gguf(pretrained: str, path: Path, revision: str | None, checkpoint: Checkpoint) -> ModelFacts:
    """Return what the header of a GGUF file says."""
    local = is_local(pretrained)
    if local and revision is not None:
        raise ConfigurationError(
            f"revision={revision}: {pretrained} is local, and only models of the hub have revisions; leave it out"
        )
    if checkpoint.is_quantised:
        raise ConfigurationError(
            f"pretrained={pretrained}: a GGUF file's weights are decoded when they are loaded, and not quantised "
            "again; leave load_in_8bit and load_in_4bit out"
        )
    header = read_header(path)
    config = config_of(header)
    if checkpoint.tokenizer is None:
        check_tokenizer(header)
    family = find_family(config, pretrained)
    return ModelFacts(
        name=pretrained, family=family, num_layers=int(config[family.num_layers]), config=config,
        commit=None if local else _commit(path), parameters=header.parameters,
    )  # fmt: skip


def _check_readable(pretrained: str, checkpoint: Checkpoint) -> None:
    for key, name in (("pretrained", pretrained), ("tokenizer", checkpoint.tokenizer), ("peft", checkpoint.peft)):
        if name is not None and is_local(name):
            inner = checkpoint.subfolder if key == "pretrained" else None
            refuse_unreadable(f"{key}={name}", Path(name).expanduser() / (inner or ""))


def _as_object(content: object) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise TypeError("no object, as configs are")
    return content


def _commit(path: Path) -> str | None:
    """Return the commit of a file in the hub's cache."""
    return next((folder.name for folder in path.parents if folder.parent.name == "snapshots"), None)


def _local_config(pretrained: str, checkpoint: Checkpoint) -> Path:
    folder = Path(pretrained).expanduser()
    if not folder.is_dir():
        raise ConfigurationError(
            f"pretrained={pretrained}: no such model folder; give a folder with a config.json, a GGUF file, or a hub "
            "name"
        )
    path = folder / (checkpoint.subfolder or "") / "config.json"
    if not path.is_file():
        where = "the folder" if checkpoint.subfolder is None else f"its subfolder={checkpoint.subfolder}"
        raise ConfigurationError(f"pretrained={pretrained}: {where} has no config.json, so it holds no model")
    return path


def _check_beside(checkpoint: Checkpoint) -> None:
    """See that folders named beside the model are there and hold what they are named for."""
    for key, marks in (("tokenizer", (*VOCABULARIES, "tokenizer_config.json")), ("peft", ("adapter_config.json",))):
        name = getattr(checkpoint, key)
        if name is not None and is_local(name) and not _holds(Path(name).expanduser(), marks):
            raise ConfigurationError(
                f"{key}={name}: no such folder, or it has none of {', '.join(marks)}; give a folder that "
                "save_pretrained wrote, or a hub name"
            )
    if checkpoint.tokenizer is not None and is_local(checkpoint.tokenizer):
        _refuse_if(what_tokenizer_lacks(Path(checkpoint.tokenizer).expanduser()), f"tokenizer={checkpoint.tokenizer}")
    if checkpoint.is_quantised and importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigurationError(
            "load_in_8bit and load_in_4bit need the package bitsandbytes; run pip install bitsandbytes"
        )


def _holds(folder: Path, patterns: Sequence[str]) -> bool:
    """Whether a folder has a file of any of the names, other than what training leaves."""
    files = (path for pattern in patterns for path in folder.glob(pattern))
    return any(path.name not in TRAINING_FILES for path in files)


_WEIGHTS = ("*.safetensors", "*.bin")


def _check_folder(pretrained: str, folder: Path, revision: str | None, *, needs_tokenizer: bool) -> None:
    """See that a model folder has what loading needs beside the config."""
    if revision is not None:
        raise ConfigurationError(
            f"revision={revision}: {pretrained} is a folder, and only models of the hub have revisions; leave it out"
        )
    if not _holds(folder, _WEIGHTS):
        raise ConfigurationError(
            f"pretrained={pretrained}: the folder has no weights ({', '.join(_WEIGHTS)}); "
            "save the weights there with save_pretrained"
        )
    if needs_tokenizer:
        _refuse_if(what_tokenizer_lacks(folder), f"pretrained={pretrained}")


def _refuse_if(fault: str | None, where: str) -> None:
    if fault is not None:
        raise ConfigurationError(f"{where}: {fault}")


def _hub_config(pretrained: str, revision: str | None, subfolder: str | None) -> Path:
    from huggingface_hub import hf_hub_download, try_to_load_from_cache  # noqa: PLC0415  (only hub names need it)

    name = "config.json" if subfolder is None else f"{subfolder}/config.json"
    try:
        cached = try_to_load_from_cache(pretrained, name, revision=revision)
        if isinstance(cached, str):
            return Path(cached)
        if (fault := answers(pretrained, "model", revision)) is not None:
            raise fault
        path = Path(hf_hub_download(pretrained, name, revision=revision))
        fetch_tokenizer(pretrained, revision, subfolder)
    except Exception as error:
        raise MissingModelError(
            pretrained,
            say_cause(error),
            f"pretrained={pretrained}: neither a local folder nor available from the model hub or its cache "
            f"({say_cause(error)}); check the name and the network, or give a folder "
            "(scripts/prefetch.py fetches models while there is a network)",
        ) from error
    return path


def model_identity(pretrained: str, revision: str | None, checkpoint: Checkpoint = PLAIN) -> Mapping[str, Any]:
    """Return what identifies a model: the content of local files, or the hub's name and revision.

    What else is loaded beside it is identified in the same way, and only where there is something.

    Raises:
        ConfigurationError: the folder or its config is missing.
    """
    beside: dict[str, Any] = {}
    for key in ("tokenizer", "peft"):
        if (name := getattr(checkpoint, key)) is not None:
            beside[key] = _folder_content(Path(name).expanduser()) if is_local(name) else name
    if checkpoint.is_quantised:
        beside["bits"] = checkpoint.bits
    if is_local(pretrained):
        if (gguf := gguf_of(pretrained, revision, checkpoint)) is not None:
            return {"gguf": digest_of(*states_of([gguf])), **beside}
        folder = _local_config(pretrained, checkpoint).parent
        return {"content": _folder_content(folder, with_code=checkpoint.trust_remote_code), **beside}
    for key in ("subfolder", "gguf_file"):
        if (name := getattr(checkpoint, key)) is not None:
            beside[key] = name
    if checkpoint.trust_remote_code:
        beside["trust_remote_code"] = True
    return {"hub": pretrained, "revision": revision, **beside}


def _folder_content(folder: Path, *, with_code: bool = False) -> str:
    return hash_files(states_of(_files_of(folder, with_code=with_code)), folder)


def _files_of(folder: Path, *, with_code: bool = False) -> list[Path]:
    """Return the files that make up a model, an adapter or a tokenizer, those in subfolders that an index names too."""
    endings = (*MODEL_FILES, ".py") if with_code else MODEL_FILES
    files = {path for path in folder.iterdir() if path.suffix in endings and path.name not in TRAINING_FILES}
    for index in folder.glob("*.index.json"):
        with suppress(ValueError, AttributeError, TypeError):  # loading will say what is wrong with it
            names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            files |= {folder / name for name in names if (folder / name).is_file()}
    return sorted(files)


def files_of_model(pretrained: str, checkpoint: Checkpoint = PLAIN) -> list[Path]:
    """Return all local files that `model_identity` covers.

    Raises:
        ConfigurationError: the folder or its config is missing.
        OSError: a folder has gone meanwhile.
    """
    beside = [Path(name).expanduser() for name in (checkpoint.tokenizer, checkpoint.peft) if name and is_local(name)]
    files = [path for folder in beside for path in _files_of(folder)]
    if is_local(pretrained):
        if (gguf := gguf_of(pretrained, None, checkpoint)) is not None:
            return [*files, gguf]
        folder = _local_config(pretrained, checkpoint).parent
        files += _files_of(folder, with_code=checkpoint.trust_remote_code)
    return files
