"""Which GGUF file a configuration names: a path, the only one in a folder, one of several by `gguf_file=`."""

from pathlib import Path

from lm_eval.common.hub import answers
from lm_eval.common.text import say_cause
from lm_eval.config.checkpoint import Checkpoint
from lm_eval.errors import ConfigurationError

ENDING = ".gguf"


def names_gguf(pretrained: str) -> bool:
    """Whether `pretrained=` names a GGUF file rather than a folder or a model on the hub."""
    return pretrained.lower().endswith(ENDING) and not Path(pretrained).expanduser().is_dir()


def find_local(pretrained: str, checkpoint: Checkpoint) -> Path | None:
    """Return the GGUF file that a path or a folder names; None where the folder's other weights are meant.

    Raises:
        ConfigurationError: there is none of that name, or it leaves open which.
    """
    path, name = Path(pretrained).expanduser(), checkpoint.gguf_file
    if names_gguf(pretrained):
        if name is not None or checkpoint.subfolder is not None:
            raise ConfigurationError(
                f"pretrained={pretrained} names a file, so neither gguf_file nor subfolder can be given with it; leave "
                "them out, or give the folder"
            )
        return _existing(path, f"pretrained={pretrained}")
    folder = path / (checkpoint.subfolder or "")
    if name is not None:
        return _existing(folder / name, f"gguf_file={name}")
    names = sorted(file.name for file in folder.glob(f"*{ENDING}"))
    if not names or _is_checkpoint(folder):
        return None
    if len(names) > 1:
        raise ConfigurationError(
            f"pretrained={pretrained}: the folder holds {len(names)} GGUF files ({', '.join(names)}) and no other "
            f"weights; choose one by gguf_file={names[0]} in model_args, or by its path as pretrained"
        )
    return folder / names[0]


def _existing(path: Path, stated: str) -> Path:
    if path.is_file():
        return path
    beside = sorted(file.name for file in path.parent.glob(f"*{ENDING}"))
    known = f"{path.parent} has {', '.join(beside)}" if beside else f"{path.parent} has no {ENDING} files"
    raise ConfigurationError(f"{stated}: no such file; {known}")


def _is_checkpoint(folder: Path) -> bool:
    """Whether a folder holds a model of the usual form, beside which a GGUF file is but another one of it."""
    has_weights = any(next(folder.glob(pattern), None) for pattern in ("*.safetensors", "pytorch_model*.bin"))
    return has_weights and (folder / "config.json").is_file()


def find_cached(pretrained: str, revision: str | None, checkpoint: Checkpoint) -> Path | None:
    """Return the GGUF file of a hub model in the hub's cache; None where none is meant, or it isn't there."""
    if checkpoint.gguf_file is None:
        return None
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415  (only hub names need it)

    cached = try_to_load_from_cache(pretrained, name_on_hub(checkpoint), revision=revision)
    return Path(cached) if isinstance(cached, str) else None


def fetch_from_hub(pretrained: str, revision: str | None, checkpoint: Checkpoint) -> None:
    """Bring the GGUF file of a hub model into the hub's cache: it is config, tokenizer and weights in one.

    Raises:
        ConfigurationError: the hub cannot give it.
    """
    if find_cached(pretrained, revision, checkpoint) is not None:
        return
    from huggingface_hub import hf_hub_download  # noqa: PLC0415

    name = name_on_hub(checkpoint)
    try:
        if (fault := answers(pretrained, "model", revision, file=name)) is not None:
            raise fault
        hf_hub_download(pretrained, name, revision=revision)
    except Exception as error:
        raise ConfigurationError(
            f"pretrained={pretrained}: {name} is neither in the cache nor available from the model hub "
            f"({say_cause(error)}); check the names and the network, or give the file's path as pretrained"
        ) from error


def name_on_hub(checkpoint: Checkpoint) -> str:
    """Return the path of the GGUF file in a hub model's repository."""
    return "/".join(part for part in (checkpoint.subfolder, checkpoint.gguf_file) if part)
