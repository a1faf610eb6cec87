"""The model and dataset hub: asked once whether it answers, so that else the cache is read at once and quietly."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

_TIMEOUT_S = 5
_SILENT_S = 30.0
"""For so long a hub that could not be reached is not asked again: a grid asks for every model."""
_silent: dict[str, tuple[float, Exception]] = {}
"""When, by which endpoint, and how a hub could not be reached."""
_ALWAYS_THERE = {"model": "config.json", "dataset": "README.md"}
"""A file that every repository of ours has."""


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return str(error).strip().partition("\n")[0]


def answers(repository: str, kind: Literal["model", "dataset"], revision: str | None = None) -> Exception | None:
    """Return None where the hub knows a repository, else the error: one question, no retries."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url  # noqa: PLC0415  (only hub names need it)
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    if constants.HF_HUB_OFFLINE:
        return ConnectionError("offline mode is on, HF_HUB_OFFLINE")
    since, silence = _silent.get(constants.ENDPOINT, (-_SILENT_S, None))
    if silence is not None and time.monotonic() - since < _SILENT_S:
        return silence
    url = hf_hub_url(repository, _ALWAYS_THERE[kind], repo_type=kind, revision=revision)
    try:
        get_hf_file_metadata(url, timeout=_TIMEOUT_S)
    except Exception as error:  # of the network, of the hub, of its client
        if not isinstance(error, HfHubHTTPError):
            _silent[constants.ENDPOINT] = time.monotonic(), error
        return error
    return None


def is_silent() -> bool:
    """Whether the hub could not be reached when it was last asked, or must not be asked."""
    from huggingface_hub import constants  # noqa: PLC0415

    since, _ = _silent.get(constants.ENDPOINT, (-_SILENT_S, None))
    return constants.HF_HUB_OFFLINE or time.monotonic() - since < _SILENT_S


@contextmanager
def offline() -> Iterator[None]:
    """Let what runs inside use the hub's cache alone, quietly."""
    import datasets.config  # noqa: PLC0415
    import huggingface_hub.constants  # noqa: PLC0415

    places: tuple[Any, ...] = (datasets.config, huggingface_hub.constants)
    before = [place.HF_HUB_OFFLINE for place in places]
    level = logging.getLogger("datasets").level
    logging.getLogger("datasets").setLevel(logging.ERROR)
    for place in places:
        place.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        logging.getLogger("datasets").setLevel(level)
        for place, value in zip(places, before, strict=True):
            place.HF_HUB_OFFLINE = value


@contextmanager
def hub_or_cache(repository: str, kind: Literal["model", "dataset"]) -> Iterator[None]:
    """Let what runs inside use the hub if it answers, and its cache alone if it doesn't."""
    with nullcontext() if answers(repository, kind) is None else offline():
        yield
