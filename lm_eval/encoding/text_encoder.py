"""`lm_eval.encode`: concept vectors of arbitrary texts, for work outside the harness (experiment §4).

Texts are encoded like the contexts of both tests; there are only no questions and choices.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from transformers import PreTrainedModel

from lm_eval.common.progress import DocumentProgress
from lm_eval.common.text import read_pairs, say_cut
from lm_eval.config.checkpoint import CHECKPOINT_KEYS
from lm_eval.config.run_config import EXECUTION_KEYS, MODEL_KEYS, RunConfig
from lm_eval.config.runtime import Execution
from lm_eval.config.settings import SETTING_NAMES
from lm_eval.contexts.special_tokens import FrontTokens, tokenize_segments
from lm_eval.contexts.streaming import tokenised_ahead, windows
from lm_eval.contexts.truncation import SegmentPlacer
from lm_eval.encoding.texts import WHOLE, Form, Text, check_form, cut_text, form_of, gives_one_vector, make_encoding
from lm_eval.errors import ConfigurationError
from lm_eval.inference.batching import Batcher
from lm_eval.inference.encoder import SegmentEncoder
from lm_eval.inference.given import facts_of, take_given
from lm_eval.inference.interventions import find_interventions
from lm_eval.inference.loading import load_for
from lm_eval.inference.memory import choose_budget
from lm_eval.inference.speedups import fast
from lm_eval.models.compatibility import check_against_model
from lm_eval.models.info import model_identity, read_facts
from lm_eval.models.language_model import LanguageModel, dtype_name
from lm_eval.vectors.pipeline import Recipe
from lm_eval.vectors.spec import Samples

logger = logging.getLogger(__name__)

_KEPT_BYTES = 1 << 28
"""Bytes of segment vectors that are kept for later windows, as segments may repeat."""

Vectors = Float[np.ndarray, "dim"] | Float[np.ndarray, "vector dim"]


@dataclass(frozen=True)
class _Tokenised:
    samples: Samples
    form: Form


@dataclass(kw_only=True)
class TextEncoder:
    """A loaded model and the settings by which it encodes texts."""

    config: RunConfig
    model: LanguageModel
    execution: Execution = field(default_factory=Execution)
    num_truncated: int = field(default=0, init=False)
    """Segments so far that were truncated to the model's length."""

    @classmethod
    def load(cls, config: RunConfig, execution: Execution) -> "TextEncoder":
        """Load the model of a configuration, at its current commit on the hub or in the cache.

        Raises:
            ConfigurationError: the model is not available, or the settings don't suit it.
        """
        facts = read_facts(config.pretrained, config.revision, config.checkpoint)
        check_against_model(config, facts, decodes=False)
        config = replace(config, revision=facts.commit or config.revision)
        return cls(config=config, model=load_for(config, execution), execution=execution)

    @property
    def dim(self) -> int:
        """Components of a vector."""
        return self.model.width_of(Recipe.of(self.config, self.model).spec.layer)

    def describe(self) -> dict[str, Any]:
        """Return everything that decides the vectors, as plain data: model, dtype, settings, scheme."""
        return {
            "pretrained": self.config.pretrained,
            "weights": dict(
                model_identity(self.config.pretrained, self.config.revision, self.config.checkpoint)
                if self.model.content is None
                else self.model.content.weights
            ),
            "dtype": dtype_name(self.model.dtype),
            "settings": dict(self.config.vectors.stated()),
            "encoding_scheme": self.config.encoding_scheme,
        }

    def __call__(
        self, texts: Iterable[tuple[str, Text]], progress: DocumentProgress | None = None
    ) -> Iterator[Vectors]:
        """Yield the vectors of each text, in order; a window of texts is held at once, and about as many ahead.

        Args:
            texts: pairs of source, for messages, and text.
            progress: advanced for finished texts.

        Raises:
            DataError: a text is invalid, empty, or of another form than the first.
            RunError: a segment has no tokens, or starts beyond the model's positions (ADD_POS).
        """
        recipe = Recipe.of(self.config, self.model)
        encode = SegmentEncoder(
            self.model, {recipe.spec}, Batcher(choose_budget(self.model, self.execution)), _KEPT_BYTES
        )
        placer = SegmentPlacer(self.model, self.config.vectors.add_pos, FrontTokens.of(self.config, self.model).context)

        def tokenise(chunk: list[tuple[str, Text]]) -> list[_Tokenised]:
            return self._tokenise(chunk, placer)

        for window in windows(tokenised_ahead(tokenise, _checked(texts)), _count_tokens, self._bytes_of):
            segments = [segment for text in window for sample in text.samples for segment in sample]
            tokens = sum(len(segment.tokens) for segment in dict.fromkeys(segments))
            on_batch = {} if progress is None else {"on_batch": progress.start_window(len(window), tokens)}
            with fast(self.model):
                contexts = recipe.make([text.samples for text in window], encode(segments, **on_batch))
            for text, rows in zip(window, contexts.split(), strict=True):
                vectors = rows[0] if gives_one_vector(self.config, text.form) else rows
                yield vectors.numpy().copy()  # a view would keep the whole window in memory
            if progress is not None:
                progress.finish_window(len(window))
        self.num_truncated += placer.num_truncated
        if placer.num_truncated:
            most = f"the {self.model.max_length:,} tokens that {self.model.name} takes"
            logger.warning("%s", say_cut(placer.num_truncated, most))

    def _tokenise(self, chunk: list[tuple[str, Text]], placer: SegmentPlacer) -> list[_Tokenised]:
        cut = [cut_text(text, str(self.config.encoding_scheme)) for _, text in chunk]
        segments = [segment for samples in cut for sample in samples for segment in sample]
        tokens = iter(tokenize_segments(self.model, segments))
        tokenised = []
        for (source, text), samples in zip(chunk, cut, strict=True):
            rows = [[next(tokens) for _ in sample] for sample in samples]
            tokenised.append(_Tokenised(placer.place(rows, source)[0], form_of(text, source)))
        return tokenised

    def _bytes_of(self, text: _Tokenised) -> int:
        num_vectors = self.config.vectors.context_aggregation.num_vectors
        number = sum(num_vectors(segment.num_kept) for sample in text.samples for segment in sample)
        return 3 * 4 * self.dim * number  # of segments, side by side, and aggregated


