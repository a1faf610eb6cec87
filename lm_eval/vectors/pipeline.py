"""`Recipe`: how a configuration turns the vectors of segments into concept vectors of contexts (experiment §4)."""

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
    """Return the layer and reduction of the vectors that a configuration's contexts are made of."""
    vectors = config.vectors
    if not config.is_segmented:  # ordinary scoring, in terms of the experiment (experiment §5)
        return VectorSpec(model.num_layers if model.is_encoder_decoder else "E", _ALL_TOKENS)
    layer = vectors.context_layer.resolve(model.num_layers)
    return VectorSpec(layer, Reduction.of(vectors.context_aggregation, vectors.norm))


_ALL_TOKENS = Reduction(TokenAggregation("concat"))


@dataclass(frozen=True)
class Recipe:
    """How a configuration makes concept vectors; many configurations of a grid share one."""

    spec: VectorSpec
    """The layer and reduction of segments."""
    segment_agg: SegmentAggregation | None
    example_agg: ExampleAggregation | None
    norm: Norm | None

    @classmethod
    def of(cls, config: RunConfig, model: LanguageModel) -> "Recipe":
        """Return the recipe of a configuration."""
        vectors = config.vectors
        example_agg = (
            vectors.example_agg_scheme if vectors.example_agg_scheme == "mean" else None
        )  # soft_cluster is applied when choices are compared
        return cls(context_spec(config, model), vectors.segment_agg_scheme, example_agg, vectors.norm)

    def make(self, contexts: Sequence[Samples], vectors: Mapping[Segment, Vectors]) -> Contexts:
        """Return the concept vectors of contexts, given the vectors of their segments."""
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

    @property
    def shape(self) -> tuple[object, ...]:
        """What decides how many vectors a context becomes."""
        aggregation = self.spec.reduction.aggregation
        return aggregation.makes_one_vector, aggregation.chunk, self.segment_agg, self.example_agg

    def num_of_context(self, context: Samples) -> int:
        """Return how many concept vectors a context becomes."""
        if self.example_agg == "mean":
            return 1
        return len(context) if self.segment_agg == "mean" else sum(self._count(sample) for sample in context)

    def num_vectors(self, num_tokens: int) -> int:
        """Return how many vectors a segment of so many tokens becomes."""
        return self.spec.reduction.aggregation.num_vectors(num_tokens)

    def _count(self, sample: Sequence[Segment]) -> int:
        return sum(self.num_vectors(segment.num_kept) for segment in sample)
