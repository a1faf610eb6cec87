"""Checking data from files against pydantic models, with errors of one clear sentence.

Knows of no particular file. A model names the keys that the code reads; other keys are ignored.
"""

import reprlib
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, InstanceOf, ValidationError
from pydantic_core import CoreSchema
from pydantic_core.core_schema import with_default_schema

from lm_eval.common.json_files import parse_json

Text = InstanceOf[str]
"""Any text: file names need not be valid Unicode, which pydantic's `str` demands."""


class _OrNone:
    """None in place of what a schema refuses."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return with_default_schema(handler(source), default=None, on_error="default")


AS_STATED = _OrNone()
"""Marks a field that becomes None where its value is invalid: for information that nothing depends on."""
TextIfStated = Annotated[Text | None, AS_STATED]
Count = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
IntegerIfStated = Annotated[Count | None, AS_STATED]
NumberIfStated = Annotated[Number | None, AS_STATED]


PART = ConfigDict(strict=False)
"""For dataclasses that are parts of files, which strict models take objects for; each field says how strict it is."""


class FileModel(BaseModel):
    """Base of models of files, or parts of files; text is never converted to numbers, nor numbers to text."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=())


M = TypeVar("M", bound=FileModel)


def read_json_as(model: type[M], text: bytes) -> M:
    """Return the content of a JSON file as a model; keys that it doesn't have cost hardly anything.

    Args:
        model: the expected form.
        text: the whole file.

    Raises:
        ValueError: it is no JSON, nested too deeply, or doesn't fit; the message is one sentence.
    """
    try:
        return model.model_validate_json(text)
    except ValidationError:  # the slow way tells what is wrong, and reads what JSON allows and the fast one doesn't
        return read_as(model, parse_json(text))


def read_as(model: type[M], content: object, what: str = "") -> M:
    """Return the content of a file as a model.

    Args:
        model: the expected form.
        content: parsed content of the file.
        what: the part of the file, for the message; empty for the whole.

    Raises:
        ValueError: the content doesn't fit; the message is one sentence that names field, rule and value.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ValueError(_describe_error(error, what)) from None


_RULES = {
    "is_instance_of": "text",
    "int_type": "an integer",
    "float_type": "a finite number",
    "list_type": "a list",
}
_NO_OBJECT = ("dict_type", "model_type", "model_attributes_type", "dataclass_type", "mapping_type")


def _describe_error(error: ValidationError, what: str) -> str:
    """Return a sentence about the first error."""
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
        return f"{where} is not an object"
    return f"{where} must be {_rule(kind, first.get('ctx', {}))}, got {reprlib.repr(value)}"


def _rule(kind: str, context: dict[str, Any]) -> str:
    if kind == "literal_error":
        return str(context["expected"])
    if kind in ("greater_than", "greater_than_equal"):
        return f"{'above' if kind == 'greater_than' else 'at least'} {context.get('gt', context.get('ge'))}"
    return str(context.get("error") or _RULES.get(kind, f"valid ({kind})"))
