"""What checks types and shapes while tests run.

jaxtyping's own way binds, copies and checks every call's arguments twice, which took a third of the time of tests that
compute; here this is left to functions that state shapes, and all others have their types checked alone.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

import jaxtyping
from beartype import BeartypeConf, beartype

_CONF = BeartypeConf(is_pep484_tower=True, violation_type=TypeError)  # an int will do for a float
_check_shapes = jaxtyping.jaxtyped


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function check the types of its arguments and of its result."""
    return beartype(conf=_CONF)(function)


def install(modules: Sequence[str]) -> None:
    """Make all functions and dataclasses of modules that are yet to be imported check their calls."""
    jaxtyping.jaxtyped = _choose
    jaxtyping.install_import_hook(modules, f"{__name__}.{check.__name__}")


def _choose(*, typechecker: Callable[..., Any]) -> Callable[..., Any]:
    """Return the decorator for all that is defined in a checked module.

    A function that is defined within another stays as it is: it would be compiled anew at each call of the other, which
    took a quarter of all tests' time.
    """

    def decorate(defined: Any) -> Any:
        if "<locals>" in defined.__qualname__:
            return defined
        if inspect.isclass(defined) or _states_shapes(defined):
            return _check_shapes(defined, typechecker=typechecker)
        return typechecker(defined)

    return decorate


def _states_shapes(function: Callable[..., Any]) -> bool:
    """Whether an annotation names a shape, or cannot be read yet."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError):
        return True
    return "jaxtyping." in repr(hints)
