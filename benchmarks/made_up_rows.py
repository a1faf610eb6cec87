"""Rows for a task file of any form, made up: types are tried for the fields that its templates and functions name.

What a task wants of a row is learnt from its own errors: a field that is missing is added, and where a value doesn't
fit, the next kind of value is tried. Knows nothing of models.
"""

import functools
import re
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jinja2
import jinja2.meta
import jinja2.nodes

from lm_eval.errors import ConfigurationError
from lm_eval.tasks.base import Dataset
from lm_eval.tasks.yaml_tasks.build import make_tasks
from lm_eval.tasks.yaml_tasks.parser import Function, TaskFile

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
ATTEMPTS, SECONDS = 3000, 8.0
"""How many rows are tried for a task, and how long the processor works on them."""

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


def find_rows(file: TaskFile, count: int = 3) -> list[dict[str, Any]] | None:
    """Return rows that a task can read and score, or None where none were found.

    Args:
        file: the task's file.
        count: how many rows.
    """
    search = _Search(make_tasks(file)["standard"].dataset, count, fields_by_key(file), literals_of(file))
    try:
        return search.find()
    except _NoRowsError:
        return None


Fields = dict[str, str]
"""A kind of value for each field; `a.b` is a field within `a`, `a[].b` one within each of the list `a`."""
_KEYS = ("description", "doc_to_text", "gen_prefix", "doc_to_target", "doc_to_choice")
"""In the order in which a row is read."""


def fields_by_key(file: TaskFile) -> dict[str, list[str]]:
    """Return the fields that each template names, nested ones too."""
    named = {}
    for key in _KEYS:
        written = file.keys.get(key)
        named[key] = _fields_of(written) if isinstance(written, str) else []
    return named


def _fields_of(template: str) -> list[str]:
    if re.fullmatch(r"[A-Za-z_]\w*", template):
        return [template]
    tree = jinja2.Environment().parse(template)  # noqa: S701  (nothing is rendered)
    tops = jinja2.meta.find_undeclared_variables(tree)
    nested: dict[str, list[str]] = {}
    named: list[tuple[jinja2.nodes.Node, object]] = [
        (one.node, one.attr) for one in tree.find_all(jinja2.nodes.Getattr)
    ]
    named += [(one.node, getattr(one.arg, "value", None)) for one in tree.find_all(jinja2.nodes.Getitem)]
    for within, name in named:
        is_field = isinstance(name, str) and not any(hasattr(kind, name) for kind in (str, list, dict))
        if is_field and isinstance(within, jinja2.nodes.Name) and within.name in tops:
            nested.setdefault(within.name, []).append(f"{within.name}.{name}")
    return [path for top in sorted(tops) for path in dict.fromkeys(nested.get(top, [top]))]


def literals_of(file: TaskFile) -> list[str]:
    """Return the short texts that stand in a task's functions: a row's field may have to be one of them."""
    found: dict[str, None] = {}
    for value in file.keys.values():
        if isinstance(value, Function):
            found |= dict.fromkeys(_literals(value.load("")))
    return [text for text in found if 0 < len(text) < _LONGEST_LITERAL and "\n" not in text][:_MOST_LITERALS]


_LONGEST_LITERAL, _MOST_LITERALS = 40, 24


