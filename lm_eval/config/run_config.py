"""`RunConfig`: everything that decides a result, checked before any work starts (experiment §1, §6, §7).

Knows nothing of tensors, files or results; rules of a task or a model family are checked in their modules.
"""

import functools
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from lm_eval.common.text import count_of, did_you_mean, format_pairs, read_pairs, short_name
from lm_eval.config.checkpoint import CHECKPOINT_KEYS, Checkpoint
from lm_eval.config.limit import Limit
from lm_eval.config.settings import SETTING_NAMES, SETTINGS, SIMILARITIES, VectorSettings
from lm_eval.config.token_aggregation import SINGLE_VECTOR_AGGREGATIONS, TOKEN_AGGREGATIONS
from lm_eval.errors import ConfigurationError

MODEL_KINDS = ("dist_sim", "dist_gen", "hf")
MODEL_KIND_ALIASES = {"gpt2": "hf"}

ENCODING_SCHEMES = (
    "concat_all_examples",
    "concat_each_example",
    "segment_each_example",
    "merge_all_segments",
    "sentence_level_segmentation",
    "cross_encoding",
    "no_context",
)
NO_CONTEXT = "no_context"
"""The control: choices are scored without any context, so that shots and description have no effect."""
SEGMENTING_SCHEMES = tuple(scheme for scheme in ENCODING_SCHEMES if scheme not in ("cross_encoding", NO_CONTEXT))
"""The schemes that cut a context into segments."""
_SIMILARITY_SCHEMES = (*SEGMENTING_SCHEMES, NO_CONTEXT)
"""The schemes for `dist_sim`, which give vectors to compare."""
SEED = 42
"""Of the order of documents and shots, as in the published study (experiment §2)."""
DTYPES = ("float32", "float16", "bfloat16")

MODEL_KEYS = ("pretrained", "revision", "dtype")
EXECUTION_KEYS = ("device_map",)
"""Keys of `model_args` about execution, read by `lm_eval.config.runtime`; no part of a configuration."""


