"""What the analysis knows of models without loading them: architecture, and how many blocks they have."""

import contextlib
import functools
import json
import re
from pathlib import Path

from lm_eval.common.text import short_name
from lm_eval.errors import ConfigurationError
from lm_eval.models.families import Architecture, find_family
from lm_eval.models.info import is_local, read_facts
from lm_eval.models.model_list import DEMO_MODELS, ListedModel, read_model_list


@functools.cache
def architecture_of(pretrained: str) -> Architecture:
    """Return a model's architecture: by the list of models, its folder or, last, its name."""
    listed = _listed().get(pretrained)
    if listed is not None:
        return listed.architecture
    last = short_name(pretrained)
    if last in DEMO_MODELS:
        return DEMO_MODELS[last]
    with contextlib.suppress(ConfigurationError, OSError, ValueError, KeyError, TypeError):  # on another machine
        config = json.loads((Path(pretrained).expanduser() / "config.json").read_text(encoding="utf-8"))
        return find_family(config, pretrained).architecture
    return "encoder-decoder" if re.search(r"(^|[-_])(m?t[05]|ul2)", last, re.IGNORECASE) else "decoder-only"


@functools.cache
def num_layers_of(pretrained: str) -> int | None:
    """Return how many blocks a segment runs through: by the list of models or the model's folder; None: unknown."""
    listed = _listed().get(pretrained)
    if listed is not None:
        return listed.num_layers
    with contextlib.suppress(ConfigurationError, OSError):  # on another machine
        return read_facts(pretrained).num_layers if is_local(pretrained) else None
    return None


@functools.cache
def _listed() -> dict[str, ListedModel]:
    return {model.name: model for model in read_model_list()}