def _literals(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _literals(item)
    elif isinstance(value, functools.partial):
        yield from _literals([*value.args, *value.keywords.values()])
        yield from _literals(value.func)
    elif isinstance(value, types.CodeType):
        yield from _literals(value.co_consts)
    elif isinstance(value, types.FunctionType):
        yield from _literals(value.__code__)
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        yield from _literals([one for one in cells if isinstance(one, str | tuple | list | types.FunctionType)])


class _Search:
    """Tries kinds of values for the fields known so far, and goes on with more fields where one is missing."""

    def __init__(self, dataset: Dataset, count: int, by_key: Mapping[str, list[str]], literals: Sequence[str]) -> None:
        self._dataset = dataset
        self._count = count
        self._by_key = by_key
        self._literals = {f"={text}": lambda _, text=text: text for text in literals}
        self._left = ATTEMPTS
        self._until = time.process_time() + SECONDS

    def find(self) -> list[dict[str, Any]]:
        """Return rows with the fields that templates name and those that are found to be missing."""
        fields = {field: kinds_for(field)[0] for of_key in self._by_key.values() for field in of_key}
        problem = self._try(fields)
        while problem is not None:
            missing = self._missing(problem, fields)
            more = None if missing is None else self._with_missing(fields, missing)
            fields = more or self._vary(fields, problem)
            problem = self._try(fields)
        return self._make(fields)

    def _vary(self, fields: Fields, problem: str) -> Fields:
        """Return the fields with other kinds of those that a problem is with, so that it is gone."""
        varied = [field for field in self._concerned(problem, fields) if field in fields] or list(fields)
        for kinds in _combinations([self._kinds_for(field) for field in varied]):
            changed = {**fields, **dict(zip(varied, kinds, strict=True))}
            found = self._try(changed)
            if found is None or _place_of(found) > _place_of(problem):
                return changed
            missing = self._missing(found, changed)  # another one is a step further
            if missing is not None and missing != _missing_field(problem) and missing not in fields:
                return changed
        raise _NoRowsError

    def _kinds_for(self, field: str) -> list[str]:
        """Return the kinds to try for a field; for one that only functions name, what stands in these too."""
        likely, *others = kinds_for(field)
        named = {one for of_key in self._by_key.values() for one in of_key}
        return [likely, *others] if field in named else [likely, *self._literals, *others]

    def _concerned(self, problem: str, fields: Fields) -> list[str]:
        """Return the fields that may have to do with a problem, by the key that it names."""
        key = _key_of(problem)
        if not self._by_key.get(key or ""):  # a function's, or no rows are left of it
            named = {one for of_key in self._by_key.values() for one in of_key}
            return [field for field in fields if field not in named]
        keys = ("doc_to_target", "doc_to_choice") if key in ("doc_to_target", "doc_to_choice") else (key,)
        return list(dict.fromkeys(field for one in keys for field in self._by_key.get(one or "", [])))

    def _missing(self, problem: str, fields: Fields) -> str | None:
        """Return the field that is missing; none is where a function looked up a row's value in vain."""
        missing = _missing_field(problem)
        values = {str(value) for row in self._make(fields) for value in row.values()}
        return None if missing in values else missing

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

    def _value(self, kind: str, place: int, number: int) -> object:
        """Return a field's value in a row; texts of several fields differ."""
        make = self._literals.get(kind) or _KINDS[kind]
        return make(number + 2 * place if kind == "text" else number)

    def _make(self, fields: Fields) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for number in range(self._count):
            row: dict[str, Any] = {}
            for place_of_field, (field, kind) in enumerate(fields.items()):
                value = functools.partial(self._value, kind, place_of_field)
                top, _, inner = field.replace("[]", "", 1).partition(".")
                if not inner:
                    row[top] = value(number)
                elif "[]" in field:
                    parts = row.setdefault(top, [{} for _ in range(_CHOICES)])
                    for place, part in enumerate(parts):
                        part[inner] = value(number + place)
                else:
                    row.setdefault(top, {})[inner] = value(number)
            rows.append(row)
        return rows

    def _try(self, fields: Fields) -> str | None:
        """Return what is wrong with rows of such fields, or None."""
        self._left -= 1
        if self._left < 0 or time.process_time() > self._until:
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


def _key_of(problem: str) -> str | None:
    found = re.search(r": (\w+) of /", problem)
    return None if found is None else found[1]


def _place_of(problem: str) -> int:
    """Return how far the reading of a row came: choices are wanted before it is told which of them are right."""
    key = _key_of(problem)
    if key == "doc_to_target" and "must" in problem:
        return len(_KEYS)
    return _KEYS.index(key) if key in _KEYS else len(_KEYS) + 1


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
    name = None if found is None else next(name for name in found.groups() if name)
    return None if name is None or any(hasattr(kind, name) for kind in (str, list, dict)) else name


def splits_of(file: TaskFile) -> list[str]:
    """Return the splits that a task's rows are written as, without slices of them such as `train[:10]`."""
    shots = (file.keys.get("fewshot_config") or {}).get("split")
    named = [file.keys.get(f"{name}_split") for name in ("training", "validation", "test", "fewshot")]
    return list(dict.fromkeys(str(name).partition("[")[0] for name in (*named, shots) if name))
