"""When Python looks for garbage."""

import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def left_alone() -> Iterator[None]:
    """Look for no circular garbage meanwhile: where many objects are made that stay, each look visits all of them.

    Not for functions that yield, whose body runs later.
    """
    was_enabled = gc.isenabled()
    try:
        gc.disable()
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Look for no circular garbage meanwhile, nor ever among what is there once something has been imported.

    For programs, around the imports of torch and transformers: they leave 600,000 objects that stay, which each look
    would visit, as they are imported, after it, and when the process ends.
    """
    num_modules = len(sys.modules)
    with left_alone():
        yield
        if len(sys.modules) > num_modules:  # else what is garbage by now would never be found
            gc.freeze()
