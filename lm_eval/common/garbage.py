"""When Python looks for garbage."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def left_alone() -> Iterator[None]:
    """Look for no circular garbage meanwhile, nor later among what is there at the end: what is imported stays.

    The imports of torch and transformers leave 600,000 objects, and each look visits all of them: while they are
    imported, after it, and when the process ends. For programs, not for functions that yield, whose body runs later.
    """
    was_enabled = gc.isenabled()
    try:
        gc.disable()
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
