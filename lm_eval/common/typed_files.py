"""Plain data → typed models of what a file states; what doesn't fit becomes one clear sentence.

Knows of no particular file. A model names what the code reads; other keys are let through unread.
"""

import reprlib
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, ValidationError, WrapValidator

Text = InstanceOf[str]
"""Any text: names of files need not be valid Unicode, which pydantic's own kind of text demands."""


def _or_none(value: object, check: Callable[[object], object]) -> object:
    try:
        return check(value)
    except ValidationError:
        return None


AS_STATED = WrapValidator(_or_none)
"""Marks a field that is None where the file has something else than it should: remarks that nothing depends on."""
TextIfStated = Annotated[Text | None, AS_STATED]
IntegerIfStated = Annotated[Annotated[int, Field(ge=0, lt=2**63)] | None, AS_STATED]


class FileModel(BaseModel):
    """What the code reads of a file, or of a part of one; numbers are never made of text, nor text of numbers."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=())


M = TypeVar("M", bound=FileModel)


def read_as(model: type[M], content: object, what: str = "") -> M:
    """Return content as a model has it.

    Args:
        model: what is expected.
        content: what the file has.
        what: which part of the file it is, for the message; empty for the whole.

    Raises:
        ValueError: it doesn't fit; the message is one sentence that names place, rule and value.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ValueError(_say(error, what)) from None


_RULES = {
    "is_instance_of": "text",
    "int_type": "an integer",
    "float_type": "a finite number",
    "list_type": "a list",
}
_NO_OBJECT = ("dict_type", "model_type", "model_attributes_type", "dataclass_type", "mapping_type")


def _say(error: ValidationError, what: str) -> str:
    """Say the first thing that is wrong."""
    first = error.errors(include_url=False)[0]
    kind, value = first["type"], first["input"]
    where = " of ".join([*(str(part) for part in reversed(first["loc"])), *([what] if what else [])]) or "it"
    if kind == "missing":
        return f"{where} is missing"
    if kind == "extra_forbidden":
        return f"{where} is unknown"
    if kind == "finite_number":
        return f"{where} is {value}"
    if kind in _NO_OBJECT:
        return f"{where} is no object"
    return f"{where} must be {_rule(kind, first.get('ctx', {}))}, got {reprlib.repr(value)}"


def _rule(kind: str, context: dict[str, Any]) -> str:
    if kind == "literal_error":
        return str(context["expected"])
    if kind in ("greater_than", "greater_than_equal"):
        return f"{'above' if kind == 'greater_than' else 'at least'} {context.get('gt', context.get('ge'))}"
    return str(context.get("error") or _RULES.get(kind, f"valid ({kind})"))
