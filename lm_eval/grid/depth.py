"""Leaving out, of a grid, the layers that a model doesn't have; a layer that none of its models has is refused."""

from collections import defaultdict
from collections.abc import Mapping
from functools import cache

from lm_eval.common.text import short_name
from lm_eval.config.run_config import RunConfig
from lm_eval.config.settings import VectorSettings
from lm_eval.models.compatibility import check_against_model
from lm_eval.models.info import ModelFacts
from lm_eval.tasks.base import Task


def without_missing_layers(
    tasks: Mapping[RunConfig, Task], models: Mapping[str, ModelFacts]
) -> tuple[dict[RunConfig, Task], list[str]]:
    """Return the configurations whose layers their models have, and a line on each model of which some are left out.

    Args:
        tasks: the configurations of grids, each with its task.
        models: the facts of each model, by its name.

    Raises:
        ConfigurationError: a layer that no model has.
    """
    missing_layers = cache(lambda vectors, name: _missing_layers(vectors, models[name]))
    missing = {config: missing_layers(config.vectors, config.pretrained) for config in tasks}
    kept = {config: task for config, task in tasks.items() if not missing[config]}
    present = {pair for vectors in {config.vectors for config in kept} for pair in vectors.public().items()}
    left_out: dict[str, dict[str, None]] = defaultdict(dict)
    for config, lacking in missing.items():
        for key, text in lacking.items():
            if (key, text) not in present:
                check_against_model(config, models[config.pretrained])
            where = f" with ENCODING_LAYER={config.vectors.public()['ENCODING_LAYER']}" if text == "same" else ""
            left_out[config.pretrained][f"{key}={text}{where}"] = None
    with_runs = {config.pretrained for config in kept}
    return kept, [
        f"{short_name(name)} has {models[name].num_layers} blocks: left out {', '.join(layers)}"
        + ("" if name in with_runs else ", so that nothing is run on it")
        for name, layers in left_out.items()
    ]


def _missing_layers(vectors: VectorSettings, facts: ModelFacts) -> dict[str, str | None]:
    """Return, by the setting, the layers that a model doesn't have, as the settings state them."""
    depth = facts.num_layers
    layers = {"ENCODING_LAYER": vectors.context_layer, "OUT_ENCODING_LAYER": vectors.choice_layer}
    missing = [key for key, layer in layers.items() if not layer.is_in(depth)]
    entry = vectors.entry_layer
    if (
        not missing
        and entry is not None
        and facts.family.architecture == "decoder-only"
        and not (entry.is_in(depth) and entry.resolve(depth) != depth)
    ):
        missing.append("DECODING_LAYER")
    stated = vectors.public()
    return {key: stated[key] for key in missing if stated[key] is not None}
