"""How a command ends: whatever is wrong is one line on the standard error, and an exit status says how it went."""

import os
import sys
from collections.abc import Callable

from lm_eval.errors import ConfigurationError, RunError

DONE, FAILED, WRONG_CALL, INTERRUPTED = 0, 1, 2, 130


def exit_status(
    work: Callable[[], int],
    *,
    failed: str | None = None,
    interrupted: Callable[[], str] = lambda: "interrupted",
    only_shows: bool = False,
) -> int:
    """Do a command's work and return its exit status.

    Args:
        work: does everything and returns the status where nothing is wrong.
        failed: the message, around `{error}`, when a run or a file fails; None leaves such errors their traceback.
        interrupted: gives the message after Ctrl-C, when it may tell what was finished.
        only_shows: whether the command only shows something, so that it did all it should when whoever read its output,
            such as `head`, has seen enough.
    """
    try:
        status = _status_of(work, failed, interrupted)
        sys.stdout.flush()
    except BrokenPipeError:
        # Else Python complains of it again when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE if only_shows else FAILED
    return status


def _status_of(work: Callable[[], int], failed: str | None, interrupted: Callable[[], str]) -> int:
    try:
        return work()
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_CALL
    except BrokenPipeError:
        raise
    except (RunError, OSError) as error:
        if failed is None:
            raise
        print(f"error: {failed.format(error=error)}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(interrupted(), file=sys.stderr)
        return INTERRUPTED
