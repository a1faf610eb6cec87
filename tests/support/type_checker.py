"""What checks types and shapes while tests run."""

from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype

_CONF = BeartypeConf(is_pep484_tower=True)  # an int will do for a float


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function check its arguments and its result.

    One that is defined within another stays as it is: it would be compiled anew at each call of the other, which took a
    quarter of all tests' time.
    """
    return function if "<locals>" in function.__qualname__ else beartype(conf=_CONF)(function)
