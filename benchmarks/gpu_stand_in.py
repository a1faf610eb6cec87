"""A stand-in for pydantic on a machine that lacks it: modules can be imported, nothing is checked.

Only reading result files needs pydantic; nothing that `gpu.py` measures does.
"""

import importlib.util
import sys
from types import ModuleType
from typing import Any

NAME = "pydantic"


class _Anything:
    """Takes the place of whatever marks a field."""

    def __init__(self, *_args: object, **_kwargs: object) -> None:
        pass

    def __class_getitem__(cls, item: object) -> object:
        return item


class _Model:
    """Takes the place of `BaseModel`; refuses to read anything."""

    @classmethod
    def model_validate(cls, _content: object) -> Any:  # noqa: ANN401
        raise RuntimeError(f"{cls.__name__}: files can't be checked here, {NAME} isn't installed")


def stand_in_for_pydantic() -> bool:
    """Put the stand-in in pydantic's place where that is missing; return whether it was needed."""
    if NAME in sys.modules or importlib.util.find_spec(NAME) is not None:
        return False
    module = ModuleType(NAME)
    names = ("Field", "InstanceOf", "WrapValidator", "PlainValidator", "AfterValidator", "GetCoreSchemaHandler")
    members: dict[str, object] = dict.fromkeys(names, _Anything)
    members.update(BaseModel=_Model, ValidationError=type("ValidationError", (ValueError,), {}), ConfigDict=dict)
    members.update(StrictBool=bool, model_validator=lambda **_: lambda check: check)
    vars(module).update(members)
    sys.modules[NAME] = module
    for name in ("pydantic_core", "pydantic_core.core_schema"):
        part = ModuleType(name)
        vars(part).update(CoreSchema=_Anything, with_default_schema=_Anything)
        sys.modules[name] = part
    return True
