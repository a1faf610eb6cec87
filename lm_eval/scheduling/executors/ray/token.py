"""The token by which Ray's processes know one another, in a file of the user that no other user may read."""

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

_OTHERS = 0o077
"""Permissions of everybody else."""


def token_file() -> Path:
    """Return the file where Ray looks for a token."""
    return Path.home() / ".ray" / "auth_token"


def has_token() -> bool:
    """Whether the user has a token."""
    return bool({"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ)) or token_file().is_file()


def keep_token_private() -> None:
    """Make the token that Ray would make for a first cluster, and shut other users out of one that is there.

    Of several processes that make it at once, one succeeds; all of them use its token.
    """
    with contextlib.suppress(OSError):  # then Ray says what is wrong
        if not has_token():
            _make(token_file())
        state = token_file().stat()
        if state.st_mode & _OTHERS and hasattr(os, "getuid") and state.st_uid == os.getuid():
            token_file().chmod(0o600)


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)  # for its owner alone
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(secrets.token_hex(32))
        with contextlib.suppress(OSError):  # another was faster, or there are no links: then Ray makes one
            os.link(name, path)
    finally:
        Path(name).unlink()
