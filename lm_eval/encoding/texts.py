"""Texts to encode without a task: their forms, how they are cut into segments, and the settings allowed.

Knows nothing of torch, so that a call can be checked before anything heavy is imported.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from lm_eval.common.text import read_pairs
from lm_eval.config.run_config import SEGMENTING_SCHEMES, RunConfig
from lm_eval.config.settings import SETTINGS
from lm_eval.config.token_aggregation import TOKEN_AGGREGATIONS
from lm_eval.contexts.encoding_schemes import split_sentences
from lm_eval.errors import ConfigurationError, DataError

Text = str | Sequence[str] | Sequence[Sequence[str]]
"""A text; or its segments, which make one sample; or samples of segments (experiment §1)."""
Form = Literal["text", "segments", "samples"]

WHOLE, SENTENCES = "concat_all_examples", "sentence_level_segmentation"
TEXT_SCHEMES = (WHOLE, SENTENCES)
"""The schemes that apply to a bare text, which has no shots, no hint and no answer."""

_FORMS = "a text, a list of texts (its segments) or a list of lists of texts (samples of segments)"


def make_encoding(model_args: str | Mapping[str, object], encoding_scheme: str = WHOLE) -> RunConfig:
    """Return the configuration that encodes texts: that of a context without choices.

    Args:
        model_args: `KEY=value,KEY=value`, or the same as keywords: the model and the settings of experiment §4.
        encoding_scheme: how a text that is a string is cut.

    Raises:
        ConfigurationError: an unknown setting or value, or one that has no effect here.
    """
    if encoding_scheme not in TEXT_SCHEMES:
        why = " (it separates shots, question and answer)" if encoding_scheme in SEGMENTING_SCHEMES else ""
        raise ConfigurationError(
            f"encoding_scheme={encoding_scheme}: this scheme cannot cut a bare text{why}; choose from "
            f"{', '.join(TEXT_SCHEMES)}, or give the segments of a text as a list"
        )
    pairs = read_pairs(model_args, "model_args")
    if pairs.get("WORD_AGG_SCHEME") is None:
        raise ConfigurationError(
            f"model_args: WORD_AGG_SCHEME= is missing; choose from {', '.join(TOKEN_AGGREGATIONS)}"
        )
    for key, setting in SETTINGS.items():
        if setting.only == "dist_gen" and pairs.get(key) is not None:
            raise ConfigurationError(f"{key}: nothing is decoded here; leave it out")
    task_args = {"encoding_scheme": encoding_scheme}
    return RunConfig.parse(model="dist_gen", model_args=model_args, task="", task_args=task_args, num_fewshot=0)


def form_of(text: Any, source: str) -> Form:  # noqa: ANN401
    """Return the form of a text.

    Raises:
        DataError: the text has none of the forms, or is empty.
    """
    form: Form
    if isinstance(text, str):
        form, parts = "text", [text]
    elif _is_list(text) and all(isinstance(segment, str) for segment in text):
        form, parts = "segments", list(text)
    elif _is_list(text) and all(_is_list(sample) and all(isinstance(s, str) for s in sample) for sample in text):
        form, parts = "samples", [segment for sample in text for segment in sample]
    else:
        raise DataError(f"{source}: expected {_FORMS}, got {text!r:.80}")
    if not any(parts):
        raise DataError(f"{source}: the text is empty, so it has no vector")
    for part in parts:
        if any("\ud800" <= character <= "\udfff" for character in part):
            raise DataError(f"{source}: the text holds half a character (a lone surrogate): {part!r:.80}")
    return form


def check_form(form: Form, first: Form, source: str) -> None:
    """Check that a text has the form of the first one, so that all vectors have the same shape.

    Raises:
        DataError: it has another form.
    """
    if form != first:
        raise DataError(
            f"{source}: the text has the form {form!r}, but the first one is {first!r}; give all in one form"
        )


def _is_list(value: object) -> bool:
    return isinstance(value, (list, tuple))


def cut_text(text: Text, scheme: str) -> list[list[str]]:
    """Cut a text into samples of segments, without empty ones; a list is cut already."""
    if isinstance(text, str):
        samples = [split_sentences(text) if scheme == SENTENCES else [text]]
    elif isinstance(text[0], str):
        samples = [[str(segment) for segment in text]]
    else:
        samples = [list(sample) for sample in text]
    kept = [[segment for segment in sample if segment] for sample in samples]
    return [sample for sample in kept if sample]


def gives_one_vector(config: RunConfig, form: Form) -> bool:
    """Whether every text of a form becomes a single vector, however many segments and tokens it has."""
    vectors = config.vectors
    if vectors.example_agg_scheme == "mean":
        return True
    if vectors.segment_agg_scheme == "mean" and form != "samples":
        return True
    return form == "text" and config.encoding_scheme == WHOLE and vectors.context_aggregation.makes_one_vector