TASK_KEYS = ("encoding_scheme", "data_dir", "include_path")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One configuration: everything that decides a result (experiment §1)."""

    model: str
    """dist_sim, dist_gen or hf (ordinary log-likelihood scoring)."""
    pretrained: str
    """A name on the model hub, a local folder or a GGUF file."""
    task: str
    """A task's name, see `lm_eval.tasks.registry.TASKS`."""
    encoding_scheme: str | None = None
    """How a context is cut (experiment §3); None only for `hf`."""
    num_fewshot: int = 0
    """Shots in a context."""
    limit: Limit = field(default_factory=Limit)
    """Slice of the shuffled documents."""
    vectors: VectorSettings = field(default_factory=VectorSettings)
    """Aggregations, layers, similarity."""
    revision: str | None = None
    """Branch, tag or commit of a hub model."""
    dtype: str | None = None
    """float32, float16 or bfloat16; None lets the hardware decide."""
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    """How the checkpoint is loaded."""
    data_dir: str | None = None
    """Folder with `<task>/<split>.jsonl` (or Parquet, or saved datasets) to read in place of the hub."""
    include_path: str | None = None
    """Folder with the user's task files; their content decides the result, not the path."""
    description: str = ""
    """Text before the shots."""
    seed: int = SEED
    """Decides the order of the documents and their shots."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", MODEL_KIND_ALIASES.get(self.model, self.model))
        if self.model not in MODEL_KINDS:
            valid = (*MODEL_KINDS, *MODEL_KIND_ALIASES)
            raise ConfigurationError(f"unknown model {self.model!r}; choose from {', '.join(valid)}")
        if not self.pretrained:
            raise ConfigurationError("model_args: pretrained= is missing; give a hub name or a local folder")
        for key in ("pretrained", "data_dir", "include_path"):
            if "," in (getattr(self, key) or ""):
                raise ConfigurationError(
                    f"{key}: {getattr(self, key)!r} contains a comma, which separates settings; rename it"
                )
        if type(self.num_fewshot) is not int or self.num_fewshot < 0:
            raise ConfigurationError(f"num_fewshot must be a non-negative integer, got {self.num_fewshot!r}")
        if type(self.seed) is not int or not 0 <= self.seed < 2**63:
            raise ConfigurationError(f"seed must be an integer from 0 to 2**63 - 1, got {self.seed!r}")
        if self.dtype is not None and self.dtype not in DTYPES:
            raise ConfigurationError(f"dtype: unknown value {self.dtype!r}; choose from {', '.join(DTYPES)}")
        if self.encoding_scheme is not None and self.encoding_scheme not in ENCODING_SCHEMES:
            hint = did_you_mean(self.encoding_scheme, ENCODING_SCHEMES)
            raise ConfigurationError(
                f"unknown encoding scheme {self.encoding_scheme!r}{hint}; choose from {', '.join(ENCODING_SCHEMES)}"
            )
        _CHECKS[self.model](self)

    @property
    def model_name(self) -> str:
        """The short name of its model."""
        return short_name(self.pretrained)

    @property
    def is_segmented(self) -> bool:
        """Whether contexts are cut into segments and become concept vectors."""
        return self.encoding_scheme in SEGMENTING_SCHEMES

    @property
    def has_context(self) -> bool:
        """Whether choices are scored against a context; the control `no_context` has none."""
        return self.encoding_scheme != NO_CONTEXT

    @property
    def slice_name(self) -> str:
        """Which documents it scores, as the flags say it: the limit, with the seed where it isn't the usual one."""
        return str(self.limit) if self.seed == SEED else f"{self.limit} --seed {self.seed}"

    def model_args(self) -> str:
        """Return the `model_args` string of a result file (experiment §7)."""
        has_vectors = self.is_segmented or self.model == "dist_sim"
        stated = {
            key: text
            for key, text in self.vectors.public().items()
            if text is not None or (has_vectors and SETTINGS[key].always_stated)
        }
        named = {key: getattr(self, key) for key in MODEL_KEYS if getattr(self, key) is not None}
        return format_pairs({**stated, **named, **self.checkpoint.stated()})

    def task_args(self) -> str:
        """Return the `task_args` string of a result file (experiment §7)."""
        return format_pairs({key: getattr(self, key) for key in TASK_KEYS if getattr(self, key) is not None})

    @classmethod
    def parse(  # noqa: PLR0913  (a flag of the command line each)
        cls,
        *,
        model: str,
        model_args: str | Mapping[str, object],
        task: str,
        task_args: str | Mapping[str, object] | None,
        num_fewshot: int,
        limit: str | int | None = None,
        description: str = "",
        seed: int = SEED,
    ) -> "RunConfig":
        """Build a configuration from the texts of the command line or a result file, or from keywords.

        Args:
            model: dist_sim, dist_gen or hf.
            model_args: `KEY=value,KEY=value`, or the same as keywords: the model, and the settings of experiment §4.
            task: a task's name.
            task_args: `KEY=value,KEY=value`, or the same as keywords: encoding_scheme, data_dir, include_path.
            num_fewshot: shots in a context.
            limit: N or START:END.
            description: text before the shots.
            seed: of the order of documents and shots.

        Raises:
            ConfigurationError: an unknown key or value, or settings that don't go together.
        """
        of_model = (_known_model_args if isinstance(model_args, str) else _read_model_args)(model_args)
        of_task = (_read_task_args if isinstance(task_args, Mapping) else _known_task_args)(task_args)
        return cls(
            model=model,
            task=task,
            num_fewshot=num_fewshot,
            limit=Limit.parse(limit),
            description=description,
            seed=seed,
            **of_model,
            **of_task,
        )


def _read_model_args(model_args: str | Mapping[str, object]) -> Mapping[str, Any]:
    """Return the fields of a configuration that `model_args` states."""
    pairs = _read(model_args, "model_args", (*MODEL_KEYS, *CHECKPOINT_KEYS, *EXECUTION_KEYS, *SETTING_NAMES))
    return {
        "pretrained": pairs.get("pretrained") or "",
        "vectors": VectorSettings.parse(**{key: text for key, text in pairs.items() if key in SETTINGS}),
        "revision": pairs.get("revision"),
        "dtype": pairs.get("dtype"),
        "checkpoint": Checkpoint.pick(pairs),
    }


def _read_task_args(task_args: str | Mapping[str, object] | None) -> Mapping[str, Any]:
    """Return the fields of a configuration that `task_args` states."""
    return _read(task_args, "task_args", TASK_KEYS)


_known_model_args = functools.lru_cache(maxsize=1 << 14)(_read_model_args)
_known_task_args = functools.lru_cache(maxsize=1 << 10)(_read_task_args)
"""Texts that were read already: the results of a grid state the same many times."""


def _read(settings: str | Mapping[str, object] | None, what: str, valid: tuple[str, ...]) -> dict[str, str | None]:
    pairs = read_pairs(settings, what)
    if unknown := [key for key in pairs if key not in valid]:
        near = did_you_mean(unknown[0], valid)
        raise ConfigurationError(f"{what}: unknown key {', '.join(unknown)}{near}; choose from {', '.join(valid)}")
    return pairs