def _count_tokens(text: _Tokenised) -> int:
    return sum(len(segment.tokens) for sample in text.samples for segment in sample)


def _checked(texts: Iterable[tuple[str, Text]]) -> Iterator[tuple[str, Text]]:
    first: Form | None = None
    for source, text in texts:
        form = form_of(text, source)
        first = first or form
        check_form(form, first, source)
        yield source, text


def encode(
    texts: Iterable[Text],
    *,
    model: str | LanguageModel | PreTrainedModel | None = None,
    model_args: str | Mapping[str, Any] | None = None,
    encoding_scheme: str = WHOLE,
    batch_size: int | str | None = None,
    device: str | None = None,
    **settings: Any,  # noqa: ANN401  (text, numbers, None; a loaded tokenizer)
) -> Iterator[Vectors]:
    """Return the concept vectors of texts, one after the other, in float32.

    A text's vectors are one `[dim]` where the settings make one vector of every text of its form
    (`example_agg_scheme="mean"`; `segment_agg_scheme="mean"` unless texts are samples; a whole text whose tokens are
    averaged), else `[vector, dim]`. Texts may be a generator: few of them are held at once.

    Args:
        texts: each a string, which the scheme cuts; or the list of its segments; or a list of samples, each a list of
            segments. All in one form.
        model: a hub name, a local folder, or a model that is loaded already: by `lm_eval.inference.loading.load_model`,
            or by transformers, with its tokenizer as `tokenizer`. Such a network is used as it is, with its hooks.
        model_args: model and settings in one, as `simple_evaluate` takes them, in place of `model` and `settings`.
        encoding_scheme: concat_all_examples leaves a string whole, sentence_level_segmentation cuts it into sentences.
        batch_size: rows a batch; None leaves it to a budget of tokens.
        device: where the model goes; None takes a GPU where there is one. A loaded one stays where it is.
        settings: those of experiment §4 by their public names or in lower case (word_agg_scheme, which is required,
            segment_agg_scheme, example_agg_scheme, norm, encoding_layer, add_pos), and revision, dtype and what
            `lm_eval.config.checkpoint.Checkpoint` has.

    Raises:
        ConfigurationError: the call is wrong; nothing was computed. (Errors in a text are raised when it is
            reached.)
    """
    if isinstance(texts, (str, bytes)):
        raise ConfigurationError(
            "encode: texts must be a list (or any iterable) of texts, got a single text; put it in a list"
        )
    if isinstance(model, LanguageModel):
        _refuse_loading(device, settings)
        if find_interventions(model.network):  # whose passes are tried as those of any network with hooks
            settings = {**settings, "tokenizer": model.tokenizer}
            model = model.network
    pairs, given = take_given(_join(model, model_args, settings))
    execution = Execution.parse(batch_size=batch_size, device=device, model_args=pairs)
    config = make_encoding(pairs, encoding_scheme)
    loaded = model if isinstance(model, LanguageModel) else None if given is None else given.wrap(device)
    if loaded is None:
        encoder = TextEncoder.load(config, execution)
    else:
        check_against_model(config, facts_of(loaded), decodes=False)
        encoder = TextEncoder(config=config, model=loaded, execution=execution)
    vectors = encoder((f"texts[{index}]", text) for index, text in enumerate(texts))
    # what is done to the network now may be over when they are taken
    return iter(list(vectors)) if find_interventions(encoder.model.network) else vectors


_LOADING_KEYS = tuple(key for key in (*MODEL_KEYS, *CHECKPOINT_KEYS, *EXECUTION_KEYS) if key != "pretrained")


def _join(model: object, model_args: str | Mapping[str, Any] | None, settings: dict[str, Any]) -> Mapping[str, Any]:
    """Return model and settings as `model_args`, whichever way they were given."""
    if (model is None) == (model_args is None):
        given = "neither" if model is None else "both"
        raise ConfigurationError(f"encode: give either model or model_args (with pretrained in it), got {given}")
    if model_args is None:
        pretrained = model.name if isinstance(model, LanguageModel) else model
        return {"pretrained": pretrained, **_by_public_name(settings)}
    if settings:
        raise ConfigurationError(f"encode: {', '.join(settings)}: beside model_args; put all settings there")
    return model_args if isinstance(model_args, Mapping) else read_pairs(model_args, "model_args")


def _refuse_loading(device: str | None, settings: dict[str, Any]) -> None:
    given = [key for key in _LOADING_KEYS if settings.get(key) is not None] + (["device"] if device else [])
    if given:
        raise ConfigurationError(f"encode: {', '.join(given)}: the model is loaded already; leave it out")


def _by_public_name(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings by their names in `model_args`."""
    named: dict[str, Any] = {}
    for key, value in settings.items():
        public = key.upper() if key.upper() in SETTING_NAMES else key
        if public not in (*SETTING_NAMES, *_LOADING_KEYS):
            valid = (*(known.lower() for known in SETTING_NAMES), *_LOADING_KEYS)
            raise ConfigurationError(f"encode: unknown setting {key!r}; choose from {', '.join(valid)}")
        if public in named:
            raise ConfigurationError(f"encode: {public} is given twice")
        named[public] = value
    return named
