"""Running a command's main function: errors become one line on standard error and an exit status."""

import os
import sys
from collections.abc import Callable

from lm_eval.common.console import show_all_characters
from lm_eval.errors import ConfigurationError, RunError

DONE, FAILED, WRONG_CALL, INTERRUPTED = 0, 1, 2, 130


def exit_status(
    work: Callable[[], int],
    *,
    failed: str | None = None,
    interrupted: Callable[[], str] = lambda: "interrupted",
    only_shows: bool = False,
) -> int:
    """Run a command and return its exit status.

    Args:
        work: does the command's work and returns the status if no error is raised.
        failed: message, with `{error}`, for an error of a run or a file; None raises such errors with their traceback.
        interrupted: returns the message after Ctrl-C, which may say what was finished.
        only_shows: whether the command only prints something, so that it has succeeded if the reader of its output,
            such as `head`, stops early.
    """
    show_all_characters()
    try:
        status = _status_of(work, failed, interrupted)
        sys.stdout.flush()
    except BrokenPipeError:
        # Otherwise Python prints another error when it flushes at exit.
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
