"""How a configuration makes concept vectors of the segments of contexts (experiment §4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from lm_eval.config.run_config import RunConfig
from lm_eval.config.settings import ExampleAggregation, Norm, SegmentAggregation
from lm_eval.config.token_aggregation import TokenAggregation
from lm_eval.models.language_model import LanguageModel
from lm_eval.vectors.aggregation import Contexts, Reduction, aggregate_contexts
from lm_eval.vectors.spec import Samples, Segment, Vectors, VectorSpec


def context_spec(config: RunConfig, model: LanguageModel) -> VectorSpec:
    """Return which vectors of a segment a configuration's contexts are made of."""
    vectors = config.vectors
    if not config.is_segmented:  # the ordinary way, said in the terms of the experiment (experiment §5)
        return VectorSpec(model.num_layers if model.is_encoder_decoder else "E", _AS_THEY_ARE)
    layer = vectors.context_layer.resolve(model.num_layers)
    return VectorSpec(layer, Reduction.of(vectors.context_aggregation, vectors.norm))


_AS_THEY_ARE = Reduction(TokenAggregation("concat"))


@dataclass(frozen=True)
class Recipe:
    """How a configuration makes concept vectors; many configurations of a grid share one."""

    spec: VectorSpec
    """Which vectors of a segment."""
    segment_agg: SegmentAggregation | None
    example_agg: ExampleAggregation | None
    norm: Norm | None

    @classmethod
    def of(cls, config: RunConfig, model: LanguageModel) -> "Recipe":
        """Return the recipe of a configuration."""
        vectors = config.vectors
        example_agg = vectors.example_agg_scheme if vectors.example_agg_scheme == "mean" else None  # soft_cluster waits
        return cls(context_spec(config, model), vectors.segment_agg_scheme, example_agg, vectors.norm)

    def make(self, contexts: Sequence[Samples], vectors: Mapping[Segment, Vectors]) -> Contexts:
        """Return the concept vectors of contexts, from those of their segments."""
        samples = [sample for context in contexts for sample in context]
        matrix = torch.cat([vectors[segment][self.spec] for sample in samples for segment in sample])
        counts = [self._count(sample) for sample in samples]
        return aggregate_contexts(
            matrix,
            torch.tensor(counts),
            torch.tensor([len(context) for context in contexts]),
            segment_agg=self.segment_agg,
            example_agg=self.example_agg,
            norm=self.norm,
        )

    def num_vectors(self, num_tokens: int) -> int:
        """Return how many vectors a segment of so many tokens becomes."""
        return self.spec.reduction.aggregation.num_vectors(num_tokens)

    def _count(self, sample: Sequence[Segment]) -> int:
        return sum(self.num_vectors(len(segment.tokens)) for segment in sample)
