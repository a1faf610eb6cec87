"""The encoding schemes: rules that cut a document's context into samples and segments of text (experiment §3).

Pure functions on strings; knows nothing of tokens or models.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from lm_eval.tasks.base import Dataset, Example

Sample = tuple[str, ...]
"""The segments made from one example."""

_SENTENCE_END = re.compile(r"(?<=\.)(?=\s)")


@dataclass(frozen=True)
class Context:
    """Everything the model reads before the choices."""

    samples: tuple[Sample, ...]
    """One sample for each shot, then one for the query; each a tuple of non-empty segments."""


def split_sentences(text: str) -> list[str]:
    """Cut after every "." that white space follows; the white space stays in front of the next sentence."""
    return _SENTENCE_END.split(text)


def _answer_part(dataset: Dataset, answer: str) -> str:
    hint = dataset.hint_delimiter + dataset.answer_hint if dataset.answer_hint else ""
    return hint + answer


def _whole_text(dataset: Dataset, example: Example, answer: str) -> Sample:
    return ("".join(example.question) + _answer_part(dataset, answer),)


def _question_and_answer(dataset: Dataset, example: Example, answer: str) -> Sample:
    return (*example.question, _answer_part(dataset, answer))


def _sentences(dataset: Dataset, example: Example, answer: str) -> Sample:
    parts = (*example.question, _answer_part(dataset, ""), answer)
    return tuple(sentence for part in parts for sentence in split_sentences(part))


def _keep(samples: list[Sample], dataset: Dataset) -> list[Sample]:  # noqa: ARG001
    return samples


def _join_texts(samples: list[Sample], dataset: Dataset) -> list[Sample]:
    return [(dataset.shot_delimiter.join(segment for sample in samples for segment in sample),)]


def _merge(samples: list[Sample], dataset: Dataset) -> list[Sample]:  # noqa: ARG001
    return [tuple(segment for sample in samples for segment in sample)]


Segmentation = Callable[[Dataset, Example, str], Sample]
Arrangement = Callable[[list[Sample], Dataset], list[Sample]]

SCHEMES: dict[str, tuple[Segmentation, Arrangement]] = {
    "concat_all_examples": (_whole_text, _join_texts),
    "concat_each_example": (_whole_text, _keep),
    "segment_each_example": (_question_and_answer, _keep),
    "merge_all_segments": (_question_and_answer, _merge),
    "sentence_level_segmentation": (_sentences, _keep),
    "cross_encoding": (_whole_text, _join_texts),
}


def build_context(
    dataset: Dataset, query: Example, shots: tuple[Example, ...], scheme: str, description: str = ""
) -> Context:
    """Cut a query and its shots into samples of segments.

    Args:
        dataset: says how question, hint and answer are joined.
        query: the example whose choices will be scored; its answer stays out.
        shots: examples shown with their first right answer.
        scheme: a name from `SCHEMES`.
        description: text before the shots, a sample of one segment; empty for none. The task's own, where it has
            one, follows it; in one text with what comes next, no delimiter stands between them.
    """
    segment, arrange = SCHEMES[scheme]
    shown = [shot.of_choice(shot.gold[0]) for shot in shots]
    samples = [segment(dataset, shot, shot.choices[shot.gold[0]]) for shot in shown]
    samples.append(segment(dataset, query, ""))
    if query.description and arrange is _join_texts:
        samples[0] = (query.description + "".join(samples[0]),)
    elif query.description:
        samples.insert(0, (query.description,))
    if description:
        samples.insert(0, (description,))
    arranged = (tuple(text for text in sample if text) for sample in arrange(samples, dataset))
    return Context(tuple(sample for sample in arranged if sample))