_OF_GENERATION = frozenset(key for key, setting in SETTINGS.items() if setting.only == "dist_gen")
_OF_SIMILARITY = frozenset(key for key, setting in SETTINGS.items() if setting.only == "dist_sim")
_OF_CONTEXTS = frozenset(key for key, setting in SETTINGS.items() if setting.needs_context)
_OF_VECTORS = frozenset(key for key, setting in SETTINGS.items() if setting.needs_vectors)


def _refuse_set(config: RunConfig, keys: Set[str], why: str) -> None:
    stated = config.vectors.stated()
    if keys & stated.keys():
        wrong = {key: text for key, text in stated.items() if key in keys}
        raise ConfigurationError(f"{format_pairs(wrong)}: {why}; leave it out or set it to None")


def _require_scheme(config: RunConfig, schemes: tuple[str, ...]) -> None:
    if config.encoding_scheme is None:
        raise ConfigurationError(
            f"task_args: encoding_scheme= is missing for {config.model}; choose from {', '.join(schemes)}"
        )


def _require_token_aggregation(config: RunConfig, aggregations: tuple[str, ...]) -> None:
    if config.vectors.word_agg_scheme is None:
        raise ConfigurationError(
            f"model_args: WORD_AGG_SCHEME= is missing for {config.model}; choose from {', '.join(aggregations)}"
        )


def _check_similarity(config: RunConfig) -> None:
    vectors = config.vectors
    _require_scheme(config, _SIMILARITY_SCHEMES)
    if config.encoding_scheme == "cross_encoding":
        raise ConfigurationError(
            "encoding_scheme=cross_encoding: dist_sim compares vectors of segments, so it needs another scheme; "
            f"choose from {', '.join(_SIMILARITY_SCHEMES)}"
        )
    _require_token_aggregation(config, SINGLE_VECTOR_AGGREGATIONS)
    schemes = {"WORD_AGG_SCHEME": vectors.word_agg_scheme, "OUT_WORD_AGG_SCHEME": vectors.out_word_agg_scheme}
    for key, scheme in schemes.items():
        if scheme is not None and not scheme.makes_one_vector:
            *others, final = SINGLE_VECTOR_AGGREGATIONS
            valid = f"{', '.join(others)} or {final}"
            raise ConfigurationError(f"{key}={scheme}: several vectors a segment are for dist_gen only; choose {valid}")
    if vectors.similarity_func is None:
        raise ConfigurationError(
            f"model_args: SIMILARITY_FUNC= is missing for dist_sim; choose from {', '.join(SIMILARITIES)}"
        )
    _refuse_set(config, _OF_GENERATION, "dist_sim decodes nothing")
    if not config.has_context:
        _refuse_set(config, _OF_CONTEXTS, "no_context has no segments, examples or places in a context")


def _check_generation(config: RunConfig) -> None:
    _require_scheme(config, ENCODING_SCHEMES)
    if not config.is_segmented:
        _refuse_set(config, _OF_VECTORS, f"{config.encoding_scheme} aggregates nothing")
        return
    _require_token_aggregation(config, TOKEN_AGGREGATIONS)
    _refuse_set(config, _OF_SIMILARITY, "this setting is for dist_sim only")
    if config.vectors.example_agg_scheme == "soft_cluster":
        raise ConfigurationError("EXAMPLE_AGG_SCHEME=soft_cluster is for dist_sim only; choose from None, mean")
    if config.vectors.decoding_scheme is not None:
        _refuse_set(config, {"DECODING_LAYER"}, "attention without parameters has no layers to enter")


def _check_plain(config: RunConfig) -> None:
    _refuse_set(config, SETTINGS.keys(), "hf scores text in the ordinary way and aggregates nothing")
    if config.encoding_scheme is not None:
        raise ConfigurationError("encoding_scheme= is for dist_sim and dist_gen; hf scores the whole text")


_CHECKS = {"dist_sim": _check_similarity, "dist_gen": _check_generation, "hf": _check_plain}


def describe(config: RunConfig) -> str:
    """Return a configuration in one line."""
    stated = " ".join(f"{key}={text}" for key, text in config.vectors.stated().items())
    limit = "" if str(config.limit) == "None" else f"limit={config.limit}"
    seed = "" if config.seed == SEED else f"seed={config.seed}"
    parts = (
        config.task,
        config.model_name,
        config.encoding_scheme or config.model,
        count_of(config.num_fewshot, "shot"),
        stated,
        limit,
        seed,
    )
    return ", ".join(part for part in parts if part)
