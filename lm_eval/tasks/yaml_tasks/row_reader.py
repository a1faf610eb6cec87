"""Row → `Example` by the keys of a task file: `doc_to_text`, `doc_to_choice`, `doc_to_target`.

Values are read as in EleutherAI's lm-evaluation-harness; an error about a row names row, file and key.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lm_eval.errors import ConfigurationError
from lm_eval.tasks.base import Example, ProcessResults, Row
from lm_eval.tasks.yaml_tasks.parser import TaskFile
from lm_eval.tasks.yaml_tasks.templates import Value, as_index, as_list


@dataclass(frozen=True, kw_only=True, eq=False)
class RowReader:
    """Makes an example of a row, as the keys `doc_to_text`, `doc_to_choice` and `doc_to_target` say."""

    text: Value
    choices: Value | None
    """None where the target alone is scored (output type loglikelihood)."""
    target: Value
    delimiter: str
    """Between question and choice."""
    description: Value | None
    hint: str
    """The end of the question that the answer shares a segment with."""
    prefix: Value | None
    """What the answer begins with, at the end of the question."""
    process: ProcessResults | None
    """The task's own function of scores, which needs the row."""

    @classmethod
    def of(cls, file: TaskFile, *, has_choices: bool, process: ProcessResults | None = None) -> "RowReader":
        """Prepare the templates and functions of a task file.

        Args:
            file: the task file.
            has_choices: whether choices are scored, rather than the target alone.
            process: the task's own function of scores.

        Raises:
            ConfigurationError: a template or function that cannot be used, or no target; names file and key.
        """

        def value(key: str) -> Value | None:
            written = file.keys.get(key)
            return None if written in (None, "") else Value.of(key, file.origins[key], written)

        text, target = value("doc_to_text") or Value.of("doc_to_text", file.path, ""), value("doc_to_target")
        if target is None:
            raise ConfigurationError(f"{file.path}: doc_to_target is empty; say which choice is right")
        delimiter = file.keys.get("target_delimiter")
        return cls(
            text=text,
            choices=value("doc_to_choice") if has_choices else None,
            target=target,
            delimiter=" " if delimiter is None else delimiter,
            description=value("description"),
            hint=file.keys.get("answer_hint") or "",
            prefix=value("gen_prefix"),
            process=process,
        )

    def __call__(self, row: Row, source: str) -> Example:
        """Make an example.

        Raises:
            DataError: the row lacks what a template wants, or a value breaks a rule; names row, file and key.
        """
        example = self._read(row, source)
        return example if self.process is None else replace(example, row=row)

    def try_scoring(self, example: Example) -> None:
        """Try the task's own function of scores on made-up ones, before there are any.

        Raises:
            DataError: it fails.
        """
        if self.process is not None:
            made_up = [(-float(place + 1), place == 0) for place in range(len(example.choices))]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what nobody will see
                self.process(example.row or {}, made_up, example.source)

    def _read(self, row: Row, source: str) -> Example:
        described = "" if self.description is None else self.description(row, source)
        if self.description is not None and not isinstance(described, str):
            raise self.description.wrong(source, "must give text", described)
        text, target = self.text(row, source), self.target(row, source)
        if self.choices is None:
            return self._continuation(self._question(text, row, source), target, described, source)
        choices = self._choices(row, source)
        position = as_index(text) if self.text.is_rendered(row) else text
        if isinstance(position, int) and _is_text_of_none(target, choices):
            contexts = [self._with_prefix(choice, "", row, source) for choice in choices]
            example = self._with_contexts(contexts, position, target, described, source)
            return replace(example, lengths=tuple(map(len, choices)))
        return Example(
            question=self._question(text, row, source),
            choices=tuple(self.delimiter + choice for choice in choices),
            gold=self._gold(row, target, choices, source),
            description=described,
            lengths=tuple(map(len, choices)),
            source=source,
        )

    def _question(self, text: object, row: Row, source: str) -> tuple[str, ...]:
        if not isinstance(text, str):
            raise self.text.wrong(source, "must give text", text)
        text = self._with_prefix(text, self.delimiter, row, source)
        _check_whole(text, self.text, source)
        if self.hint and not text.endswith(self.hint):
            raise self.text.wrong(source, f"must end in answer_hint ({self.hint!r})", text[-40:])
        return (text.removesuffix(self.hint),)

    def _with_prefix(self, text: str, delimiter: str, row: Row, source: str) -> str:
        """Put `gen_prefix` behind a text, with the delimiter where no white space is between them."""
        prefix = "" if self.prefix is None else self.prefix(row, source)
        if self.prefix is not None and not isinstance(prefix, str):
            raise self.prefix.wrong(source, "must give text", prefix)
        is_joined = not text or not prefix or text[-1].isspace() or prefix[0].isspace()
        return text + ("" if is_joined else delimiter) + prefix

    def _choices(self, row: Row, source: str) -> list[str]:
        value = self.choices
        assert value is not None  # noqa: S101  (only called for multiple choice)
        choices = value(row, source)
        if value.is_rendered(row):
            choices = as_list(choices, lenient=True)
        if isinstance(choices, Mapping):
            choices = list(choices.values())
        if not isinstance(choices, Sequence) or isinstance(choices, str) or not choices:
            raise value.wrong(source, "must give a list of texts", choices)
        for index, choice in enumerate(choices):
            if not isinstance(choice, str) or not choice.strip():
                raise value.wrong(source, f"must give a list of texts, none of them empty: [{index}] is not", choice)
            _check_whole(choice, value, source)
        return list(choices)

    def _gold(self, row: Row, target: object, choices: list[str], source: str) -> tuple[int, ...]:
        if self.target.is_rendered(row):
            target = as_list(as_index(target))
        indices = target if isinstance(target, list) else [target]
        if isinstance(target, str):
            if target not in choices:
                raise self.target.wrong(source, f"must be one of the choices {choices!r:.80} or an index", target)
            indices = [choices.index(target)]
        checked = [index for index in indices if isinstance(index, int) and 0 <= index < len(choices)]
        if len(checked) < len(indices):
            raise self.target.wrong(source, f"must be an index into {len(choices)} choices, from 0", target)
        if not indices:
            raise self.target.wrong(source, "must name at least one right choice", target)
        return tuple(dict.fromkeys(map(int, checked)))  # a label may be True or False

    def _with_contexts(
        self, contexts: list[str], position: int, target: object, described: str, source: str
    ) -> Example:
        """Make an example whose choices are contexts, each followed by the same continuation."""
        if not isinstance(target, str) or not target.strip():
            raise self.target.wrong(
                source, "must be the text that follows all choices, where doc_to_text is a number", target
            )
        if not 0 <= position < len(contexts):
            raise self.text.wrong(source, f"must be an index into {len(contexts)} choices, from 0", position)
        _check_whole(target, self.target, source)
        return Example(
            question=(),
            choices=(self.delimiter + target,) * len(contexts),
            gold=(position,),
            contexts=tuple(contexts),
            description=described,
            lengths=tuple(map(len, contexts)),
            source=source,
        )

    def _continuation(self, question: tuple[str, ...], target: object, described: str, source: str) -> Example:
        """Make an example with the target as its only choice, without the delimiter."""
        if not isinstance(target, str) or not target.strip():
            raise self.target.wrong(source, "must give the text that is scored", target)
        _check_whole(target, self.target, source)
        return Example(question=question, choices=(target,), gold=(0,), description=described, source=source)


def _is_text_of_none(target: object, choices: list[str]) -> bool:
    """Whether a target is neither an index nor a choice: then it is the text that follows every choice."""
    return isinstance(target, str) and isinstance(as_index(target), str) and target not in choices


def _check_whole(text: str, value: Value, source: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise value.wrong(source, "holds half a character (a lone surrogate)", text)
