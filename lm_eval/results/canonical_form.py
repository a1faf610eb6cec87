"""The canonical form of configurations, equal where they compute the same numbers; keys of passes (experiment §6).

Only configurations that are equal for every document and model are merged. Knows nothing of results or identities.
"""

import functools
from dataclasses import fields, replace

from lm_eval.config.layer import LAST, OUTPUT_MATRIX
from lm_eval.config.run_config import RunConfig
from lm_eval.config.settings import VectorSettings
from lm_eval.tasks.base import Dataset


def canonical(config: RunConfig, dataset: Dataset) -> RunConfig:
    """Return the canonical form, which is the same for configurations that compute the same numbers (experiment §6).

    Of schemes that cut a context into the same segments the first in the table of experiment §3 is taken; aggregations
    of a single vector become None.

    Args:
        config: the configuration.
        dataset: its task's.
    """
    if not config.has_context:
        return _canonical_control(config)
    if not config.is_segmented:
        return config
    has_samples = has_several_samples(config, dataset)
    scheme = _canonical_scheme(config, dataset, has_samples=has_samples)
    vectors = _canonical_vectors(config.vectors, scheme, has_samples=has_samples)
    if (scheme, vectors) == (config.encoding_scheme, config.vectors):
        return config
    return replace(config, encoding_scheme=scheme, vectors=vectors)


def canonical_in_grid(config: RunConfig, dataset: Dataset) -> RunConfig:
    """Return the canonical form that a grid runs, without example aggregation where the query is the only example.

    The mean over segments is enough there (experiment §6).
    """
    vectors = config.vectors
    if config.is_segmented and vectors.example_agg_scheme is not None and not has_several_samples(config, dataset):
        config = replace(config, vectors=replace(vectors, example_agg_scheme=None))
    return canonical(config, dataset)


def has_several_samples(config: RunConfig, dataset: Dataset) -> bool:
    """Whether the context has more samples than the query: shots, or a description from the call or the task."""
    return bool(config.num_fewshot or config.description or dataset.has_description)


def _canonical_control(config: RunConfig) -> RunConfig:
    """Drop what concerns the context, as `no_context` has none: shots, description, and its share of the settings."""
    vectors = config.vectors
    if config.model == "dist_sim":
        aggregation, layer = vectors.choice_aggregation, vectors.choice_layer
        vectors = replace(
            vectors,
            word_agg_scheme=aggregation,
            out_word_agg_scheme=None,
            encoding_layer=None if layer in (LAST, OUTPUT_MATRIX) else layer,
            out_encoding_layer=layer if layer == OUTPUT_MATRIX else None,
            norm=vectors.norm if aggregation.takes_norm else None,
        )
    return replace(config, num_fewshot=0, description="", vectors=vectors)


def _canonical_scheme(config: RunConfig, dataset: Dataset, *, has_samples: bool) -> str:
    scheme = str(config.encoding_scheme)
    if has_samples:
        return scheme
    if scheme == "merge_all_segments":
        scheme = "segment_each_example"
    if scheme == "segment_each_example" and dataset.question_is_one_segment:
        scheme = "concat_each_example"
    return "concat_all_examples" if scheme == "concat_each_example" else scheme


@functools.lru_cache(maxsize=1 << 14)
def _canonical_vectors(vectors: VectorSettings, scheme: str, *, has_samples: bool) -> VectorSettings:
    aggregation = vectors.context_aggregation
    one_vector = aggregation.makes_one_vector
    # the mean of one vector normalises it again, which has no effect only if the norm is idempotent (experiment §4.5)
    norm_is_idle = vectors.norm is None or (aggregation.takes_norm and vectors.norm in ("L2", "varNorm"))
    segment_agg, example_agg = vectors.segment_agg_scheme, vectors.example_agg_scheme
    if scheme in ("concat_all_examples", "concat_each_example") and one_vector and norm_is_idle:
        segment_agg = None
    one_sample = scheme in ("concat_all_examples", "merge_all_segments") or not has_samples
    if (scheme == "concat_all_examples" and one_vector) or (one_sample and segment_agg == "mean"):
        example_agg = None
    return replace(
        vectors,
        out_word_agg_scheme=None if vectors.choice_aggregation == aggregation else vectors.out_word_agg_scheme,
        encoding_layer=None if vectors.context_layer == LAST else vectors.encoding_layer,
        out_encoding_layer=None if vectors.choice_layer == vectors.context_layer else vectors.out_encoding_layer,
        segment_agg_scheme=segment_agg,
        example_agg_scheme=example_agg,
        decoding_layer=vectors.entry_layer,
    )


def pass_key(config: RunConfig) -> tuple[object, ...]:
    """Return what decides the forward passes; configurations with equal keys can be evaluated together."""
    shared = tuple(getattr(config, item.name) for item in fields(config) if item.name != "vectors")
    return (*shared, config.vectors.add_pos)
