"""One configuration at every layer of its model: what margins and walks are computed from, by one pass."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lm_eval.analysis.scores import MAIN_SETTINGS
from lm_eval.common.text import count_of, read_pairs
from lm_eval.config.layer import Layer, ResolvedLayer
from lm_eval.config.layer_lists import spread_layers, step_of
from lm_eval.config.run_config import SEED, RunConfig
from lm_eval.config.runtime import Execution
from lm_eval.errors import ConfigurationError
from lm_eval.inference.given import facts_of, take_given
from lm_eval.inference.loading import load_for
from lm_eval.models.compatibility import check_against_model
from lm_eval.models.info import ModelFacts, read_facts
from lm_eval.models.language_model import LanguageModel
from lm_eval.results.canonical_form import canonical
from lm_eval.results.identity import Resolver, Run
from lm_eval.scoring.run_pass import read_of
from lm_eval.tasks.base import FORM_OF_MODEL
from lm_eval.tasks.documents import Document
from lm_eval.tasks.registry import find_task, in_form
from lm_eval.tasks.yaml_tasks.build import SUFFIXES

Layers = str | Sequence[str | int]
"""`all`, `every N`, or a list of layers as `ENCODING_LAYER` names them."""
WHOLE = "concat_all_examples"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a call asks for, as text and plain values."""

    task: str
    model_args: str | Mapping[str, Any]
    task_args: str | Mapping[str, Any] | None = None
    num_fewshot: int = 0
    limit: str | int | None = None
    seed: int = SEED
    layers: Layers = "all"
    batch_size: str | int | None = None
    device: str | None = None

    @property
    def kind(self) -> str:
        """The test that its task belongs to.

        Raises:
            ConfigurationError: none of the two.
        """
        for kind in ("dist_gen", "dist_sim"):
            if self.task.endswith(SUFFIXES[FORM_OF_MODEL[kind]]):
                return kind
        raise ConfigurationError(
            f"task {self.task}: its name must end in _d (similarity) or _dg (generation); give one of these forms"
        )


@dataclass(frozen=True, kw_only=True)
class LayerRuns:
    """The runs of one configuration at the layers of its model."""

    model: LanguageModel
    execution: Execution
    runs: Sequence[Run]
    """One a layer."""
    layers: Sequence[ResolvedLayer]

    @classmethod
    def load(cls, asked: Asked, check: Callable[[Sequence[Document]], None] = lambda documents: None) -> "LayerRuns":  # noqa: ARG005
        """Resolve all runs, and load the model.

        Args:
            asked: the call.
            check: refuses documents, before the model is loaded.

        Raises:
            ConfigurationError: the call is wrong; nothing was computed.
        """
        kind = asked.kind
        plain_args, given = take_given(asked.model_args)
        pairs = dict(read_pairs(plain_args, "model_args"))
        if pairs.get("ENCODING_LAYER") is not None:
            raise ConfigurationError(
                f"ENCODING_LAYER={pairs['ENCODING_LAYER']}: a movement goes through the layers that `layers` names "
                "(all, every N, or a list); leave it out of model_args"
            )
        execution = Execution.parse(batch_size=asked.batch_size, device=asked.device, model_args=pairs)
        loaded = None if given is None else given.wrap(asked.device)
        first = _config_of(asked, kind, {**_main_settings(kind, "decoder-only"), **pairs})
        facts = facts_of(loaded) if loaded else read_facts(first.pretrained, first.revision, first.checkpoint)
        pairs = {**_main_settings(kind, facts.family.architecture), **pairs}
        layers = list_layers(asked.layers, facts.num_layers)
        runs = _resolve(
            [_config_of(asked, kind, {**pairs, "ENCODING_LAYER": layer}) for layer in layers], facts, loaded
        )
        check(runs[0].documents())
        model = loaded or load_for(runs[0].config, execution)
        return cls(model=model, execution=execution, runs=runs, layers=layers)

    @property
    def settings(self) -> str:
        """How all make their vectors, in words."""
        config = self.runs[0].config
        stated = {key: text for key, text in config.vectors.stated().items() if key != "ENCODING_LAYER"}
        shots = count_of(config.num_fewshot, "shot")
        return ", ".join([str(config.encoding_scheme), shots, *(f"{key}={text}" for key, text in stated.items())])


def list_layers(layers: Layers, num_layers: int) -> list[ResolvedLayer]:
    """Return the layers of a model, each once, from the token embeddings up.

    Args:
        layers: `all` are E and those of a grid's list, 0, 1, …; `every N` are E, 0, N, 2 N, …; or a list.
        num_layers: the model's blocks.

    Raises:
        ConfigurationError: neither of these, or a layer that the model doesn't have.
    """
    if isinstance(layers, str):
        names = [part.strip() for part in layers.split(",")]
        is_spread = [step_of(name, "ENCODING_LAYER") is not None for name in names]
        layers = [*(["E"] if any(is_spread) else []), *map(str, spread_layers(names, num_layers, "OUT_ENCODING_LAYER"))]
    if not layers:
        raise ConfigurationError("layers: none is named; give all, every N, or a list of layers")
    try:
        parsed = [Layer.parse(str(layer), "layers", ("middle", "E")) for layer in layers]
    except ConfigurationError as error:
        wrong = next(layer for layer in layers if not re.fullmatch(r"middle|E|-?\d+", str(layer)))
        raise ConfigurationError(
            f"layers: unknown value {wrong!r}; choose from all, every N, or a list of E, middle and integers"
        ) from error
    found = {layer.resolve(num_layers, "layers") for layer in parsed}
    return sorted(found, key=lambda layer: -1 if layer == "E" else int(layer))


def _main_settings(kind: str, architecture: str) -> dict[str, str]:
    """Return the settings of the paper's main configuration, but for the layer."""
    stated = MAIN_SETTINGS[kind, architecture].stated()
    return {key: text for key, text in stated.items() if key != "ENCODING_LAYER"}


def _config_of(asked: Asked, kind: str, pairs: Mapping[str, object]) -> RunConfig:
    task_args = {"encoding_scheme": WHOLE, **read_pairs(asked.task_args, "task_args")}
    return RunConfig.parse(
        model=kind,
        model_args=pairs,
        task=in_form(asked.task, kind),
        task_args=task_args,
        num_fewshot=asked.num_fewshot,
        limit=asked.limit,
        seed=asked.seed,
    )


def _resolve(configs: Sequence[RunConfig], facts: ModelFacts, loaded: LanguageModel | None) -> list[Run]:
    resolver, task = Resolver(), find_task(configs[0].model, configs[0].task, configs[0].include_path)
    runs = []
    for config in configs:
        check_against_model(config, facts)
        at_commit = replace(config, revision=facts.commit or config.revision)
        form = canonical(at_commit, task.dataset)
        runs.append(resolver.identify(at_commit, form, task, read=read_of(loaded) if loaded else None))
    return runs
