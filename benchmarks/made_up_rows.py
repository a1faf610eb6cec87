"""Rows for a task file of any form, made up: types are tried for the fields that its templates and functions name.

What a task wants of a row is learnt from its own errors: a field that is missing is added, and where a value doesn't
fit, the next kind of value is tried. Knows nothing of models.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

from lm_eval.errors import ConfigurationError
from lm_eval.tasks.base import Dataset, Task

_NOUNS = (
    "river",
    "stone",
    "bird",
    "cloud",
    "garden",
    "letter",
    "window",
    "bridge",
    "candle",
    "market",
    "forest",
    "ship",
)
_CHOICES = 4
ATTEMPTS = 3000
"""How many rows are tried for a task."""

Kind = Callable[[int], Any]
"""A value of a field by the number of the row; all rows have the same kinds, so that they make one table."""


def _text(number: int) -> str:
    return f"The {_NOUNS[number % 12]} lies behind the {_NOUNS[(number + 5) % 12]}."


def _texts(number: int, count: int = _CHOICES) -> list[str]:
    return [f"{_NOUNS[(number + 2 * place) % 12]}{' and more' * (place % 3)}" for place in range(count)]


_KINDS: dict[str, Kind] = {
    "text": _text,
    "number": lambda number: number % 2,
    "texts": _texts,
    "digit": lambda number: str(number % 2),
    "letter": lambda number: "AB"[number % 2],
    "a choice": lambda number: _texts(number)[number % _CHOICES],
    "from one": lambda number: 1 + number % 2,
    "digit from one": lambda number: str(1 + number % 2),
    "small letter": lambda number: "ab"[number % 2],
    "truth": lambda number: number % 2 == 0,
    "numbers": lambda number: [number % 2],
    "labels": lambda number: [int(place == number % _CHOICES) for place in range(_CHOICES)],
    "two texts": lambda number: _texts(number, 2),
    "five texts": lambda number: _texts(number, 5),
    "written list": lambda number: repr(_texts(number)),
    "texts and labels": lambda number: {"text": _texts(number), "label": list("ABCD")},
    "letters": lambda _: list("ABCD"),
    "yes or no": lambda number: ("yes", "no")[number % 2],
    "lettered": lambda number: dict(zip("ABCD", _texts(number), strict=True)),
    "lettered texts": lambda number: [f"{letter}. {text}" for letter, text in zip("ABCD", _texts(number), strict=True)],
    "records": lambda number: [{"text": text, "label": place} for place, text in enumerate(_texts(number))],
}
_LIKELY: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        r"choices|options|endings|alternatives|candidates|opciones|distractors",
        ("texts", "texts and labels", "lettered"),
    ),
    (
        r"label|gold|idx|index|answer_?key|correct|target|answer|solution|score",
        ("number", "letter", "digit", "from one", "texts"),
    ),
)
_MISSING = re.compile(
    r"'(?:[\w.]+ )?object' has no attribute '(\w+)'|'([^']+)' is undefined|KeyError: ['\"]([^'\"]+)['\"]"
)


class _NoRowsError(Exception):
    """No kinds of values were found that a task can read."""


def kinds_for(field: str) -> list[str]:
    """Return the kinds of values to try for a field, likely ones first."""
    name = field.rpartition(".")[2]
    likely = next((kinds for pattern, kinds in _LIKELY if re.search(pattern, name, re.IGNORECASE)), ("text",))
    return list(dict.fromkeys((*likely, *_KINDS)))


def find_rows(task: Task, count: int = 3) -> list[dict[str, Any]] | None:
    """Return rows that a task can read and score, or None where none were found.

    Args:
        task: the task.
        count: how many rows.
    """
    try:
        return _Search(task.dataset, count).find({})
    except _NoRowsError:
        return None


Fields = dict[str, str]
"""A kind of value for each field; `a.b` is a field within `a`, `a[].b` one within each of the list `a`."""


class _Search:
    """Tries kinds of values for the fields known so far, and goes on with more fields where one is missing."""

    def __init__(self, dataset: Dataset, count: int) -> None:
        self._dataset = dataset
        self._count = count
        self._left = ATTEMPTS

    def find(self, fields: Fields) -> list[dict[str, Any]]:
        """Return rows with these fields and those that are found to be missing."""
        known = tuple(fields)
        for kinds in _combinations([kinds_for(field) for field in known]):
            chosen = dict(zip(known, kinds, strict=True))
            problem = self._try(chosen)
            if problem is None:
                return self._make(chosen)
            missing = _missing_field(problem)
            if missing is not None and (more := self._with_missing(chosen, missing)) is not None:
                return self.find(more)
        raise _NoRowsError

    def _with_missing(self, fields: Fields, missing: str) -> Fields | None:
        """Return the fields with the missing one at the place where it helps, or None where it helps nowhere."""
        tops = list(dict.fromkeys(re.split(r"[.\[]", field)[0] for field in reversed(fields)))
        within = [f"{top}{inner}{missing}" for top in tops for inner in (".", "[].")]
        for path in [missing, *within]:
            if path in fields:
                continue
            top = re.split(r"[.\[]", path)[0]
            rest = {field: kind for field, kind in fields.items() if field != top and _fits(field, path)}
            more = {**rest, path: kinds_for(path)[0]}
            problem = self._try(more)
            if problem is None or _missing_field(problem) != missing:
                return more
        return None

    def _make(self, fields: Fields) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for number in range(self._count):
            row: dict[str, Any] = {}
            for field, kind in fields.items():
                top, _, inner = field.replace("[]", "", 1).partition(".")
                if not inner:
                    row[top] = _KINDS[kind](number)
                elif "[]" in field:
                    parts = row.setdefault(top, [{} for _ in range(_CHOICES)])
                    for place, part in enumerate(parts):
                        part[inner] = _KINDS[kind](number + place)
                else:
                    row.setdefault(top, {})[inner] = _KINDS[kind](number)
            rows.append(row)
        return rows

    def _try(self, fields: Fields) -> str | None:
        """Return what is wrong with rows of such fields, or None."""
        self._left -= 1
        if self._left < 0:
            raise _NoRowsError
        rows = self._make(fields)
        try:
            examples = self._dataset.examples([(row, f"made up, row {number}") for number, row in enumerate(rows)])
            for example in examples:
                if self._dataset.try_scoring is not None:
                    self._dataset.try_scoring(example)
        except ConfigurationError as error:
            return str(error)
        return None if examples else "no rows are left"


def _fits(field: str, path: str) -> bool:
    """Whether a field can stand in a row beside another: not a list and a mapping of one name."""
    return field.partition(".")[0].replace("[]", "") != path.partition(".")[0].replace("[]", "") or (
        ("[]" in field) == ("[]" in path) and "." in field and "." in path
    )


def _combinations(kinds: list[list[str]]) -> Iterator[tuple[str, ...]]:
    """Yield one kind for each field, in the order of how many steps away they are from the likely ones."""
    if not kinds:
        yield ()
        return
    most = sum(len(one) - 1 for one in kinds)
    for steps in range(most + 1):
        yield from _with_steps(kinds, steps)


def _with_steps(kinds: list[list[str]], steps: int) -> Iterator[tuple[str, ...]]:
    first, *rest = kinds
    if not rest:
        if steps < len(first):
            yield (first[steps],)
        return
    for taken in range(min(steps, len(first) - 1) + 1):
        yield from ((first[taken], *others) for others in _with_steps(rest, steps - taken))


def _missing_field(problem: str) -> str | None:
    found = _MISSING.search(problem)
    return None if found is None else next(name for name in found.groups() if name)


def splits_of(dataset: Dataset) -> list[str]:
    """Return the splits that a task's rows are written as, without Hugging Face's slices of them."""
    names = itertools.chain(
        (dataset.evaluation_split, dataset.training_split or "train"), ("train", "validation", "test")
    )
    return list(dict.fromkeys(name.partition("[")[0] for name in names))
