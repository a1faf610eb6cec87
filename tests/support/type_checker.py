"""What checks types and shapes while tests run.

jaxtyping's own way binds, copies and checks every call's arguments twice, which took a third of the time of tests that
compute. Here they are checked once, but where annotations can't be read yet or a function yields. Calls of functions
that state shapes have sizes of their own by name; all others do without.
"""

import functools
import inspect
import random
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from typing import Any, get_type_hints

import jaxtyping
from beartype import BeartypeConf, beartype
from beartype._check.code import codemain

_CONF = BeartypeConf(is_pep484_tower=True, violation_type=TypeError)  # an int will do for a float
_jaxtyped = jaxtyping.jaxtyped
# Which item of a list it looks at is drawn by a generator of its own: threads that stay check their calls too, and
# hypothesis refuses a test that uses Python's while it draws.
codemain.getrandbits = random.Random(0).getrandbits


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
        if inspect.isclass(defined):
            if is_dataclass(defined):
                defined.__init__ = _checked(defined.__init__, typechecker)  # type: ignore[misc]
            return defined
        return _checked(defined, typechecker)

    return decorate


def _checked(function: Callable[..., Any], typechecker: Callable[..., Any]) -> Callable[..., Any]:
    try:
        states_shapes = "jaxtyping." in repr(get_type_hints(function, include_extras=True))
    except (NameError, TypeError):  # an annotation cannot be read yet
        return _jaxtyped(function, typechecker=typechecker)
    if states_shapes and inspect.isgeneratorfunction(function):  # its arguments would be checked among another's sizes
        return _jaxtyped(function, typechecker=typechecker)
    checking = typechecker(function)
    if not states_shapes:
        return checking

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with _jaxtyped("context"):
            return checking(*args, **kwargs)

    return call
